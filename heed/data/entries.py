"""What a row says: an item, with what was said of it, and who it is by its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from heed.data.rows import BadRow, Row, RowError, SetAside
from heed.types import (
    Annotation,
    Demonstration,
    Item,
    Judged,
    Message,
    Prompt,
    Split,
    Unpaired,
    Verdict,
)

IMPORTED = "import"
"""The source, and by default the annotator, of what a file does not ascribe to anyone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An item and what was said of it, both with an empty id where the file gives none.

    `keyed`: the annotations carry occasions and revisions of their own.
    """

    row: Row
    item: Item
    annotations: tuple[Annotation, ...] = ()
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Aside:
    """A well-formed row that holds no comparison."""

    row: Row
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader knows beside the rows: whose verdicts unsigned ones are, which files belong.

    `to_train`: the rows become training records, in which transcripts' prompts are called by file
    and line.
    """

    file: Path
    annotator: str = IMPORTED
    companions: tuple[Path, ...] = ()
    to_train: bool = False


Said = Entry | Judged | Demonstration | Unpaired
"""What a row may say."""
Found = Said | Aside | BadRow
Reader = Callable[[Iterator[Row], Reading], Iterator[Found]]


def each(read: Callable[[Row, Reading], Said]) -> Reader:
    """A reader of files whose every row speaks for itself."""

    def read_all(rows: Iterator[Row], reading: Reading) -> Iterator[Found]:
        for row in rows:
            yield attempt(row, lambda row=row: read(row, reading))  # type: ignore[misc]

    return read_all


def attempt(row: Row, read: Callable[[], Said]) -> Found:
    """What the row says, or why it says nothing."""
    try:
        return read()
    except SetAside as aside:
        return Aside(row, str(aside))
    except ValueError as error:
        return row.bad(str(error))


def digest(*parts: object) -> str:
    """A hash of plain values: 80 bits of SHA-256, in hexadecimal."""
    written = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:20]


def content(item: Item) -> str:
    """Equal for items of the same prompt and the same answers, in whichever order."""
    return _content(item.prompt.messages, item.answers)


def _content(messages: tuple[Message, ...], answers: tuple[str, ...]) -> str:
    return digest([(turn.role, turn.content) for turn in messages], sorted(answers))


def prompt_of(
    messages: tuple[Message, ...], *, id: str = "", family: str = "", split: Split = "train"
) -> Prompt:
    """A prompt whose id, where it has none, is made from what it says."""
    made = id or f"p-{digest([(turn.role, turn.content) for turn in messages])}"
    return Prompt(made, messages, family, split)


def preferred(
    row: Row, prompt: Prompt, chosen: str, rejected: str, *, strength: int | None, by: Annotation
) -> Entry:
    """An item of two answers, of which the first is preferred.

    Which side it stood on is unknown, so the sides are drawn by a hash of the content: neither
    side is the better one more often, and the same pair comes out the same whoever is preferred.

    `strength` runs from 1 (significantly) to 4 (negligibly); None makes a ranking, which states
    none. `by` is who said so.

    Raises:
        SetAside: the answers are the same.
    """
    if chosen == rejected:
        raise SetAside("equal answers")
    answers = sorted((chosen, rejected))
    if int(_content(prompt.messages, tuple(answers))[-1], 16) % 2:
        answers.reverse()
    item = Item("", prompt, (answers[0], answers[1]))
    verdict = side(answers.index(chosen), strength)
    return Entry(row, item, (said(by, verdict),))


def side(place: int, strength: int | None = None) -> Verdict:
    """The verdict that prefers the left (0) or the right (1) of two answers."""
    if strength is None:
        return ((1, 2), (2, 1))[place]
    return (strength, 9 - strength)[place]


def signed(annotator: str, source: str) -> Annotation:
    """An annotation to be filled in: who says it."""
    if not annotator.strip():
        raise RowError("the annotator has no name")
    return Annotation("", annotator, "tie", source=source)


def said(by: Annotation, verdict: Verdict, order: tuple[int, ...] = (0, 1)) -> Annotation:
    """What `by` says of an item: a verdict on the answers in the order shown."""
    return Annotation(
        "", by.annotator, verdict, source=by.source, order=order, seconds=by.seconds,
        rewrite=by.rewrite, comment=by.comment,
    )  # fmt: skip
