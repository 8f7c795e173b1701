"""An answer while it is written: its text in pieces, none of which a later token takes back.

A token may end within a character: of the ids so far only that text is given out which no further
id can change. What waits is the end of the text where it is half a character, or may become a stop
string, and a run of byte tokens (`<0xE4>`), which a SentencePiece decoder reads as one: a byte
that does not fit turns the whole run into replacement characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from heed.types import Completion, Prompt, Sampler

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_BROKEN = "\ufffd"


class Decodes(Protocol):
    """What spelling needs of a chat format."""

    @property
    def tokenizer(self) -> Any: ...

    def text(self, ids: Sequence[int]) -> str: ...


class Spelling:
    """Text of an answer's ids as they come; `stop` are the texts before which it ends."""

    def __init__(self, chat: Decodes, stop: Sequence[str] = ()) -> None:
        self.chat = chat
        self.stop = stop
        self._silent = frozenset(chat.tokenizer.all_special_ids)

    def settled(self, ids: Sequence[int]) -> str:
        """The text that stays, whatever ids follow these."""
        end = len(ids)
        # Special tokens give no text, and do not part two bytes.
        while end and (ids[end - 1] in self._silent or self._is_byte(ids[end - 1])):
            end -= 1
        text = self.chat.text(ids[:end]).rstrip(_BROKEN)
        return text[: min((self._before(text, stop) for stop in self.stop), default=len(text))]

    def _is_byte(self, token: int) -> bool:
        name = self.chat.tokenizer.convert_ids_to_tokens(token)
        return name is not None and _BYTE.fullmatch(name) is not None

    def _before(self, text: str, stop: str) -> int:
        """Where a stop string begins in the text, or may have begun at its end."""
        found = text.find(stop)
        if found >= 0:
            return found
        for size in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:size]):
                return len(text) - size
        return len(text)


class Stream:
    """An answer that is written while one iterates over its text, once.

    The pieces joined are the text of the finished answer. `completion` may be read at any time:
    who stops early finds in it the pieces given out so far, and the tokens that they are of.

    Args:
        steps: a turn a token; gives all ids so far.
        spelling: what of them can be shown; None shows nothing before the end.
        completion: the answer as it is.
    """

    def __init__(
        self,
        steps: Iterator[Sequence[int]],
        spelling: Spelling | None,
        completion: Callable[[], Completion],
    ) -> None:
        self.text = ""
        self.finished = False
        self._steps = steps
        self._spelling = spelling
        self._completion = completion

    def __iter__(self) -> Iterator[str]:
        for ids in self._steps:
            if self._spelling is not None:
                yield from self._new(self._spelling.settled(ids))
        self.finished = True
        yield from self._new(self._completion().text)

    @property
    def completion(self) -> Completion:
        """The answer; cut (`length`) where it is not finished."""
        answer = self._completion()
        return answer if self.finished else replace(answer, text=self.text, finish="length")

    def _new(self, text: str) -> Iterator[str]:
        if text != self.text and text.startswith(self.text):
            piece, self.text = text[len(self.text) :], text
            yield piece


@runtime_checkable
class Streams(Protocol):
    """A sampler that also gives an answer while it is written, and knows its context."""

    def stream(self, prompt: Prompt, *, seed: int = 0) -> Stream: ...

    def fits(self, prompt: Prompt) -> bool: ...


def stream(sampler: Sampler, prompt: Prompt, *, seed: int = 0) -> Stream:
    """The answer of `sample([prompt], seed=seed)` by any sampler: token by token where it can, in
    one piece where it cannot (best of n, a server).
    """
    if isinstance(sampler, Streams):
        return sampler.stream(prompt, seed=seed)
    drawn: list[Completion] = []

    def steps() -> Iterator[Sequence[int]]:
        drawn.extend(sampler.sample([prompt], seed=seed))
        yield from ()

    return Stream(steps(), None, lambda: drawn[0] if drawn else Completion(prompt, ""))


def fits(sampler: Sampler, prompt: Prompt) -> bool:
    """Whether a sampler's context holds the prompt and an answer; True where it does not say."""
    return not isinstance(sampler, Streams) or sampler.fits(prompt)
