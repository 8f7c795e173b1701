"""`heed plan`: what a recipe will cost, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from heed.cli.run import Overrides, RecipeName
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.planning.ground import Ground
    from heed.planning.plan import Machine, Plan, StagePlan
    from heed.recipe import Recipe, Stage

Like = Annotated[
    Path | None,
    typer.Option("--like", metavar="RUN", help="Correct the plan by what this run spent."),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="NAME|FILE",
        help="Plan for this hardware, which need not be here: h200, h100-80, a100-80, rtx-4090, "
        "cpu-2, or a page that says what it is.",
    ),
]
Shape = Annotated[
    str | None,
    typer.Option(
        "--shape",
        metavar="NAME|MODEL",
        help="As if the model were of this shape: 1M, 25M, 0.5B, 1.5B, 7B, 13B, 70B, or a model's "
        "directory.",
    ),
]
Devices = Annotated[
    int | None, typer.Option("--devices", min=1, help="With --on: devices of a node.")
]
Nodes = Annotated[int | None, typer.Option("--nodes", min=1, help="With --on: nodes.")]
Price = Annotated[
    float | None, typer.Option("--price", min=0.0, help="With --on: an hour of a device costs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]
PROBE = 1.0
"""Seconds for which the machine's speed is tried, where no earlier run tells it."""
STORE = "feedback.db"
UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
COLUMNS = ("stage", "prompts", "answers", "trained", "read", "drawn", "FLOPs", "memory", "time")
WIDTHS = (15, 8, 8, 8, 7, 7, 6, 9, 12)


def plan(
    recipe: RecipeName, set_: Overrides = None, like: Like = None, on: On = None,
    shape: Shape = None, devices: Devices = None, nodes: Nodes = None, price: Price = None,
    json_: AsJson = False,
) -> None:  # fmt: skip
    """Say what a recipe will cost: tokens, operations, memory, time, labels and their price.

    No weights are loaded. Exit code 2 where a stage does not fit into the memory that is free, with
    the settings that would; docs/costs.md has the formulas and how far off they were. With --on the
    plan is for hardware that need not be here: memory of a rank part by part, how many devices it
    takes, tokens a second, hours and price (docs/scale.md).

    [dim]Example:[/]  heed plan quickstart --set ppo.iterations=200 --like runs/quickstart
    """
    from heed.config import load_recipe

    read = load_recipe(recipe, set_ or [])
    from heed.planning.look import look

    if on is not None:
        if like is not None:
            raise UserError("--like is an earlier run's clock on its own machine; without --on.")
        from heed.cli.plan_on import tell

        tell(look(read), on, shape, {"devices": devices, "nodes": nodes, "price": price}, json_)
        return
    if (shape, devices, nodes, price) != (None, None, None, None):
        raise UserError("--shape, --devices, --nodes and --price plan for hardware: say --on NAME.")
    from heed.planning.plan import make_plan
    from heed.stages.planned import machine_of

    machine = machine_of(read, PROBE if like is None else 0.0)
    ground = look(read)
    made = make_plan(ground, machine, _recorded(read, like))
    if like is not None:
        made = _corrected(made, like, machine)
    if json_:
        typer.echo(json.dumps(made.to_json(), indent=2))
    else:
        typer.echo("\n".join(page(made)))
    refuse(made, ground, machine)


def _corrected(made: Plan, like: Path, machine: Machine) -> Plan:
    """The plan in the light of an earlier run.

    Raises UserError where the directory holds none, or no stage of it is finished.
    """
    from heed.config import load_recipe
    from heed.planning.likeness import corrected
    from heed.planning.look import look
    from heed.planning.plan import make_plan
    from heed.planning.spent import spent_by

    page = like / "recipe.yaml"
    if not page.exists():
        raise UserError(f"{like} is no run's directory: it has no recipe.yaml.")
    spent = spent_by(like)
    if not spent:
        raise UserError(f"No stage of {like} is finished, so it tells nothing of what one costs.")
    before = make_plan(look(load_recipe(str(page))), replace(machine, speed=None))
    timed = replace(made, machine=replace(machine, speed=None))
    return replace(
        corrected(timed, before, spent),
        assumptions=(
            f"Tokens, operations, seconds and memory are those of {like}, in the proportion of the "
            "two plans; seconds hold for that run's machine.",
        ),
    )


def _recorded(recipe: Recipe, like: Path | None) -> dict[str, list[float]]:
    """Seconds that labels took before, by stage of this recipe: in the store that it names, else
    in the earlier run's own.
    """
    from heed.planning.plan import asked_by

    found = {}
    for stage in recipe.stages:
        people = asked_by(stage)
        if people is not None:
            named = people.store
            own = [] if like is None else [str(like / STORE)]
            places = [named] if named else own
            times = [time for place in places for time in _times(place)]
            found[stage.name] = times or list(_of_run(like, stage))
    return found


