"""From records to token rows: what every stage that trains on text starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from heed.errors import UserError
from heed.models.chat import ChatFormat
from heed.ops.batch import Answers, Pairs, Sequences
from heed.types import Comparison, Demonstration, Prompt, Unpaired


class RowFormat(Protocol):
    """How a prompt and an answer become one row: as a conversation, or as an encoder's pair."""

    pad_id: int

    def fitted(self, prompt: Prompt, text: str, context: int) -> tuple[list[int], list[int]]:
        """Token ids of prompt and finished answer, at most `context` together.

        The answer keeps at least half of the room and loses its end; the prompt its beginning.
        """


def fitted(chat: RowFormat, prompt: Prompt, text: str, context: int) -> tuple[list[int], list[int]]:
    """A row of a format; see `RowFormat`."""
    return chat.fitted(prompt, text, context)


def demonstration_rows(
    chat: ChatFormat, demonstrations: Sequence[Demonstration], context: int
) -> Sequences:
    """Prompt and answer of each demonstration; the answer, the last turn, is the target."""
    rows = [fitted(chat, item.prompt, item.text, context) for item in demonstrations]
    return Sequences.of(rows, chat.pad_id)


def conversation_rows(
    chat: ChatFormat, demonstrations: Sequence[Demonstration], context: int
) -> Sequences:
    """Whole conversations, the assistant's turns of the prompt among the targets.

    One longer than `context` is cut as by `fitted`; an answer that the cut took the beginning from
    is no target. Without earlier answers the rows are those of `demonstration_rows`.
    """
    return Sequences.marked(
        [_conversation(chat, item, context) for item in demonstrations], chat.pad_id
    )


def _conversation(
    chat: ChatFormat, item: Demonstration, context: int
) -> tuple[list[int], list[bool]]:
    *earlier, (before, answer) = chat.turns(item.prompt, item.text)
    ids: list[int] = []
    target: list[bool] = []
    for asked, said in earlier:
        ids += [*asked, *said]
        target += [False] * len(asked) + [True] * len(said)
    ids += before
    target += [False] * len(before)
    answer = answer[: max(context - len(ids), context // 2)]
    cut = max(0, len(ids) + len(answer) - context)
    ids, target = ids[cut:], target[cut:]
    torn = target.index(False)  # what the cut left of an answer, or an answer without its question
    target[:torn] = [False] * torn
    return [*ids, *answer], [*target, *[True] * len(answer)]


def text_rows(chat: ChatFormat, demonstrations: Sequence[Demonstration], context: int) -> Sequences:
    """The same dialogues as plain text to pretrain on: all tokens but the first are targets."""
    rows = []
    for item in demonstrations:
        prompt_ids, answer_ids = fitted(chat, item.prompt, item.text, context)
        text = [*prompt_ids, *answer_ids]
        rows.append((text[:1], text[1:]))
    return Sequences.of(rows, chat.pad_id)


def pair_rows(chat: RowFormat, comparisons: Sequence[Comparison], context: int) -> Pairs:
    """Both answers of each comparison; the reference's log-probs are still zero."""
    return Pairs(
        chosen=_answers(chat, comparisons, [item.chosen for item in comparisons], context),
        rejected=_answers(chat, comparisons, [item.rejected for item in comparisons], context),
        margin=torch.tensor([item.margin for item in comparisons]),
        weight=torch.tensor([item.weight for item in comparisons]),
        ref_chosen=torch.zeros(len(comparisons)),
        ref_rejected=torch.zeros(len(comparisons)),
    )


def answer_rows(chat: ChatFormat, items: Sequence[Unpaired], context: int) -> Answers:
    """Each answer, and under its prompt an answer to another: that of the next row of one.

    The reference's log-probs and the baseline are still zero. Raises UserError where all answers
    belong to one prompt.
    """
    rows = [fitted(chat, item.prompt, item.text, context) for item in items]
    others = [
        fitted(chat, item.prompt, items[other].text, context)
        for item, other in zip(items, _of_other_prompts(items), strict=True)
    ]
    zero = torch.zeros(len(items))
    return Answers(
        answer=Sequences.of(rows, chat.pad_id),
        mismatched=Sequences.of(others, chat.pad_id),
        desirable=torch.tensor([item.desirable for item in items]),
        weight=torch.tensor([item.weight for item in items]),
        ref_answer=zero,
        ref_mismatched=zero,
        baseline=zero,
    )


def _of_other_prompts(items: Sequence[Unpaired]) -> list[int]:
    """For each row the next one, around the end, whose prompt is another."""
    if all(item.prompt == items[0].prompt for item in items):
        raise UserError(
            "Feedback on a single prompt has no answers to other prompts, which KTO measures its "
            "baseline on. Collect feedback on more prompts, or use DPO."
        )
    count = len(items)
    found = [0] * count
    # From the end backwards, twice around: the next row is either of another prompt, or of the
    # same and has found its own already.
    for place in reversed(range(2 * count)):
        row, after = place % count, (place + 1) % count
        same = items[row].prompt == items[after].prompt
        found[row] = found[after] if same else after
    return found


def _answers(
    chat: RowFormat, comparisons: Sequence[Comparison], texts: Sequence[str], context: int
) -> Sequences:
    pairs = zip(comparisons, texts, strict=True)
    rows = [fitted(chat, item.prompt, text, context) for item, text in pairs]
    return Sequences.of(rows, chat.pad_id)
