"""How a prompt and an answer are put to an encoder: as a pair of texts, with its own separators.

    lead  prompt  between  answer  end        [CLS] prompt [SEP] answer [SEP] for BERT

The ids are those of `tokenizer(asked(prompt), answer)`, cut to a context within the two texts, so
that the tokens around them always stay. A tokenizer without a form for pairs has both in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from heed.errors import UserError
from heed.models.chat import transcript
from heed.types import Prompt


def asked(prompt: Prompt) -> str:
    """The first text of a pair: what the user says where that is all, or else the transcript up to
    "Assistant:".
    """
    if len(prompt.messages) == 1 and prompt.messages[0].role == "user":
        return prompt.messages[0].content
    return transcript(prompt)


class PairFormat:
    """One tokenizer's way to write pairs.

    `typed` says whether it tells the two texts apart by token types, 0 and 1: then a row's target
    (the answer and what ends it) has type 1. Special tokens are never parsed out of a text.

    Raises UserError where the tokenizer has no pad token, or types of another kind.
    """

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.pad_token_id is None:
            raise UserError(
                "The encoder's tokenizer has no pad token, which tells texts of different lengths "
                "apart. Set pad_token in its tokenizer_config.json."
            )
        self.tokenizer = tokenizer
        self.pad_id = int(tokenizer.pad_token_id)
        pair = tokenizer("a", "b")
        ids = [int(token) for token in pair["input_ids"]]
        first, second = self._tokenize("a"), self._tokenize("b")
        start = _place(ids, first, 0)
        middle = start + len(first)
        answer = _place(ids, second, middle)
        self.lead, self.between = ids[:start], ids[middle:answer]
        self.end = ids[answer + len(second) :]
        self.typed = _typed(pair.get("token_type_ids"), answer)
        self._prompt_ids = lru_cache(maxsize=1 << 16)(self._asked)

    def fitted(self, prompt: Prompt, text: str, context: int) -> tuple[list[int], list[int]]:
        """Token ids of prompt and answer with all that stands around them, at most `context`.

        The answer keeps at least half of the room and loses its end; the prompt its beginning.

        Raises UserError where the context has no room for two texts.
        """
        around = len(self.lead) + len(self.between) + len(self.end)
        room = context - around
        if room < 2:
            raise UserError(
                f"A context of {context} tokens has no room for a prompt and an answer beside the "
                f"{around} that the encoder's tokenizer puts around them. Set context higher."
            )
        asks, says = self._prompt_ids(prompt), self._answer_ids(text)
        says = says[: max(room - len(asks), room // 2)]
        cut = max(0, len(asks) + len(says) - room)
        return [*self.lead, *asks[cut:], *self.between], [*says, *self.end]

    def _asked(self, prompt: Prompt) -> list[int]:
        return self._tokenize(asked(prompt) if self.between else transcript(prompt))

    def _answer_ids(self, text: str) -> list[int]:
        return self._tokenize(text if self.between else f" {text}")

    def _tokenize(self, text: str) -> list[int]:
        encoded = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        )
        return [int(token) for token in encoded["input_ids"]]


def _place(ids: Sequence[int], part: Sequence[int], start: int) -> int:
    """Where a text's ids stand in a pair's."""
    for at in range(start, len(ids) - len(part) + 1):
        if list(ids[at : at + len(part)]) == list(part):
            return at
    raise UserError(
        "The encoder's tokenizer writes a pair of texts otherwise than each text by itself, so "
        "they cannot be cut to fit a context."
    )


def _typed(types: Sequence[int] | None, answer: int) -> bool:
    """Whether the second text, from `answer` on, is told from the first by token types."""
    if types is None or not any(types):
        return False
    if [int(kind) for kind in types] != [int(at >= answer) for at in range(len(types))]:
        raise UserError(
            "The encoder's tokenizer marks the texts of a pair with token types other than 0 for "
            "the first and 1 for the second, which Heed does not know how to batch."
        )
    return True
