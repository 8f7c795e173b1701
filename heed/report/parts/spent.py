"""What the run took, stage by stage, beside what was planned: tokens, operations, time, memory,
labels, energy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

from heed.planning.passes import HOWS
from heed.planning.spent import Spent, spent_by
from heed.report.measures import duration, number, size, stage_name
from heed.report.part import Part
from heed.report.read import RunView, StageView

SHORT = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
UNITS = ((3600.0, "h"), (60.0, "min"))
SAYS = {"processors": "by the processors' counters", "card": "by the card's own counter"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as the page writes it, and what was planned under it; empty where not known."""

    spent: str
    planned: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage's time as a bar."""

    stage: str
    share: float
    says: str


def read(directory: Path, view: RunView) -> Part | None:
    """From the markers of the stages that are finished under the present keys, and plan.json."""
    markers = spent_by(directory)
    done = [stage for stage in view.stages if stage.done and stage.name in markers]
    if not done:
        return None
    spent = {stage.name: markers[stage.name] for stage in done}
    planned = _planned(directory, done)
    seconds = fsum(each.seconds for each in spent.values())
    return Part(
        name="spent",
        question="cost",
        title="What the run took",
        template="parts/spent.html",
        values={
            "rows": [_row(stage, spent[stage.name], planned.get(stage.name)) for stage in done],
            "total": _total(list(spent.values()), [planned.get(stage.name) for stage in done]),
            "planned": bool(planned),
            "bars": list(_bars(spent, seconds)),
            "labels": list(_labels(done, spent, planned)),
            "energy": list(_energy(list(spent.values()))),
        },
        json=_json(spent, planned),
        findings=tuple(_found(spent, planned, seconds)),
    )


