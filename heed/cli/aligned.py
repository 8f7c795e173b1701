"""What `heed align` ends with: where the weights are, whether they are better, what to do next."""

from __future__ import annotations

import json
from pathlib import Path

from heed.recipe import Evaluate, OnPolicy, Recipe, Reward, TrainingStage
from heed.report.estimates import estimate
from heed.report.measures import rate
from heed.report.verdict import above
from heed.run import Run
from heed.stats.intervals import Estimate

JUDGES = "proxy"


def ending(directory: Path, recipe: Recipe) -> str:
    """The last lines of a finished run."""
    trained = [
        stage for stage in recipe.stages
        if isinstance(stage, TrainingStage) and not stage.scores and stage.kind != "pretrain"
    ]  # fmt: skip
    last = trained[-1].name
    folder = directory / last
    lines = ["", f"Weights: {folder / 'policy'} (from_pretrained of transformers loads them)"]
    if (folder / "policy" / "adapter").exists():
        lines.append(f"The adapter alone: {folder / 'policy' / 'adapter'} (peft loads it)")
    lines += better(directory, recipe, last)
    first = next(stage.name for stage in recipe.stages if stage.kind == "pretrain")
    judge = next((stage.name for stage in recipe.stages if isinstance(stage, Reward)), None)
    by = f"--judge {directory}:{judge}" if judge else "--judge people"
    lines += [
        "Next:",
        f"  heed chat {directory}:{last} {directory}:{first}",
        f"  heed compare {directory}:{last} {directory}:{first} {by}",
        f"  heed export {directory}:{last} exports/{directory.resolve().name}",
    ]
    return "\n".join(lines)


def better(directory: Path, recipe: Recipe, last: str) -> list[str]:
    """How often the last policy's answers score above the first's, and how far to trust that."""
    evaluations = [stage for stage in recipe.stages if isinstance(stage, Evaluate)]
    if not evaluations:
        return []
    stage = evaluations[-1]
    labels = {source: label for label, source in stage.policies.items()}
    if stage.reward is None:
        return ["Better? Nothing judged that here: the data hold no comparisons. Ask people or a "
                "model, as below."]  # fmt: skip
    path = directory / stage.name / "by_prompt.json"
    if last not in labels or not path.exists():
        return []
    means = json.loads(path.read_text(encoding="utf-8"))["policies"]
    scores = {name: means[label].get(JUDGES, {}) for name, label in labels.items()}
    rates = {
        name: found
        for name, earlier in scores.items()
        if name != last and (found := above(scores[last], earlier)) is not None
    }
    if not rates:
        return []
    each = " and ".join(f"{name}'s on {rate(found)}" for name, found in rates.items())
    asked = next(iter(rates.values())).n
    return [
        f"Better? By the reward model, {last}'s answers score above {each} of {asked:,} held-out "
        "prompts.",
        *_trusted(directory, recipe, last, stage.reward),
    ]


def _trusted(directory: Path, recipe: Recipe, last: str, reward: str) -> list[str]:
    done = Run(recipe, directory, writes=False).stage(reward).done_summary()
    found = estimate(done.get("accuracy"))
    trained_on = isinstance(recipe.stage(last), OnPolicy)
    beside = (
        f" It is also what {last} was trained on, so ask another judge, too." if trained_on else ""
    )
    if not found:
        return [beside.strip()] if beside else []
    percent = Estimate(100 * found.mean, 100 * found.low, 100 * found.high, found.n)
    return [
        f"That model prefers what people preferred in {rate(percent)} of held-out comparisons."
        f"{beside}"
    ]
