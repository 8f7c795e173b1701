"""Two runs or more, held against the first: what was set otherwise, and what came of it.

Where two runs answered the same held-out prompts, a difference is paired by prompt: what is hard
for one is hard for the other, and only what is left differs by chance. Either way the interval
speaks of the prompts and answers drawn, not of what another training from another seed would give.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from heed.errors import UserError
from heed.report.measures import COST, QUALITY, in_order
from heed.report.read import RunView, read_run
from heed.run import seeds_of
from heed.stats.from_intervals import difference as unpaired
from heed.stats.intervals import Estimate, mean_interval

CHECKS = ("exact", "maths", "regex", "format", "length", "correct", "honest", "metre")
"""Kinds of rewards that mean the same wherever their settings are the same."""
FEWEST = 2
"""Prompts that a paired difference needs."""
_ABSENT = "–"
_WORDS = ("name", "description")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs."""

    letter: str
    directory: Path
    view: RunView
    keys: Mapping[str, str]
    made: dict[str, str] = field(default_factory=dict)
    """Policy -> the stage that made it."""
    scored: dict[str, dict[str, str]] = field(default_factory=dict)
    """By policy: a measure -> the reward stage whose score it is."""
    references: dict[str, str] = field(default_factory=dict)
    """Policy -> the stage that its KL is measured from."""
    prompts: dict[str, dict[str, str]] = field(default_factory=dict)
    """By policy: a prompt's id -> a fingerprint of what it says; none of older evaluations."""
    means: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """By policy, measure and prompt."""

    def stage(self, name: str) -> tuple[str, Mapping[str, Any]] | None:
        """The kind and settings of a stage."""
        found = (stage for stage in self.view.stages if stage.name == name)
        return next(((stage.kind, stage.settings) for stage in found), None)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a policy of one run lies above the same of the first, on a measure."""

    estimate: Estimate
    paired: bool
    prompts: int
    """That both answered and that say something of the measure."""
    why: str
    """Why it is not paired; empty where it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """A measure of a policy that all runs have."""

    policy: str
    measure: str
    figures: list[Estimate]
    """Of every run."""
    differences: list[Difference | None]
    """Of every run but the first; None where the two are not to be compared."""