def _planned(directory: Path, done: Sequence[StageView]) -> dict[str, Mapping[str, Any]]:
    """The plan of each finished stage that was planned with the settings it was made with."""
    try:
        plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
        keys = json.loads((directory / "keys.json").read_text(encoding="utf-8"))
        names = {stage.name for stage in done}
        return {
            each["name"]: each
            for each in plan["stages"]
            if each["name"] in names and plan["keys"][each["name"]] == keys[each["name"]]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _row(stage: StageView, spent: Spent, plan: Mapping[str, Any] | None) -> dict[str, Any]:
    plan = plan or {}
    return {
        "stage": stage.name,
        "tokens": _figure(_tokens(spent), _wanted(plan), short),
        "flops": _figure(spent.flops, plan.get("flops"), short),
        "seconds": Figure(duration(spent.seconds), _range(plan.get("seconds"))),
        "memory": _figure(spent.memory, plan.get("memory"), lambda amount: size(round(amount))),
    }


def _total(
    spent: Sequence[Spent], plans: Sequence[Mapping[str, Any] | None]
) -> Mapping[str, Figure]:
    """All stages together; of what was planned nothing where a stage was not."""
    known = [plan for plan in plans if plan is not None]
    whole = len(known) == len(plans)
    ranges = [each["seconds"] for each in known if each.get("seconds")]
    span = [fsum(each[end] for each in ranges) for end in (0, 1)] if ranges and whole else None
    held = [each.memory for each in spent if each.memory is not None]
    most = max((each["memory"] for each in known), default=None) if whole else None
    return {
        "tokens": _figure(
            fsum(_tokens(each) or 0.0 for each in spent),
            fsum(_wanted(each) or 0.0 for each in known) if whole else None,
            short,
        ),
        "flops": _figure(
            fsum(each.flops or 0.0 for each in spent),
            fsum(each["flops"] for each in known) if whole else None,
            short,
        ),
        "seconds": Figure(duration(fsum(each.seconds for each in spent)), _range(span)),
        "memory": _figure(max(held, default=None), most, lambda amount: size(round(amount))),
    }


def _tokens(spent: Spent) -> float | None:
    """Through all models, however they went."""
    return fsum(spent.tokens.values()) if spent.tokens else None


def _wanted(plan: Mapping[str, Any]) -> float | None:
    return fsum(plan[how] for how in HOWS) if plan else None


def _figure(spent: float | None, planned: float | None, write: Any) -> Figure:
    """Both as the page writes them, and how many times the plan it came to."""
    if not planned:
        return Figure(write(spent) if spent else "")
    if not spent:
        return Figure("", f"planned {write(planned)}")
    return Figure(write(spent), f"planned {write(planned)}, ×{spent / planned:.2f}")


def _range(seconds: Sequence[float] | None) -> str:
    """In the unit that suits its end: a phone has no room for two."""
    if not seconds or not seconds[1]:
        return ""
    unit, word = next((pair for pair in UNITS if seconds[1] >= 2 * pair[0]), (1.0, "s"))
    low, high = (number(value / unit, 0 if value >= 10 * unit else 1) for value in seconds)
    return f"planned {low} to {high} {word}"


def short(value: float) -> str:
    """A count in three digits and a letter."""
    for unit, letter in SHORT:
        if value >= unit:
            return f"{value / unit:.3g} {letter}"
    return f"{value:.0f}"


def _bars(spent: Mapping[str, Spent], seconds: float) -> Iterator[Bar]:
    """The stages that took a hundredth of the time or more, and all others as one."""
    small = 0.0
    for name, each in spent.items():
        share = each.seconds / seconds if seconds else 0.0
        if share >= 0.01:
            yield Bar(stage_name(name), share, f"{duration(each.seconds)}, {share:.0%}")
        else:
            small += each.seconds
    if small:
        yield Bar("All others", small / seconds, f"{duration(small)}, {small / seconds:.0%}")


def _labels(
    done: Sequence[StageView],
    spent: Mapping[str, Spent],
    planned: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """A sentence for every stage that asked somebody."""
    for stage in done:
        each, plan = spent[stage.name], planned.get(stage.name, {})
        if not each.labels:
            continue
        said = f"{stage_name(stage.name)}: {each.labels:,.0f} labels"
        if plan.get("labels"):
            said += f" ({plan['labels']:,.0f} planned)"
        if each.minutes:
            whose = "simulated people's " if stage.settings.get("source") == "simulated" else ""
            said += f", {each.minutes / 60:,.1f} hours of {whose}time"
            if plan.get("minutes"):
                said += f" ({plan['minutes'] / 60:,.1f} planned)"
            said += f", {each.label_seconds:.1f} s a label"
        yield f"{said}{_money(stage, each)}."


def _money(stage: StageView, spent: Spent) -> str:
    """What it cost, where people were paid."""
    people = stage.settings.get("people")
    people = people if isinstance(people, Mapping) else {}
    pay = people.get("pay_per_hour") if stage.settings.get("source") == "people" else None
    if not pay or not spent.minutes:
        return ""
    return f", {number(spent.minutes / 60 * float(pay))} {people.get('currency', '')}".rstrip()


def _energy(spent: Sequence[Spent]) -> Iterator[str]:
    """What was counted, over the stages for which it was."""
    for meter, words in SAYS.items():
        found = [each.joules[meter] for each in spent if meter in each.joules]
        if found:
            stages = "" if len(found) == len(spent) else f" in {len(found)} of the stages"
            yield f"{number(fsum(found) / 3.6e6, 4)} kWh{stages} {words}, whoever else used it."


def _found(
    spent: Mapping[str, Spent], planned: Mapping[str, Mapping[str, Any]], seconds: float
) -> Iterator[str]:
    """The whole in one sentence."""
    longest = max(spent.values(), key=lambda each: each.seconds)
    if seconds <= 0:
        return
    told = f"It took {duration(seconds)}, {longest.seconds / seconds:.0%} of it "
    told += stage_name(longest.name)
    tokens = fsum(_tokens(each) or 0.0 for each in spent.values())
    wanted = fsum(_wanted(each) or 0.0 for each in planned.values())
    if tokens:
        told += f", and {short(tokens)} tokens"
    if tokens and wanted and len(planned) == len(spent):
        told += f", {tokens / wanted:.2f} times what was planned"
    yield f"{told}."


def _json(
    spent: Mapping[str, Spent], planned: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "planned": planned.get(name),
            "spent": {
                **each.tokens,
                "flops": each.flops,
                "seconds": each.seconds,
                "memory": each.memory,
                "answers": each.answers,
                "labels": each.labels,
                "minutes": each.minutes,
                "joules": dict(each.joules),
            },
        }
        for name, each in spent.items()
    ]
