r"""HH-RLHF transcripts: pairs of dialogues, read as comparisons and written.

A row is {"chosen": ..., "rejected": ...}; each side is a whole dialogue written as
"\n\nHuman: ...\n\nAssistant: ..." whose last turn is the answer (Bai et al. 2022).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from heed.types import Comparison, Message, Prompt, Role

MALFORMED = "malformed transcripts"
UNLIKE_PROMPTS = "unlike prompts"
EMPTY_ANSWERS = "empty answers"
EQUAL_ANSWERS = "equal answers"

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_SPLIT_NAMES = ("train", "test")


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
    """A dialogue as `compare` reads it: turns without the white space around them.

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
