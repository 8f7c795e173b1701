"""What an answer to a question with one right answer says is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heed.world.arithmetic import NUMBER, Calculation
from heed.world.facts import VALUES, Fact
from heed.world.reading import Reading
from heed.world.task import Task


def _fact(task: Fact, reading: Reading) -> str | None:
    named = reading.named(VALUES[task.relation])
    return " and ".join(sorted(named)) or None


def _sum(_task: Calculation, reading: Reading) -> str | None:
    numbers = NUMBER.findall(reading.line)
    return numbers[-1] if numbers else None


SAID: Mapping[type[Task], Callable[[Any, Reading], str | None]] = {Fact: _fact, Calculation: _sum}
"""The kinds of task that have one right answer, and how an answer to each is read."""


def said(task: Task, reading: Reading) -> str | None:
    """The answer given: the values named, or the last number; None where there is none, or where
    the task has no single right answer.
    """
    reads = SAID.get(type(task))
    return reads(task, reading) if reads else None
