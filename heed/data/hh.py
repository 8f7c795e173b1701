"""HH-RLHF transcripts as rows among other formats (see `transcripts` for the format itself)."""

from __future__ import annotations

from typing import Any

from heed.data import fields
from heed.data.entries import Entry, Reading, preferred, prompt_of
from heed.data.rows import Row, SetAside
from heed.data.transcripts import compare, transcripts_name, write_transcript
from heed.data.trl import author, strength, worth
from heed.types import Comparison


def transcripts(row: Row, reading: Reading) -> Entry:
    """Two dialogues that differ in their last turn; the file's name is the prompts' family."""
    found = compare(fields.text(row.values, "chosen"), fields.text(row.values, "rejected"))
    if isinstance(found, str):
        raise SetAside(found)
    name = transcripts_name(reading.file)
    prompt = prompt_of(
        found.prompt.messages,
        id=f"{name}:{row.number}" if reading.to_train else "",
        family=name.split("/", maxsplit=1)[0],
        split=fields.split(row.values),
    )
    by = author(row.values, reading)
    by_margin = strength(row.values)
    return preferred(row, prompt, found.chosen, found.rejected, strength=by_margin, by=by)


def transcripts_row(comparison: Comparison) -> dict[str, Any]:
    """Two dialogues, white space around turns left out, and what they are worth beside them.

    Raises SetAside where transcripts cannot tell this one back.
    """
    messages = comparison.prompt.messages
    try:
        return {
            "chosen": write_transcript(messages, comparison.chosen),
            "rejected": write_transcript(messages, comparison.rejected),
            **worth(comparison),
        }
    except ValueError as error:
        raise SetAside(str(error)) from error
