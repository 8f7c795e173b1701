"""`heed evaluate`: any models by the measures of an evaluation, and by what people prefer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heed.cli.compare import Questions
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.cli.evaluated import Options
    from heed.cli.seats import Seat
    from heed.evaluation.measures import Samples
    from heed.types import Comparison, Prompt, RewardFn

HELDOUT, COMPARISONS = "heldout.jsonl", "comparisons.jsonl"
SHOWN = 12
"""Prompts whose answers stand side by side on the page."""
MORE = """Or:

heed evaluate ./model-a ./model-b --data prefs.jsonl --reference ./model-a

heed evaluate ./model --data prefs.jsonl --reward ./reward-model --reward runs/demo:reward"""
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="WHO ...",
        help="Each RUN:POLICY, a model's directory or hub name, an address, or a file of answers; "
        "NAME=... names it.",
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFS",
        help="Preferences in any format that heed reads, or RUN:COLLECT, whose held-out ones: what "
        "each likelihood and reward prefers.",
    ),
]
Rewards = Annotated[
    list[str] | None,
    typer.Option(help="RUN:REWARD or a reward model's directory; may be given many times."),
]
Leash = Annotated[
    str | None,
    typer.Option(metavar="WHO", help="Whom KL and implicit rewards are measured from."),
]
Tasks = Annotated[
    str | None, typer.Option(metavar="TASKS", help="Tasks of lm-eval, with commas between.")
]
Probes = Annotated[
    Path | None,
    typer.Option(help="Questions that are also asked after a wrong opinion: prompt, wrong."),
]


def evaluate(
    who: Words,
    prompts: Questions = None,
    data: Data = None,
    reward: Rewards = None,
    reference: Leash = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers of each, over all prompts.")] = 1000,
    probes: Probes = None,
    lm_eval: Tasks = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Of the answers; the run's own, or 1.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Answers are cut here; the run's own, or as it fits.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    out: Annotated[Path, typer.Option(help="Where evaluate.json and evaluate.html go.")] = Path(
        "runs/evaluate"
    ),
) -> None:
    """Measure any models: length, KL, variety, rewards, and what preferences say of them.

    Every figure has a 95% interval clustered by prompt. The same command again goes on.

    [dim]Example:[/]  heed evaluate runs/demo:ppo runs/demo:sft --reward runs/demo:reward
    """
    from heed.cli.evaluated import Options, Told, as_json
    from heed.cli.seats import seats, settings_of
    from heed.evaluation.asked import estimates

    tasks = _tasks(lm_eval)
    found = seats(who, device)
    beside = seats([reference], device)[0] if reference is not None else None
    if beside is not None and not beside.weights:
        raise UserError(f"{reference!r} has no weights of its own here to measure KL from.")
    scoring = _rewards(reward or [], device)
    pairs, notes = _comparisons(data or [])
    chosen = settings_of(found, temperature, max_new_tokens, device)
    options = Options(samples, chosen, seed, device, out)
    asked = _asked(found, prompts, pairs, options, notes)
    told = Told(found, beside, scoring, pairs, asked, options, notes)
    measured = told.measures()
    page = {
        "contestants": [each.name for each in found],
        "reference": beside and beside.name,
        "rewards": list(scoring),
        "prompts": len(asked),
        "sampling": chosen.model_dump(),
        "measures": {name: as_json(estimates(own)) for name, own in measured.items()},
        "gaps": told.gaps(measured),
        "preferences": told.preferences(),
        "hallucination": told.hallucination(measured),
        "sycophancy": told.sycophancy(probes),
        "capability": told.capability(tasks),
        "samples": _side_by_side(measured, asked),
        "notes": notes,
    }
    _tell(page, out)


def _tasks(words: str | None) -> list[str]:
    """Checked before anything is sampled."""
    from importlib.util import find_spec

    tasks = [name.strip() for name in (words or "").split(",") if name.strip()]
    if tasks and find_spec("lm_eval") is None:
        raise UserError(
            "--lm-eval asks tasks of the package lm_eval, which is not installed here. Install it "
            "with: python -m pip install lm_eval, or leave --lm-eval out."
        )
    return tasks


def _rewards(words: Sequence[str], device: str) -> dict[str, Callable[[], RewardFn]]:
    """By label, what loads it."""
    from heed.evaluation.costs import COSTS
    from heed.naming import finished, run_of, workplace

    found: dict[str, Callable[[], RewardFn]] = {}
    for word in words:
        name, equals, source = word.partition("=")
        named = equals and "/" not in name
        place = source if named else word
        load: Callable[[], RewardFn]
        if (run := run_of(place)) is not None:
            work = workplace(run[0])
            finished(work, run[1])
            if not work.recipe.stage(run[1]).scores:
                raise UserError(f"{place!r} scores nothing: name a reward stage of {run[0]}.")
            load, label = partial(work.reward, run[1]), run[1]
        elif (Path(place) / "config.json").exists():
            load, label = partial(_reward_model, place, device), Path(place).name
        else:
            raise UserError(
                f"{place!r} scores nothing. Give RUN:REWARD (such as runs/demo:reward) or a reward "
                "model's directory."
            )
        label = name if named else label
        if label in found or label in (*COSTS, "distinct"):
            raise UserError(f"Another measure is called {label!r}. Name it, as in MINE={place}.")
        found[label] = load
    return found


def _reward_model(source: str, device: str) -> RewardFn:
    from heed.cli.evaluated import CONTEXT
    from heed.models.reward_model import load_reward_model
    from heed.rewards.learned import LearnedReward
    from heed.stages.workplace import context_of

    model = load_reward_model(source, device=device)
    return LearnedReward(model, context=context_of(model, CONTEXT))


def _comparisons(sources: Sequence[str]) -> tuple[list[Comparison], list[str]]:
    """The preferences, and what a reader has to know of them."""
    if not sources:
        return [], []
    from heed.data.survey import describe, survey

    own = {source: found for source in sources if (found := _of_a_run(source)) is not None}
    pairs = [each for found in own.values() for each in found]
    notes = []
    if others := [source for source in sources if source not in own]:
        read = survey(others)
        for line in describe(read):
            typer.echo(line, err=True)
        pairs += read.comparisons
        notes.append("Whether anybody evaluated was trained on these preferences is unknown here.")
        if read.broken:
            first = read.broken[0]
            rows = f"{len(read.broken):,} rows cannot be used"
            notes.append(f"{rows}, such as {first.place}: {first.why}.")
    if not pairs:
        raise UserError(f"{', '.join(sources)}: no row prefers one answer to another.")
    return pairs, notes


def _of_a_run(source: str) -> list[Comparison] | None:
    """The held-out comparisons of RUN:STAGE, or a file that a stage wrote; None for all others."""
    from heed.files import read_records
    from heed.naming import run_of
    from heed.types import Comparison

    run = run_of(source)
    file = Path(source) if run is None else run[0] / run[1] / HELDOUT
    if file.name in (HELDOUT, COMPARISONS) and (file.parent / "done.json").exists():
        return read_records(file, Comparison)
    if run is not None:
        raise UserError(f"{source!r} holds no comparisons; name a stage that left {HELDOUT}.")
    return None


def _asked(
    found: Sequence[Seat], file: Path | None, pairs: Sequence[Comparison], options: Options,
    notes: list[str],
) -> list[Prompt]:  # fmt: skip
    """What everybody answers: the file's prompts, those of the preferences, or the run's own."""
    from heed.cli.contestants import prompts_of
    from heed.cli.seats import askable
    from heed.data.outputs import read_prompts

    if file is not None:
        prompts = read_prompts(file)
    elif pairs:
        prompts = list({each.prompt.id: each.prompt for each in pairs}.values())
    else:
        prompts = prompts_of([each.entrant for each in found])
    kept = askable(found, prompts, options.drawn, options.device)
    if len(kept) < len(prompts):
        notes.append(
            f"{len(prompts) - len(kept):,} prompts are too long for a model's context and were "
            "left out."
        )
    return Random(options.seed).sample(kept, min(len(kept), options.samples))


def _side_by_side(
    measured: Mapping[str, Samples], prompts: Sequence[Prompt]
) -> list[dict[str, Any]]:
    """The first answer of everybody to some prompts."""
    rows = []
    for prompt in prompts[:SHOWN]:
        said = {
            name: next((c.text for c in own.completions if c.prompt.id == prompt.id), "")
            for name, own in measured.items()
        }
        rows.append({"prompt": prompt.text, "answers": said})
    return rows


def _tell(found: Mapping[str, Any], out: Path) -> None:
    """Print the tables and write the page."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from heed.report.evaluate_page import sections, write_evaluation
    from heed.report.measures import with_interval

    console = Console(width=None if Console().is_terminal else 160)
    for section in sections(found):
        table = Table(title=Text(section.title), title_justify="left", box=None)
        for head in ("", *section.names):
            table.add_column(Text(head), justify="left" if head == "" else "right")
        for label, aside, what, row in section.rows:
            cells = [with_interval(row[n], what) if n in row else "" for n in section.names]
            table.add_row(Text(f"{label}{aside and f' ({aside})'}"), *map(Text, cells))
        console.print(table)
    for note in found["notes"]:
        typer.echo(f"Note: {note}", err=True)
    typer.echo(f"Evaluation: {write_evaluation(out, found)}")
