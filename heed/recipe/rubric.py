"""What a recipe says of a judge's rubric, and the rules by which a rubric can work.

`heed.judging.rubric.Rubric` keeps the same rules, for whoever makes a judge without a recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import field_validator

from heed.recipe.base import Settings
from heed.types import GRADES, Role, Undecided

NEEDED = ("conversation", "left", "right")
KNOWN = (*NEEDED, "principle", "boundary")
GRADED = ("conversation", "answer")
"""What the question about a single answer needs."""
BY_REFERENCE = (*GRADED, "reference")
"""And where a right answer is known."""
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_MARKDOWN = str.maketrans("", "", "*_`#")
_AROUND = " \t'\"[]()."
"""What models put around a verdict without meaning anything by it."""

Ruling = int | Undecided
"""A verdict on two answers: a grade, or an answer of its own."""


class Rubric(Settings):
    """What a judge is asked, and how its reply is read; what is null is the built-in one's."""

    template: str | None = None
    """The question, with {conversation}, {left}, {right}, and {principle} where one is asked by."""
    verdicts: dict[str, Ruling] | None = None
    """Last line of a reply, after the marker -> a grade of 1..8, tie, both_bad or cannot_tell."""
    marker: str | None = None
    """What stands before that word on the last line."""
    system: str | None = None
    """System message of the judge's own conversation."""
    reminders: list[str] | None = None
    """Added to the question, in turn, when a reply gave no verdict."""
    turns: dict[Role, str] | None = None
    """How a message of each role is written within {conversation}, as {text}."""

    @field_validator("template")
    @classmethod
    def _has_its_places(cls, template: str | None) -> str | None:
        if template is not None:
            check_template(template)
        return template

    @field_validator("verdicts")
    @classmethod
    def _have_mirror_images(cls, verdicts: dict[str, Ruling] | None) -> dict[str, Ruling] | None:
        if verdicts is not None:
            check_verdicts(verdicts)
        return verdicts

    @field_validator("turns")
    @classmethod
    def _show_the_user(cls, turns: dict[Role, str] | None) -> dict[Role, str] | None:
        if turns is not None:
            check_turns(turns)
        return turns

    def check(self, *, by_principle: bool) -> None:
        """Raise ValueError where the template has {principle} and none is asked by, or not."""
        if self.template is not None and ("{principle}" in self.template) != by_principle:
            raise ValueError(
                "a constitution reaches the judge by {principle} in judge.rubric.template; add it"
                if by_principle
                else "judge.rubric.template has {principle}, but a judge alone has none to put "
                "there; write it out, or set source to constitution"
            )


class GradingRubric(Settings):
    """What a judge is asked of one answer, and how its reply is read; null takes the built-in."""

    template: str | None = None
    """The question, with {conversation} and {answer}; {boundary} fences them in."""
    marker: str | None = None
    """What stands before the grade of 1 to 10 on the reply's last line."""
    system: str | None = None
    """System message of the judge's own conversation."""

    @field_validator("template")
    @classmethod
    def _has_its_places(cls, template: str | None) -> str | None:
        if template is not None:
            check_template(template, GRADED, (*GRADED, "boundary"))
        return template


class TurnsRubric(GradingRubric):
    """The same of the answers of conversations, some of which have a reference answer."""

    referenced: str | None = None
    """The question where there is one: {conversation}, {answer} and {reference}."""

    @field_validator("referenced")
    @classmethod
    def _has_its_places_too(cls, template: str | None) -> str | None:
        if template is not None:
            check_template(template, BY_REFERENCE, (*BY_REFERENCE, "boundary"))
        return template


def check_template(
    template: str, needed: Sequence[str] = NEEDED, known: Sequence[str] = KNOWN
) -> None:
    """Raise ValueError unless the template has its placeholders, and none that nobody fills in."""
    named = set(PLACEHOLDER.findall(template))
    if missing := [name for name in needed if name not in named]:
        raise ValueError(f"the template has no {_braced(missing)}; add it")
    if unknown := sorted(named - set(known)):
        raise ValueError(
            f"the template has {_braced(unknown)}, which Heed does not fill in; it knows "
            f"{_braced(known)}"
        )


def check_verdicts(verdicts: Mapping[str, Ruling]) -> None:
    """Raise ValueError unless every word can be told and every grade has its mirror image."""
    for word, meaning in verdicts.items():
        if not plain(word):
            raise ValueError(f"the verdict {word!r}, which means {meaning!r}, is no word")
        if isinstance(meaning, str):
            if meaning not in get_args(Undecided):
                raise ValueError(
                    f"the verdict {word!r} means {meaning!r}, which is no grade and none of "
                    f"{', '.join(get_args(Undecided))}"
                )
        elif type(meaning) is not int or meaning not in GRADES:
            raise ValueError(f"the verdict {word!r} means {meaning!r}, but grades are 1 to 8")
    if len({plain(word) for word in verdicts}) < len(verdicts):
        raise ValueError("two of the verdicts differ only in case or punctuation")
    grades = {meaning for meaning in verdicts.values() if not isinstance(meaning, str)}
    if not grades or any(9 - grade not in grades for grade in grades):
        raise ValueError(
            f"the verdicts have the grades {sorted(grades)}; each needs its mirror image (1 and "
            "8, 2 and 7, 3 and 6, 4 and 5), because every pair is also judged with its answers "
            "swapped"
        )


def check_turns(turns: Mapping[Role, str]) -> None:
    """Raise ValueError unless they say how a user's message is written."""
    if "{text}" not in turns.get("user", ""):
        raise ValueError("the turns need one for `user`, with {text} in it")


def plain(word: str) -> str:
    """A verdict without case, Markdown, brackets or full stop around it, and double spaces."""
    return " ".join(word.translate(_MARKDOWN).strip(_AROUND).casefold().split())


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
