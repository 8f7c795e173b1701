r"""HH-RLHF transcripts: pairs of dialogues in JSON lines, read as comparisons.

A row is {"chosen": ..., "rejected": ...}; each side is a whole dialogue written as
"\n\nHuman: ...\n\nAssistant: ..." whose last turn is the answer (Bai et al. 2022). Rows that
hold no usable comparison are set aside and counted by reason, never dropped in silence.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from heed.errors import UserError
from heed.types import Comparison, Message, Prompt, Role

MALFORMED = "malformed transcripts"
UNLIKE_PROMPTS = "unlike prompts"
EMPTY_ANSWERS = "empty answers"
EQUAL_ANSWERS = "equal answers"

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_SUFFIXES = (".jsonl", ".jsonl.gz")
_SPLIT_NAMES = ("train", "test")


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Comparisons ready for training, and how many rows were set aside for which reason."""

    comparisons: tuple[Comparison, ...]
    set_aside: dict[str, int]

    def message(self) -> str:
        """One line for the user: what was read and what was left out."""
        line = f"{len(self.comparisons):,} comparisons read"
        if not self.set_aside:
            return f"{line}; nothing set aside."
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.set_aside.items())
        return f"{line}; {sum(self.set_aside.values()):,} rows set aside: {reasons}."


def read_transcripts(path: Path | Sequence[Path]) -> Transcripts:
    """Read a file, several files or directories of transcripts (.jsonl, plain or gzipped).

    A prompt's family is its file's name without suffixes (the folder's name for a file called
    train or test, as the published data set is laid out); its id is "family:line". Turns lose
    the white space around them.

    Raises:
        UserError: a path without transcripts, a row that is no JSON object with the texts
            "chosen" and "rejected" (file and line are named), or not one usable row.
    """
    comparisons: list[Comparison] = []
    set_aside: Counter[str] = Counter()
    for name, file in _named_files([path] if isinstance(path, Path) else path).items():
        for number, chosen, rejected in _rows(file):
            found = compare(chosen, rejected, id=f"{name}:{number}", family=name.split("/")[0])
            if isinstance(found, Comparison):
                comparisons.append(found)
            else:
                set_aside[found] += 1
    transcripts = Transcripts(tuple(comparisons), dict(sorted(set_aside.items())))
    if not comparisons:
        raise UserError(
            f"{path}: not one row can be used ({transcripts.message()}) A transcript starts with"
            ' "\\n\\nHuman: " and ends with an "\\n\\nAssistant: " turn.'
        )
    return transcripts


def split_by_prompt(
    comparisons: Sequence[Comparison], heldout: float = 0.1, seed: int = 0
) -> list[Comparison]:
    """The comparisons in their order, `prompt.split` set so that no opening is on both sides.

    Dialogues with the same first human message (case and white space aside) stay together: the
    published data repeat them across pairs and files. Openings are ranked by a seeded hash, not
    drawn in order, so that the split does not depend on the order of the rows; the first `heldout`
    share of the openings is held out, at least one of two or more where `heldout` > 0.

    Raises:
        ValueError: heldout is not within [0, 1).
    """
    if not 0 <= heldout < 1:
        raise ValueError(f"the held-out share lies within [0, 1), got {heldout}")
    openings = sorted(
        {_opening(comparison.prompt) for comparison in comparisons},
        key=lambda opening: hashlib.sha256(f"{seed}\n{opening}".encode()).digest(),
    )
    count = round(heldout * len(openings))
    if heldout > 0 and len(openings) > 1:
        count = max(1, count)
    held = set(openings[:count])
    return [
        replace(
            comparison,
            prompt=replace(
                comparison.prompt,
                split="heldout" if _opening(comparison.prompt) in held else "train",
            ),
        )
        for comparison in comparisons
    ]


def _opening(prompt: Prompt) -> str:
    return " ".join(prompt.messages[0].content.casefold().split())


def compare(chosen: str, rejected: str, *, id: str = "", family: str = "") -> Comparison | str:
    """The comparison two transcripts make, or the reason why they make none."""
    left, right = _turns(chosen), _turns(rejected)
    if left[:-1] != right[:-1]:
        return UNLIKE_PROMPTS
    if not _well_formed(left) or not _well_formed(right):
        return MALFORMED
    if not left[-1].content or not right[-1].content:
        return EMPTY_ANSWERS
    if left[-1] == right[-1]:
        return EQUAL_ANSWERS
    return Comparison(Prompt(id, left[:-1], family), left[-1].content, right[-1].content)


def _turns(transcript: str) -> tuple[Message, ...]:
    """A transcript's messages; what stands before the first label is a system message."""
    before, *rest = _TURN.split(transcript)
    first = (Message("system", before.strip()),) if before.strip() else ()
    return first + tuple(
        Message(_ROLES[name], content.strip())
        for name, content in zip(rest[::2], rest[1::2], strict=True)
    )


def _well_formed(messages: tuple[Message, ...]) -> bool:
    """Human and assistant by turns, the assistant last; only the last message may be empty."""
    roles = [message.role for message in messages]
    by_turns = roles == ["user", "assistant"] * (len(roles) // 2)
    return bool(roles) and by_turns and all(message.content for message in messages[:-1])


def transcripts_name(file: Path) -> str:
    """What a file of transcripts holds: its name, below that of its folder for train and test."""
    stem = file.name.removesuffix(".gz").removesuffix(".jsonl")
    # The stage of the data set stays in the name, so that ids train:1 and test:1 differ.
    return f"{file.resolve().parent.name}/{stem}" if stem in _SPLIT_NAMES else stem


def write_transcript(messages: Sequence[Message], answer: str) -> str:
    """A dialogue as `read_transcripts` reads it: turns without the white space around them.

    Raises:
        ValueError: the dialogue cannot be told back from what would be written.
    """
    turns = tuple(
        replace(turn, content=turn.content.strip())
        for turn in (*messages, Message("assistant", answer))
    )
    names = {role: name for name, role in _ROLES.items()}
    if any(turn.role not in names for turn in turns):
        raise ValueError("system messages")
    written = "".join(f"\n\n{names[turn.role]}: {turn.content}" for turn in turns)
    if _turns(written) != turns or not _well_formed(turns) or not turns[-1].content:
        raise ValueError("dialogues that transcripts cannot tell")
    return written


def _named_files(paths: Sequence[Path]) -> dict[str, Path]:
    """Every file of transcripts under a name of its own."""
    named: dict[str, Path] = {}
    for file in (file for path in paths for file in _files(path)):
        name = transcripts_name(file)
        if name in named:
            raise UserError(
                f"{named[name]} and {file} would both be called {name!r} in the report and in"
                " prompt ids; rename one of them."
            )
        named[name] = file
    return named


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.name.endswith(_SUFFIXES))
    if not found:
        problem = "holds no .jsonl or .jsonl.gz file" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {problem}. Give the folder or the files of HH-RLHF transcripts.")
    return found


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, chosen, rejected) of each row; blank lines are passed over."""
    number = 0
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, *_sides(line, f"{file}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}, after line {number}: cannot be read as UTF-8 text ({error})."
            " Copy or download the file again."
        ) from error


def _sides(line: str, where: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: this is not JSON ({error}). Repair or remove it.") from error
    for key in ("chosen", "rejected"):
        if not isinstance(row, dict) or not isinstance(row.get(key), str):
            raise UserError(
                f"{where}: the row has no text {key!r}. A row of HH-RLHF is"
                ' {"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": "..."}.'
            )
    return row["chosen"], row["rejected"]
