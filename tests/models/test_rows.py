"""From records to token rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heed.errors import UserError
from heed.models.rows import (
    answer_rows,
    conversation_rows,
    demonstration_rows,
    fitted,
    pair_rows,
    text_rows,
)
from heed.types import Comparison, Demonstration, Message, Prompt, Unpaired

PROMPT = Prompt.of("red green blue ?")


@pytest.fixture
def chat(toy_lm: Any) -> Any:
    return toy_lm().chat


def test_what_fits_is_left_whole(chat: Any) -> None:
    prompt, answer = fitted(chat, PROMPT, "yes no", 64)
    assert prompt == chat.prompt_ids(PROMPT)
    assert answer == [*chat.completion_ids("yes no", finished=False), chat.eos_id]


@pytest.mark.parametrize("context", [2, 3, 5, 8, 9, 20])
@pytest.mark.parametrize("words", [0, 1, 4, 30])
def test_nothing_is_longer_than_the_context(chat: Any, context: int, words: int) -> None:
    whole_prompt = chat.prompt_ids(PROMPT)
    whole_answer = chat.completion_ids("yes " * words)
    prompt, answer = fitted(chat, PROMPT, "yes " * words, context)
    assert len(prompt) + len(answer) <= context
    assert prompt
    assert whole_prompt[-len(prompt) :] == prompt  # the prompt loses its beginning
    assert whole_answer[: len(answer)] == answer  # the answer its end
    assert len(answer) >= min(len(whole_answer), context // 2)


def test_the_answer_is_the_target(chat: Any) -> None:
    rows = demonstration_rows(chat, [Demonstration(PROMPT, "yes"), Demonstration(PROMPT, "")], 64)
    prompt = chat.prompt_ids(PROMPT)
    assert rows.target.sum(1).tolist() == [2, 1]
    assert rows.ids[0][rows.target[0]].tolist() == chat.completion_ids("yes")
    assert rows.target[:, : len(prompt)].sum() == 0
    assert rows.mask.sum(1).tolist() == [len(prompt) + 2, len(prompt) + 1]


def test_of_a_text_everything_but_the_first_token_is_the_target(chat: Any) -> None:
    rows = text_rows(chat, [Demonstration(PROMPT, "yes no")], 64)
    whole = [*chat.prompt_ids(PROMPT), *chat.completion_ids("yes no")]
    assert rows.ids[0].tolist() == whole
    assert rows.target[0].tolist() == [False, *[True] * (len(whole) - 1)]


def test_pairs_keep_margin_and_weight(chat: Any) -> None:
    items = [
        Comparison(PROMPT, "yes", "no no", margin=1 / 3, weight=2.0),
        Comparison(PROMPT, "one two red", "blue"),
    ]
    pairs = pair_rows(chat, items, 64)
    assert pairs.margin.tolist() == pytest.approx([1 / 3, 0.0])
    assert pairs.weight.tolist() == [2.0, 1.0]
    for side, name in ((pairs.chosen, "chosen"), (pairs.rejected, "rejected")):
        for row, item in enumerate(items):
            answer = side.ids[row][side.target[row]].tolist()
            assert answer == chat.completion_ids(getattr(item, name))
    assert not torch.cat([pairs.ref_chosen, pairs.ref_rejected]).any()


def test_answers_stand_under_another_prompt_too(chat: Any) -> None:
    asked = [
        Prompt.of(text) for text in ("good ?", "bad ?", "good ?", "good ?", "blue ?", "good ?")
    ]
    texts = ["yes", "no", "maybe", "one", "two", "red"]
    items = [Unpaired(asked[i], texts[i], i % 2 == 0, weight=1.0 + i) for i in range(6)]
    rows = answer_rows(chat, items, 64)
    assert rows.desirable.tolist() == [True, False] * 3
    assert rows.weight.tolist() == [1, 2, 3, 4, 5, 6]
    assert not rows.ref_answer.any()
    assert not rows.baseline.any()
    # The next row of another prompt, around the end.
    others = ["no", "maybe", "two", "two", "red", "no"]
    for part, answers in ((rows.answer, texts), (rows.mismatched, others)):
        for row, (prompt, text) in enumerate(zip(asked, answers, strict=True)):
            whole = part.ids[row][part.mask[row]].tolist()
            assert whole == [*chat.prompt_ids(prompt), *chat.completion_ids(text)]
            assert part.ids[row][part.target[row]].tolist() == chat.completion_ids(text)


def test_answers_to_one_prompt_have_no_other(chat: Any) -> None:
    items = [Unpaired(PROMPT, "yes", True), Unpaired(PROMPT, "no", False)]
    with pytest.raises(UserError, match="Collect feedback on more prompts, or use DPO"):
        answer_rows(chat, items, 64)


TALK = Prompt(
    "talk",
    (
        Message("user", "red ?"),
        Message("assistant", "yes yes"),
        Message("user", "blue ?"),
        Message("assistant", "no"),
        Message("user", "one ?"),
    ),
)


def answers(rows: Any, row: int = 0) -> list[list[int]]:
    """The runs of target tokens."""
    runs: list[list[int]] = []
    was = False
    for token, marked in zip(rows.ids[row].tolist(), rows.target[row].tolist(), strict=True):
        if marked:
            runs = runs if was else [*runs, []]
            runs[-1].append(token)
        was = marked
    return runs


def test_every_answer_of_a_conversation_is_a_target(chat: Any) -> None:
    said = [chat.completion_ids(text, finished=False) for text in ("yes yes", "no")]
    rows = conversation_rows(chat, [Demonstration(TALK, "two")], 64)
    assert answers(rows) == [*said, chat.completion_ids("two")]
    last = demonstration_rows(chat, [Demonstration(TALK, "two")], 64)
    assert torch.equal(rows.ids, last.ids)
    assert answers(last) == [chat.completion_ids("two")]


def test_without_earlier_answers_the_rows_are_the_same(chat: Any) -> None:
    items = [Demonstration(PROMPT, "yes " * count) for count in (0, 1, 5, 40)]
    for context in (4, 9, 64):
        every, last = (make(chat, items, context) for make in (conversation_rows,
                                                               demonstration_rows))  # fmt: skip
        assert torch.equal(every.ids, last.ids)
        assert torch.equal(every.target, last.target)


@pytest.mark.parametrize("context", range(4, 24))
def test_a_conversation_longer_than_the_context_loses_its_beginning(
    chat: Any, context: int
) -> None:
    whole = conversation_rows(chat, [Demonstration(TALK, "two")], 64)
    length = whole.ids.shape[1]
    rows = conversation_rows(chat, [Demonstration(TALK, "two")], context)
    kept = min(context, length)
    assert rows.ids[0].tolist() == whole.ids[0].tolist()[length - kept :]
    # An answer counts as a whole, with something before it, or not at all.
    assert answers(rows) == answers(whole)[-len(answers(rows)) :]
    assert not rows.target[0, 0]
    first = next(at for at, mark in enumerate(whole.target[0].tolist()) if mark)
    assert (len(answers(rows)) == 3) == (length - kept < first)


def test_a_long_last_answer_keeps_half_of_the_context(chat: Any) -> None:
    rows = conversation_rows(chat, [Demonstration(TALK, "two " * 40)], 12)
    assert rows.target[0, 5:].tolist() == [False] + [True] * 6
    assert rows.ids[0, 6:].tolist() == chat.completion_ids("two " * 40)[:6]
