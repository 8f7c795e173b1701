"""Arithmetic: small sums, differences and products.

Every calculation is asked in two forms of words; of some, one form is held out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from heed.world.grammar import Slots
from heed.world.manners import NEGATION
from heed.world.reading import Reading
from heed.world.task import BESIDE_THE_POINT, RIGHT, WRONG, Question, Task, Verdict, phrase

Operation = Literal["plus", "minus", "times"]

APPLY: dict[Operation, Callable[[int, int], int]] = {
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "times": lambda a, b: a * b,
}
PAIRS: dict[Operation, tuple[tuple[int, int], ...]] = {
    "plus": tuple((a, b) for a in range(1, 10) for b in range(1, 11 - a)),
    "minus": tuple((a, b) for a in range(2, 11) for b in range(1, a)),
    "times": tuple((a, b) for a in range(2, 7) for b in range(2, 7) if a * b <= 20),
}
COUNTS: dict[Operation, int] = {"plus": 16, "minus": 8, "times": 6}

QUESTIONS = (
    "What is {a} {op} {b}?",
    "How much is {a} {op} {b}?",
    "Can you work out {a} {op} {b}?",
    "Please tell me what {a} {op} {b} makes.",
)
STATEMENTS = (
    "{a} {op} {b} is {value}.",
    "{a} {op} {b} is {value}.",
    "{a} {op} {b} makes {value}.",
    "The answer is {value}.",
)
NUMBER = re.compile(r"(?<= )\d+(?= )")


@dataclass(frozen=True)
class Calculation(Task):
    """`a op b`, and its result."""

    family: ClassVar[str] = "arithmetic"
    a: int
    op: Operation
    b: int
    answer: int

    def slots(self) -> Slots:
        near = (self.answer + step for step in (-2, -1, 1, 2))
        return {
            "core": tuple(form.replace("{value}", "{answer}") for form in STATEMENTS),
            "miss": tuple(form.replace("{value}", "{slip}") for form in STATEMENTS),
            "a": (str(self.a),),
            "op": (self.op,),
            "b": (str(self.b),),
            "answer": (str(self.answer),),
            "slip": tuple(str(number) for number in near if number > 0),
        }

    def judge(self, reading: Reading) -> Verdict:
        """Right is the result alone, or the operands in order and then the result."""
        numbers = [int(number) for number in NUMBER.findall(reading.line)]
        if not numbers:
            return Verdict(False, BESIDE_THE_POINT)
        denied = any(NUMBER.search(part) and NEGATION.search(part) for part in reading.sentences)
        said = numbers in ([self.answer], [self.a, self.b, self.answer])
        correct = said and not denied and not reading.asks and reading.composed
        return Verdict(correct, RIGHT if correct else WRONG)


def draw(rng: random.Random) -> list[Question]:
    """Some pairs of operands for each operation, asked in two of four forms each."""
    groups: list[tuple[str, Task, dict[str, str]]] = []
    for op, count in COUNTS.items():
        for a, b in rng.sample(PAIRS[op], count):
            task = Calculation(a=a, op=op, b=b, answer=APPLY[op](a, b))
            groups.append((f"{op}/{a}-{b}", task, {"a": str(a), "op": op, "b": str(b)}))
    return phrase(groups, QUESTIONS, 2, rng)
