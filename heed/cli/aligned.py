"""What `heed align` ends with: where the weights are, whether they are better, what to do next."""

from __future__ import annotations

import json
from pathlib import Path

from heed.recipe import Evaluate, OnPolicy, Recipe, Reward, TrainingStage
from heed.run import Run

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
        f"  heed chat {directory}:{last}",
        f"  heed compare {directory}:{last} {directory}:{first} {by}",
        f"  heed export {directory}:{last}",
    ]
    return "\n".join(lines)


def better(directory: Path, recipe: Recipe, last: str) -> list[str]:
    """How often the last policy's answers score above the first's, and how far to trust that."""
    evaluations = [stage for stage in recipe.stages if isinstance(stage, Evaluate)]
    if not evaluations:
        return []
    stage = evaluations[-1]
    labels = {source: label for label, source in stage.policies.items()}
    start = next(iter(stage.policies.values()))
    path = directory / stage.name / "by_prompt.json"
    if last not in labels or not path.exists() or start == last:
        return []
    from heed.stats.win_rates import win_rate

    means = json.loads(path.read_text(encoding="utf-8"))["policies"]
    new, old = (means[labels[name]].get(JUDGES, {}) for name in (last, start))
    asked = [prompt for prompt in new if prompt in old]
    if not asked:
        return []
    wins = [(new[each] > old[each]) + (new[each] == old[each]) / 2 for each in asked]
    rate = win_rate(wins).rate
    said = [
        f"Better? On {rate.mean:.0f}% [{rate.low:.0f}, {rate.high:.0f}] of {len(asked):,} held-out "
        f"prompts {last}'s answer scores above {start}'s, by the reward model {stage.reward!r}."
    ]
    return [*said, *_trusted(directory, recipe, last, stage.reward)]


def _trusted(directory: Path, recipe: Recipe, last: str, reward: str) -> list[str]:
    found = Run(recipe, directory, writes=False).stage(reward).done_summary().get("accuracy")
    trained_on = isinstance(recipe.stage(last), OnPolicy)
    beside = (
        f" It is also what {last} was trained on, so ask another judge, too." if trained_on else ""
    )
    if not found:
        return [beside.strip()] if beside else []
    return [
        f"That model prefers what people preferred in {found['mean']:.0%} [{found['low']:.0%}, "
        f"{found['high']:.0%}] of held-out comparisons.{beside}"
    ]
