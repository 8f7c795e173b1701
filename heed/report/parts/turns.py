"""Conversations of several turns, graded: by policy, turn and category; and the judge on trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heed.report import figures
from heed.report.measures import SHARE, Measure, figure, policy_name, with_interval
from heed.report.part import Part
from heed.report.parts.left import estimate, estimates, left_by, surely
from heed.report.read import RunView
from heed.stats.intervals import Estimate

GRADE = Measure("Grade", "1 to 10")
SAYS = {
    "fooled": "as high: the judge is fooled",
    "unsure": "not shown to be lower",
    "told apart": "lower: the judge tells it apart",
}
Row = tuple[str, str, Measure, Mapping[str, Estimate]] | str


def read(directory: Path, view: RunView) -> Part | None:
    """From what the last stage that graded conversations left in turns.json."""
    kept = [f for f in left_by(directory, view, "grade_turns", "turns.json") if f.get("policies")]
    if not kept:
        return None
    found = kept[-1]
    policies, decoys = found["policies"], found["decoys"]
    return Part(
        name="turns",
        question="better",
        title="Conversations, graded",
        template="parts/turns.html",
        values={
            "judge": found["judge"],
            "own": found["own"],
            "questions": found["questions"],
            "referenced": found["referenced"],
            "policies": list(policies),
            "colours": figures.colours(list(policies)),
            "before": found["before"],
            "rows": list(_rows(found)),
            "unread": _unread({**policies, **decoys}),
            "cut": _cut(found["cut"]),
            "best": found["best"],
            "decoys": [_decoy(name, each) for name, each in decoys.items()],
            "grade": GRADE,
        },
        json=found,
        findings=tuple(_findings(found)),
        advice=tuple(_advice(found)),
    )


def _rows(found: Mapping[str, Any]) -> Iterator[Row]:
    """The mean grade, by turn, how much later turns fall, by category, against the first policy."""
    policies = found["policies"]
    yield "All answers", "1 to 10", GRADE, _column(policies, "all")
    for turn in _keys(policies, "turns"):
        yield f"Turn {turn}", "", GRADE, _column(policies, "turns", turn)
    for turn in _keys(policies, "drops"):
        column = _column(policies, "drops", turn)
        yield f"Drop from turn 1 to {turn}", "above 0: the later is worse", GRADE, column
    above = estimates(found["above"])
    if above:
        yield f"Above {policy_name(found['before'])}", "paired by question", GRADE, above
    if categories := _keys(policies, "categories"):
        yield "By category"
    for name in categories:
        label = name.replace("_", " ").capitalize() or "Without one"
        yield label, "", GRADE, _column(policies, "categories", name)


def _keys(policies: Mapping[str, Any], part: str) -> list[str]:
    return list(dict.fromkeys(key for each in policies.values() for key in each[part]))


def _column(policies: Mapping[str, Any], *path: str) -> dict[str, Estimate]:
    column = {}
    for name, each in policies.items():
        found: Any = each
        for key in path:
            found = found.get(key) or {}
        if (known := estimate(found)) is not None:
            column[name] = known
    return column


def _unread(graded: Mapping[str, Any]) -> str:
    without = sum(each["unparsable"] for each in graded.values())
    answers = sum(each["answers"] for each in graded.values())
    if not without:
        return f"Every one of its {answers:,} replies had a grade."
    return f"{without:,} of its {answers:,} replies had no grade; these answers are left out."


def _cut(cut: Mapping[str, float]) -> str:
    told = [f"{figure(share, SHARE)} of {policy_name(name)}'s" for name, share in cut.items()]
    return f"Cut at their limit were {', '.join(told)} answers." if any(cut.values()) else ""


def _decoy(name: str, each: Mapping[str, Any]) -> tuple[str, Estimate | None, Estimate | None, str]:
    """Name, mean grade, how far the best policy stands above, and what follows."""
    says = SAYS.get(each.get("says", ""), "")
    return name.capitalize(), estimate(each["all"]), estimate(each.get("above")), says


def _fooled(found: Mapping[str, Any]) -> list[str]:
    return [name for name, each in found["decoys"].items() if each.get("says") == "fooled"]


def _findings(found: Mapping[str, Any]) -> Iterator[str]:
    fooled = _fooled(found)
    if fooled:
        yield (
            f"The judge of the conversations, {found['judge']}, is fooled: it grades the "
            f"{_listed(fooled)} answer as high as those of {policy_name(found['best'])}. Its "
            "grades say little."
        )
        return
    for name, above in estimates(found["above"]).items():
        if side := surely(above):
            yield (
                f"In {found['questions']} conversations {found['judge']} grades "
                f"{policy_name(name)} {'higher' if side > 0 else 'lower'} than "
                f"{policy_name(found['before'])}, by {with_interval(above, GRADE)} of 10."
            )


def _advice(found: Mapping[str, Any]) -> Iterator[str]:
    if fooled := _fooled(found):
        yield (
            f"Ask another judge about the conversations, or change its rubric: {_listed(fooled)} "
            "answers must not be graded as high as real ones."
        )
    graded = [*found["policies"].values(), *found["decoys"].values()]
    without = sum(each["unparsable"] for each in graded)
    if without > 0.1 * sum(each["answers"] for each in graded):
        yield (
            "More than a tenth of the judge's replies had no grade: raise max_new_tokens or "
            "retries of grade_turns, or ask a model that follows its rubric."
        )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