def read_sides(directories: Sequence[Path]) -> list[Side]:
    """The runs, called A, B and so on.

    Raises:
        UserError: one is no run's directory, or stands there twice, or there are too many.
    """
    if len(directories) > len(ascii_uppercase):
        raise UserError(f"{len(directories)} runs do not fit side by side; name 26 at most.")
    places = [directory.resolve() for directory in directories]
    for directory, place in zip(directories, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{directory} is named twice; a run has nothing to differ from itself.")
    return [_side(ascii_uppercase[at], each) for at, each in enumerate(directories)]


def settings_that_differ(sides: Sequence[Side]) -> list[tuple[str, list[str]]]:
    """(setting, its value in every run) of all that the recipes do not have in common.

    A stage that a run has not at all is one line.
    """
    flat = [dict(_flat(side.view.recipe)) for side in sides]
    names = dict.fromkeys(name for each in flat for name in each)
    stages = [{name.partition(".")[0] for name in each if "." in name} for each in flat]
    rows: dict[str, list[str]] = {}
    for name in names:
        stage, dot, _ = name.partition(".")
        if dot and not all(stage in known for known in stages):
            rows[stage] = ["there" if stage in known else _ABSENT for known in stages]
            continue
        values = [each.get(name, _ABSENT) for each in flat]
        if len(set(values)) > 1:
            rows[name] = values
    return list(rows.items())


def compared(sides: Sequence[Side]) -> list[Row]:
    """Every measure that all runs have of a policy that they all have."""
    first, *others = sides
    rows = []
    for policy in first.view.policies:
        tables = [side.view.policies.get(policy) for side in sides]
        known = [table for table in tables if table is not None]
        if len(known) < len(sides):
            continue
        found = [name for name in known[0] if all(name in table for table in known)]
        rows += [
            Row(policy, name, [table[name] for table in known],
                [difference(first, other, policy, name) for other in others])
            for name in in_order(found, [*QUALITY, *COST])
        ]  # fmt: skip
    return rows


def difference(a: Side, b: Side, policy: str, measure: str) -> Difference | None:
    """b - a; None where the measure is not the same in both."""
    if not same_measure(a, b, policy, measure):
        return None
    ours, theirs = (side.means.get(policy, {}).get(measure, {}) for side in (a, b))
    said = [side.prompts.get(policy, {}) for side in (a, b)]
    common = [at for at in ours if at in theirs and said[0].get(at, 1) == said[1].get(at, 2)]
    if len(common) >= FEWEST and 2 * len(common) >= max(len(ours), len(theirs)):
        estimate = mean_interval([theirs[at] - ours[at] for at in common])
        return Difference(estimate, True, len(common), "")
    missing = [side.letter for side, means in ((a, ours), (b, theirs)) if not means]
    why = (
        f"{' and '.join(missing)} kept no means by prompt"
        if missing
        else f"of {max(len(ours), len(theirs))} prompts they have {len(common)} in common"
    )
    tables = b.view.policies[policy], a.view.policies[policy]
    return Difference(unpaired(tables[0][measure], tables[1][measure]), False, len(common), why)


def same_measure(a: Side, b: Side, policy: str, measure: str) -> bool:
    """Whether a measure means the same in both: a score is as good as what gave it."""
    one, other = (side.scored.get(policy, {}).get(measure) for side in (a, b))
    if one is None and other is None:
        return True
    if one is None or other is None:
        return False
    if a.keys.get(one) is not None and a.keys.get(one) == b.keys.get(other):
        return True
    ours, theirs = a.stage(one), b.stage(other)
    return ours is not None and ours[0] in CHECKS and ours == theirs


def same_policy(a: Side, b: Side, policy: str) -> bool:
    """Whether a policy was made by a stage under the same key in both, so that it is the same."""
    one = _key(a, a.made, policy)
    return one is not None and one == _key(b, b.made, policy)


def _key(side: Side, stages: Mapping[str, str], policy: str) -> str | None:
    """The key of a policy's stage."""
    return side.keys.get(stages.get(policy, ""))


def notes(sides: Sequence[Side]) -> list[str]:
    """What a reader has to know before believing the table."""
    first, *others = sides
    said = [f"{s.letter} is not evaluated yet." for s in sides if not s.view.policies]
    every = in_order([name for side in sides for name in side.view.policies], ())
    for name in every:
        having = [side.letter for side in sides if name in side.view.policies]
        if len(having) < len([side for side in sides if side.view.policies]):
            said.append(f"{name} was measured in {' and '.join(having)} alone.")
    for other in others:
        pair = f"{first.letter} and {other.letter}"
        both = [name for name in every if name in first.made and name in other.made]
        scores = dict.fromkeys(each for name in both for each in first.scored[name])
        said += [
            f"{pair}: {each} is the score of another reward in each, so no difference is told."
            for each in scores
            if not all(same_measure(first, other, name, each) for name in both)
        ]
        if any(_key(first, first.references, name) != _key(other, other.references, name)
               for name in both):  # fmt: skip
            said.append(f"{pair}: each measures KL from a reference of its own.")
    return [*said, *_otherwise(sides)]


def _otherwise(sides: Sequence[Side]) -> Iterator[str]:
    """Where the runs come from, if that is not the same."""
    commits = [(side.view.provenance.get("git") or {}).get("commit") for side in sides]
    if len(set(commits)) > 1:
        told = ", ".join(f"{side.letter} {str(commit)[:12]}"
                         for side, commit in zip(sides, commits, strict=True))  # fmt: skip
        yield f"They were begun with different states of Heed's code: {told}."
    versions = [side.view.provenance.get("versions") or {} for side in sides]
    names = dict.fromkeys(name for table in versions for name in table)
    for name in names:
        found = [str(table.get(name, _ABSENT)) for table in versions]
        if len(set(found)) > 1:
            yield f"They ran with different versions of {name}: {', '.join(found)}."


def _side(letter: str, directory: Path) -> Side:
    if seeds_of(directory):
        raise UserError(
            f"{directory} holds the runs of several seeds. Name one of them, such as "
            f"{seeds_of(directory)[0]}."
        )
    view = read_run(directory)
    side = Side(letter, directory, view, _object(directory / "keys.json"))
    for stage in view.stages:
        if stage.kind != "evaluate" or not stage.done:
            continue
        settings = stage.settings
        kept = _object(directory / stage.name / "by_prompt.json")
        for label, made in (settings.get("policies") or {}).items():
            policy = view.called(stage.name, label)
            side.made[policy] = str(made)
            reward = {"proxy": str(settings["reward"])} if settings.get("reward") else {}
            side.scored[policy] = {**reward, **(settings.get("also") or {})}
            side.references[policy] = str(settings.get("reference"))
            side.prompts[policy] = kept.get("prompts") or {}
            side.means[policy] = {
                measure: {at: value for at, value in found.items() if isinstance(value, float)}
                for measure, found in ((kept.get("policies") or {}).get(label) or {}).items()
            }
    return side


def _flat(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(dotted name, value) of every setting; a stage's under its name."""
    for name, value in recipe.items():
        if name == "stages":
            for item in value or []:
                kind, settings = next(iter(item.items()))
                own = {"kind": kind, **(settings or {})}
                yield from _flat_in(str(own.pop("name", kind)), own)
        elif name not in _WORDS:
            yield from (
                _flat_in(name, value)
                if isinstance(value, Mapping) and value
                else ((name, _told(value)),)
            )


def _flat_in(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _flat_in(f"{prefix}.{name}", inner)
        else:
            yield f"{prefix}.{name}", _told(inner)


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _object(path: Path) -> dict[str, Any]:
    """A file's JSON object, {} where there is none.

    Raises UserError where it is spoilt.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}).") from error
    return value if isinstance(value, dict) else {}
