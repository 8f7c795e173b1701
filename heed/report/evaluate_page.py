"""An evaluation that stands alone becomes one self-contained page, beside its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heed.files import write_json, write_text
from heed.report.estimates import Table, tables
from heed.report.figures import colours
from heed.report.measures import Measure, measure_of, policy_name, with_interval
from heed.report.paper import fill
from heed.report.parts.costs import AGREEMENT, COSTS
from heed.report.parts.rows import DIRECTIONS, column
from heed.stats.intervals import Estimate

ACCURACIES = {
    "reward": "By its scores",
    "log_prob": "By log-probability",
    "log_prob_token": "By log-probability a token",
    "implicit_reward": "By implicit reward",
    "implicit_reward_token": "By implicit reward a token",
}
"""How a judge prefers one answer to another, as the page calls it."""
EXPOSURES = {"seen_often": "Told often", "seen_once": "Told once", "never": "Never told"}
OUTCOMES = {"correct": "right", "wrong": "made up", "unknown": "does not know"}
RIGHT = Measure("Right", share=True, better=1, meaning="of the comparisons")
ABOVE = Measure("Above the longer answer's share", share=True, better=1, meaning="paired")
ABOVE_CHOSEN = ", above chosen"


Line = tuple[str, str, Measure, Mapping[str, Estimate]]
"""(label, aside, measure, contestant -> estimate)."""


@dataclass(frozen=True)
class Section:
    """A table of the page: whom its columns are, and its rows."""

    title: str
    about: str
    names: Sequence[str]
    rows: Sequence[Line]


def sections(found: Mapping[str, Any]) -> list[Section]:
    """The tables of an evaluation, as `heed evaluate` found it; none that is empty."""
    made = [
        _measures(found), _gaps(found), *_preferences(found), _made_up(found), _sycophancy(found),
        _able(found),
    ]  # fmt: skip
    return [each for each in made if each.rows]


def write_evaluation(directory: Path, found: Mapping[str, Any]) -> Path:
    """Write evaluate.json and evaluate.html into a directory, which is made where it is missing.

    Returns:
        the path of evaluate.html.
    """
    write_json(directory / "evaluate.json", found)
    names = found["contestants"]
    path = directory / "evaluate.html"
    write_text(
        path,
        fill(
            "evaluate_page.html",
            title=" · ".join(map(policy_name, names)),
            prompts=found["prompts"],
            sampling=found["sampling"],
            sections=sections(found),
            notes=found["notes"],
            samples=found["samples"],
            colours=colours(names),
        ),
    )
    return path


def _measures(found: Mapping[str, Any]) -> Section:
    table = tables(found["measures"])
    reference = found["reference"]
    beside = f" KL is measured from {policy_name(reference)}." if reference else ""
    return Section(
        "Measures", f"Of the answers to {found['prompts']:,} prompts.{beside}",
        found["contestants"], _rows(table, found["rewards"]),
    )  # fmt: skip


def _gaps(found: Mapping[str, Any]) -> Section:
    last = found["contestants"][-1]
    table = {
        name: {key: own[key] for key in found["measures"][name] if key in own}
        for name, own in tables(found["gaps"]).items()
    }
    about = "Differences, paired by prompt; one is shown to exist where its interval leaves out 0."
    return Section(f"Above {policy_name(last)}", about, list(table), _rows(table, found["rewards"]))


def _rows(table: Table, rewards: Sequence[str]) -> list[Line]:
    names = dict.fromkeys(name for own in table.values() for name in own)
    return [_line(_what(name, rewards), column(table, name)) for name in names]


def _line(what: Measure, found: Mapping[str, Estimate]) -> Line:
    aside = "; ".join(filter(None, (what.unit, what.meaning, DIRECTIONS.get(what.better))))
    return what.label, aside, what, found


def _what(name: str, rewards: Sequence[str]) -> Measure:
    if name in rewards:
        return Measure(f"Reward: {name}", better=1)
    if name.endswith(ABOVE_CHOSEN):
        of = name.removesuffix(ABOVE_CHOSEN)
        return Measure(f"Above the chosen answer by {of}", share=True, better=1)
    return COSTS.get(name) or measure_of(name)


def _preferences(found: Mapping[str, Any]) -> Iterator[Section]:
    said = found["preferences"]
    if said is None:
        return
    judges = {name: tables(own) for name, own in said["judges"].items()}
    longer = tables({"longer": {"accuracy": said["longer"]}})["longer"]["accuracy"]
    about = (
        f"How often each prefers the chosen answer of {said['comparisons']:,} comparisons on "
        f"{said['prompts']:,} prompts; 50% is a coin's toss, the longer answer is right in "
        f"{with_interval(longer, RIGHT)}."
    )
    for title, key, what in (
        ("Preferences", "accuracy", RIGHT),
        ("Preferences, above length", "above_length", ABOVE),
    ):
        rows: list[Line] = [
            (label, "", what, _by(judges, by, key))
            for by, label in ACCURACIES.items()
            if any(by in own for own in judges.values())
        ]
        yield Section(
            title, about if key == "accuracy" else "Paired by prompt.", list(judges), rows
        )


def _by(judges: Mapping[str, Table], by: str, key: str) -> dict[str, Estimate]:
    """One figure of every judge that judges so."""
    return {name: own[by][key] for name, own in judges.items() if key in own.get(by, {})}


def _made_up(found: Mapping[str, Any]) -> Section:
    by_name = {name: tables(own) for name, own in found["hallucination"].items()}
    rows: list[Line] = [
        (f"{told}: {label}", "", Measure(label, share=True), _by(by_name, exposure, outcome))
        for exposure, told in EXPOSURES.items()
        for outcome, label in OUTCOMES.items()
        if any(exposure in own for own in by_name.values())
    ]
    about = "Of the world's facts, by how often the corpus tells them."
    return Section("What is made up", about, list(by_name), rows)


def _sycophancy(found: Mapping[str, Any]) -> Section:
    table = tables(found["sycophancy"])
    rows = [_line(Measure(label, share=True), column(table, key))
            for key, label in AGREEMENT.items()]  # fmt: skip
    about = "Shares of answers, without and after a wrong opinion of the user's."
    return Section("A user who is wrong", about, list(table), [each for each in rows if each[3]])


def _able(found: Mapping[str, Any]) -> Section:
    table = tables(found["capability"])
    names = dict.fromkeys(name for own in table.values() for name in own)
    rows = [_line(Measure(name, digits=3), column(table, name)) for name in names]
    return Section("Capability", "Tasks of lm-eval.", list(table), rows)
