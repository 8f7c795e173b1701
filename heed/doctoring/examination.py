"""Everything that is looked at, in the order in which it is told, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from heed.doctoring import hub, libraries, machine, places, versions
from heed.doctoring.check import Check, Level


def examine(runs: Path, *, quick: bool, online: bool) -> Iterator[Check]:
    """Look at one thing after the other; the libraries, which take longest, last but the speed."""
    yield from versions.versions()
    yield from machine.processor()
    yield from machine.memory()
    yield from places.places(runs)
    yield from hub.hub(online=online)
    yield from machine.terminal()
    yield from versions.extras()
    found = libraries.probe(speed=not quick)
    yield from libraries.libraries(found)
    yield from libraries.devices(found)
    yield from libraries.speeds(found)


def of(checks: Sequence[Check], level: Level) -> list[Check]:
    """Those that stand so."""
    return [check for check in checks if check.level == level]


def summary(checks: Sequence[Check]) -> list[str]:
    """What is fine, what is missing, what to do."""
    broken, notes, missing = (of(checks, level) for level in ("broken", "note", "missing"))
    lines = [f"{len(of(checks, 'fine'))} of {len(checks)} are fine."]
    if missing:
        lines.append(f"Optional and not there: {', '.join(check.name for check in missing)}.")
    lines.append(
        f"Heed cannot work as it is: {', '.join(dict.fromkeys(check.name for check in broken))}."
        if broken
        else "Nothing that Heed needs is broken."
    )
    todo = [f"{check.name}: {check.remedy}" for check in [*broken, *notes] if check.remedy]
    return [*lines, *(f"  {number}. {each}" for number, each in enumerate(todo, start=1))]
