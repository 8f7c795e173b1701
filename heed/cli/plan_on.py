"""The pages of `heed plan --on`: what a rank holds of every stage, and how long it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

import typer

from heed.cli.plan import count, labels_said, wrapped
from heed.errors import UserError
from heed.planning.ground import Ground
from heed.planning.hardware import hardware_of
from heed.planning.layout import MOST
from heed.planning.ranks import RankMemory
from heed.planning.scale import ScaledPlan, ScaledStage, remedies, scale, shaped
from heed.planning.shapes import shape_of
from heed.recipe import STAGES

GIB = 2**30
FIRST, OTHERS = 12, 6
"""Columns of a stage's name, and of a figure."""
HEADS = ("weigh", "grad", "adam", "ref", "rew", "value", "other", "whole", "activ", "logit", "draw")
"""Over the parts of `RankMemory`, in their order."""
SPENT = ("stage", "holds", "least", "learn/s", "read/s", "draw/s", "bound", "hours", "cost")
WIDTHS = (12, 9, 7, 9, 8, 8, 9, 9, 9)


def tell(
    ground: Ground, on: str, shape: str | None, given: Mapping[str, object], json_: bool
) -> None:
    """Print the plan for hardware.

    Raises UserError for hardware or a shape that is not known, and, after the page, where a stage
    does not fit.
    """
    hardware = hardware_of(on, **given)
    if shape is not None:
        ground = shaped(ground, shape, shape_of(shape))
    made = scale(ground, hardware)
    typer.echo(json.dumps(made.to_json(), indent=2) if json_ else "\n".join(page(made, shape)))
    refuse(made, ground)


def page(made: ScaledPlan, shape: str | None = None) -> Iterator[str]:
    """Two tables of 80 columns, and what is to be said of them."""
    hardware = made.hardware
    model = f" at {shape}" if shape else ""
    seeds = f", {made.plan.seeds} seeds, figures of one" if made.plan.seeds > 1 else ""
    where = f"{hardware.nodes} x {hardware.devices} {hardware.name}"
    yield f"{made.plan.recipe}{model} on {where}{seeds}"
    yield from wrapped(_shared_out(made))
    yield ""
    yield from wrapped(f"GiB that a rank holds, of {hardware.usable / GIB:.1f} that may be used:")
    yield f"{'':<{FIRST}}" + "".join(f"{head:>{OTHERS}}" for head in HEADS)
    for stage in made.stages:
        if stage.memory.total > hardware.kind.process:
            yield _parts(stage)
    yield ""
    yield _row(SPENT)
    for stage in made.stages:
        yield _row(_cells(stage, made))
    yield _row(("all", *[""] * 6, _hours(made.hours), _money(made.money)))
    yield ""
    yield from labels_said(made.plan)
    yield from wrapped(
        "whole: units gathered for a while, and their gradients; holds: the most at once, GiB; "
        "least: the fewest devices that hold the stage; learn/s, read/s, draw/s: tokens a second "
        "of all devices; bound: what most of the time goes to; s: with its setting shard; a: with "
        "checkpoint_activations."
    )
    yield ""
    for said in made.assumptions:
        yield from wrapped(said)


def refuse(made: ScaledPlan, ground: Ground) -> None:
    """Raise UserError where a stage does not fit, with the settings or devices that would do."""
    told = []
    for stage in made.stages:
        if not stage.fits:
            held = f"{stage.memory.total / GIB:.1f} GiB"
            ways = [*remedies(ground, made, stage), *_fewest(stage)]
            fits = f"It would with {', or '.join(ways)}." if ways else _hopeless(stage)
            told.append(f"{stage.plan.name} would hold {held} a device. {fits}")
    if told:
        usable = made.hardware.usable / GIB
        raise UserError(
            f"{made.layout.count} x {made.hardware.name} of {usable:.1f} GiB are not enough. "
            f"{' '.join(told)}"
        )


def _fewest(stage: ScaledStage) -> list[str]:
    return [f"{stage.least} devices"] if stage.least else []


def _hopeless(stage: ScaledStage) -> str:
    if not STAGES[stage.plan.kind].trains:
        return "It is one process, so more devices do not help."
    return f"Neither {MOST} devices nor any single setting help."


def _shared_out(made: ScaledPlan) -> str:
    layout = made.layout
    if not layout.draws:
        return f"{_devices(layout.trains)} train, and each draws its share of the answers."
    servers = f"{layout.servers} servers of {_devices(layout.server)}"
    draw = f"{layout.draws} draw the answers of policy gradients, as {servers}"
    return f"{_devices(layout.trains)} train, {draw}."


def _devices(number: int) -> str:
    return f"{number} device" + ("s" if number > 1 else "")


def _parts(stage: ScaledStage) -> str:
    marks = ("s" if stage.way.shard else "") + ("a" if stage.way.recompute else "")
    name = f"{stage.plan.name[: FIRST - 4]:<{FIRST - 3}}{marks}"
    held = (getattr(stage.memory, each.name) / GIB for each in fields(RankMemory))
    return f"{name:<{FIRST}}" + "".join(f"{_gib(value):>{OTHERS}}" for value in held)


def _gib(value: float) -> str:
    if not value:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 0.05 else "<.1"


def _cells(stage: ScaledStage, made: ScaledPlan) -> Sequence[str]:
    hours = stage.seconds / 3600
    return (
        stage.plan.name[: WIDTHS[0] - 1],
        _gib(stage.memory.total / GIB) + ("" if stage.fits else "!"),
        (str(stage.least) if stage.least else "none") if stage.memory.total else "",
        *(count(stage.rate(how)) for how in ("trained", "forwarded", "sampled")),
        max(stage.bounds.values(), key=lambda bound: bound.seconds).by,
        _hours(hours),
        _money(hours * made.layout.count * made.hardware.price),
    )


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    padded = [f"{cell:>{width}}" for cell, width in zip(others, WIDTHS[1:], strict=True)]
    return (f"{first:<{WIDTHS[0]}}" + "".join(padded)).rstrip()


def _hours(value: float) -> str:
    if not value:
        return ""
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.01 else "<.01"


def _money(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}" if value else ""
