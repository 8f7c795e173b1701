"""From a conversation in a file to the tokens that count: those of the assistant, in any format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.data.survey import Survey, survey
from heed.data.training_set import training_set
from heed.models.chat import ChatFormat
from heed.models.rows import conversation_rows, demonstration_rows, pair_rows
from heed.types import Comparison

SYSTEM = {"role": "system", "content": "be brief ."}
TALK = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hello to you too"},
    {"role": "user", "content": "how are you ?"},
]
GOOD, BAD = "fine , thank you .", "no"


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def transcript(answer: str) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    turns = [*TALK, *said(answer)]
    return "".join(f"\n\n{names[turn['role']]}: {turn['content']}" for turn in turns)


ITEM = {
    "id": "i", "prompt": {"id": "p", "messages": [SYSTEM, *TALK]}, "answers": [GOOD, BAD],
}  # fmt: skip
FORMATS: dict[str, dict[str, Any]] = {
    "trl": {"prompt": [SYSTEM, *TALK], "chosen": said(GOOD), "rejected": said(BAD)},
    "implicit": {"chosen": [SYSTEM, *TALK, *said(GOOD)], "rejected": [SYSTEM, *TALK, *said(BAD)]},
    "messages": {"messages": [SYSTEM, *TALK, *said(GOOD)]},
    "completion": {"prompt": [SYSTEM, *TALK], "completion": said(GOOD)},
    "unpaired": {"prompt": [SYSTEM, *TALK], "completion": said(GOOD), "label": True},
    "hh": {"chosen": transcript(GOOD), "rejected": transcript(BAD)},
    "heed": {"item": ITEM, "annotations": [{"annotator": "a", "verdict": 1, "order": [0, 1]}]},
    "ultrafeedback": {
        "instruction": [SYSTEM, *TALK],
        "completions": [{"response": GOOD, "overall_score": 5},
                        {"response": BAD, "overall_score": 1}],
    },
}  # fmt: skip


@pytest.fixture(params=FORMATS)
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Survey:
    file = tmp_path / "talk.jsonl"
    file.write_text(json.dumps(FORMATS[request.param]) + "\n")
    return survey([str(file)])


@pytest.mark.parametrize("kind", ["templated", "without_pad"])
def test_the_assistant_s_tokens_count_and_no_others(
    found: Survey, kind: str, tokenizer_of: Any
) -> None:
    chat = ChatFormat(tokenizer_of(kind))
    made = training_set(found, heldout=0.1, limit=None, seed=lambda *_: 0)
    (shown,) = made.imitated
    roles = [turn.role for turn in shown.prompt.messages]
    assert roles[-3:] == ["user", "assistant", "user"]
    assert (roles[0] == "system") == ("hh" not in found.formats.values())
    rows = conversation_rows(chat, [shown], 256)
    ids, target = rows.ids[0].tolist(), rows.target[0].tolist()
    # A template closes each of its turns; Heed's own form ends the last answer alone.
    first = chat.completion_ids("hello to you too", finished=kind == "templated")
    last = chat.completion_ids(GOOD)
    assert [token for token, counts in zip(ids, target, strict=True) if counts] == [*first, *last]
    whole = [*chat.prompt_ids(shown.prompt), *last]
    assert ids == whole
    only = demonstration_rows(chat, [shown], 256)
    assert sum(only.target[0].tolist()) == len(last)
    assert only.ids[0].tolist() == whole


@pytest.mark.parametrize("kind", ["templated", "without_pad"])
def test_pairs_differ_in_the_last_answer_alone(found: Survey, kind: str, tokenizer_of: Any) -> None:
    chat = ChatFormat(tokenizer_of(kind))
    pairs = list(found.comparisons)
    assert len(pairs) == (not found.unpaired and not found.demonstrations)
    rows = pair_rows(chat, pairs or [Comparison(found.prompts[0], GOOD, BAD)], 256)
    for side, text in ((rows.chosen, GOOD), (rows.rejected, BAD)):
        marked = [t for t, counts in zip(side.ids[0].tolist(), side.target[0].tolist(), strict=True)
                  if counts]  # fmt: skip
        assert marked == chat.completion_ids(text)