def _times(place: str) -> Iterator[float]:
    if "://" not in place and not Path(place).is_file():
        return
    from heed.store import projects
    from heed.store.annotations import read_all
    from heed.store.database import Store

    store = Store.open(place)
    try:
        with store.read() as session:
            for project in projects.listing(session):
                yield from (each.seconds for each in read_all(session, project.id))
    finally:
        store.close()


def _of_run(like: Path | None, stage: Stage) -> Iterator[float]:
    """What a label took in the earlier run's stage of that name, on average."""
    if like is not None:
        from heed.planning.spent import spent_by

        spent = spent_by(like).get(stage.name)
        if spent is not None and spent.label_seconds is not None:
            yield spent.label_seconds


def page(made: Plan) -> Iterator[str]:
    """The table, 80 columns wide, and what is to be said of it."""
    seeds = f", {made.seeds} seeds, figures of one" if made.seeds > 1 else ""
    free = f", {stored(made.machine.free)} free" if made.machine.free is not None else ""
    yield f"{made.recipe} on {made.machine.device}{free}{seeds}"
    yield ""
    yield _row(COLUMNS)
    for stage in made.stages:
        yield _row(_cells(stage))
    totals = made.to_json()["totals"]
    yield _row(
        (
            "all" if made.seeds == 1 else f"all {made.seeds} seeds",
            *(count(totals[name]) for name in ("prompts", "answers")),
            *(count(totals[name]) for name in ("trained", "forwarded", "sampled", "flops")),
            stored(totals["memory"]),
            times(made.seconds),
        )
    )
    yield ""
    yield from labels_said(made)
    yield "trained: tokens learned from; read: tokens of other forward passes; drawn:"
    yield "tokens of answers. Memory is the most that is held at once."
    yield ""
    for said in made.assumptions:
        yield from wrapped(said)


def _cells(stage: StagePlan) -> tuple[str, ...]:
    return (
        stage.name[: WIDTHS[0] - 1],
        *(count(value) for value in (stage.counts.prompts, stage.counts.answers)),
        *(count(value) for value in (stage.trained, stage.forwarded, stage.sampled)),
        count(stage.operations),
        stored(stage.held),
        times(stage.seconds),
    )


def labels_said(made: Plan) -> Iterator[str]:
    """What people are asked: how often, for how long, for what."""
    for stage in made.stages:
        asked = stage.labels
        if asked is not None:
            paid = f", {asked.money:,.0f} {asked.currency}" if asked.pay_per_hour else ""
            yield from wrapped(
                f"{stage.name}: {asked.count:,.0f} labels of {asked.seconds:.0f} s each "
                f"({asked.how}), {asked.minutes / 60:,.1f} hours{paid}."
            )


def refuse(made: Plan, ground: Ground, machine: Machine) -> None:
    """Raise UserError where a stage does not fit, with the settings that would."""
    from heed.planning.fitting import remedies, shortest, too_large

    told = []
    for stage in too_large(made):
        found = shortest(remedies(ground, stage, machine))
        ways = f"It would with {', or '.join(found)}." if found else "No single setting helps."
        told.append(f"{stage.name} would hold {stored(stage.held)}. {ways}")
    if told:
        raise UserError(
            f"{stored(machine.free or 0)} are free on {machine.device}, which is not enough. "
            f"{' '.join(told)}"
        )


def _row(cells: tuple[str, ...]) -> str:
    first, *others = cells
    padded = [f"{cell:>{width}}" for cell, width in zip(others, WIDTHS[1:], strict=True)]
    return (f"{first:<{WIDTHS[0]}}" + "".join(padded)).rstrip()


def count(value: float) -> str:
    """A number in five letters; nothing for none."""
    if not value:
        return ""
    for unit, letter in UNITS:
        if value >= unit:
            return f"{value / unit:.3g}{letter}" if value < 1000 * unit else f"{value:.1e}"
    return f"{value:.0f}"


def stored(value: float) -> str:
    """Bytes, in MiB or GiB."""
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def times(seconds: tuple[float, float] | None) -> str:
    """A range in the unit that suits its end."""
    if seconds is None or not seconds[1]:
        return ""
    unit, letter = next(
        (pair for pair in ((3600.0, "h"), (60.0, "min")) if seconds[1] >= 2 * pair[0]), (1.0, "s")
    )
    low, high = (f"{value / unit:.{0 if value / unit >= 10 else 1}f}" for value in seconds)
    return f"{low}-{high} {letter}"


def wrapped(text: str) -> list[str]:
    """A sentence on lines of a terminal's width."""
    return wrap(text, 80)
