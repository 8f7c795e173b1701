"""How an engine's ids become text: an answer in a conversation, or the continuation of a text."""

from __future__ import annotations

from collections.abc import Sequence

from heed.models.chat import ChatFormat
from heed.sampling.streaming import Decodes, Spelling


class Continuation:
    """Reads ids as what follows a text, whose own end decides about spaces between."""

    def __init__(self, chat: ChatFormat, before: Sequence[int]) -> None:
        self.tokenizer = chat.tokenizer
        self._stop_ids = chat.stop_ids
        self._before = list(before)
        self._start = len(self._decoded([]))

    def text(self, ids: Sequence[int]) -> str:
        """The text of these ids, cut before the first stop id, without special tokens."""
        end = next((at for at, token in enumerate(ids) if token in self._stop_ids), len(ids))
        return self._decoded(ids[:end])[self._start :]

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(
                [*self._before, *ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


class Reader:
    """Text of ids up to the first of the `stop` strings, by `heed.sampling.asked.Reading`."""

    def __init__(self, chat: Decodes, stop: Sequence[str]) -> None:
        self._chat, self._stop = chat, stop
        self._spelling = Spelling(chat, stop)

    def settled(self, ids: Sequence[int]) -> str:
        return self._spelling.settled(ids)

    def whole(self, ids: Sequence[int]) -> str:
        text = self._chat.text(ids)
        return text[: self.stops(text)]

    def word(self, token: int) -> str:
        return str(self._chat.tokenizer.decode([token]))

    def stops(self, text: str) -> int | None:
        """Where the first stop string begins, if one is there."""
        return min((at for stop in self._stop if (at := text.find(stop)) >= 0), default=None)

    def ended(self, ids: Sequence[int]) -> bool:
        """Whether the text of these ids is at an end."""
        return bool(self._stop) and self.stops(self._chat.text(ids)) is not None
