"""What clients ask an engine for, and answers while they are written. No torch here.

An engine writes in a thread of its own and appends to a `Writing`; whoever asked reads it at any
time from another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from heed.types import Finish, Prompt


class Busy(Exception):  # noqa: N818 - an answer to whoever asks, no defect
    """As many answers wait as may; `seconds` is when there may be room again."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many answers wait")
        self.seconds = seconds


class Closed(Exception):  # noqa: N818
    """The engine takes nothing new: its weights were replaced, or the server stops."""


@dataclass(frozen=True)
class Asked:
    """`n` answers to a prompt, or to ids as they are, by settings as `LocalSampler` has them.

    The same seed gives the answers that `LocalSampler.sample([prompt], n=n, seed=seed)` gives, as
    far as the model's arithmetic does. `prompt` names what `ids` are where these are given. Where
    the context has no room for so long an answer, one is `shorter` if it may be.
    """

    prompt: Prompt
    max_new_tokens: int
    n: int = 1
    seed: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: Sequence[str] = ()
    ids: tuple[int, ...] = ()
    shorter: bool = False


class Reading(Protocol):
    """How ids become text: what of them stays whatever follows, and the whole of them."""

    def settled(self, ids: Sequence[int]) -> str: ...

    def whole(self, ids: Sequence[int]) -> str: ...

    def word(self, token: int) -> str:
        """One token by itself."""
        ...


class Writing:
    """One answer. The engine appends to `ids` and `logprobs` and then sets `finish` (or `error`,
    a sentence) and calls `heard`, from its own thread; `cancel` may be called from any.
    """

    def __init__(self, reading: Reading, heard: Callable[[], None]) -> None:
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish: Finish | None = None
        self.error = ""
        self.cancelled = False
        self.heard = heard
        self._reading = reading

    @property
    def ended(self) -> bool:
        """Whether nothing will be added."""
        return self.finish is not None or bool(self.error)

    def cancel(self) -> None:
        """Nobody waits for it any more: its place is free with the next token."""
        self.cancelled = True

    def word(self, token: int) -> str:
        """One token of it by itself."""
        return self._reading.word(token)

    def text(self) -> str:
        """The text so far, none of which a later token takes back; at the end all of it."""
        done = self.finish is not None  # before the ids: they may grow meanwhile
        return self._reading.whole(self.ids) if done else self._reading.settled(list(self.ids))


@dataclass(frozen=True)
class Begun:
    """Answers under way to one prompt of so many tokens."""

    asked: Asked
    prompt_ids: tuple[int, ...]
    writings: tuple[Writing, ...]

    def cancel(self) -> None:
        """Nobody waits for them any more."""
        for writing in self.writings:
            writing.cancel()


@dataclass(frozen=True)
class Load:
    """What an engine does: answers in its slots and waiting, and what it has drawn so far."""

    slots: int
    running: int
    waiting: int
    tokens: int
    prompt_tokens: int
    answers: int


class Engine(Protocol):
    """Anything that writes answers of many clients side by side."""

    @property
    def name(self) -> str: ...

    @property
    def context(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        ...

    @property
    def longest(self) -> int:
        """Tokens an answer may have where nobody says."""
        ...

    @property
    def vocabulary(self) -> int:
        """Ids below this one are tokens of the model."""
        ...

    def text_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a text that is to be continued."""
        ...

    def begin(self, asked: Asked, heard: Callable[[], None]) -> Begun:
        """Begin to answer; `heard` is called from the engine's thread after every token.

        Raises:
            UserError: the prompt leaves no room for the answer, or `n` is more than all slots.
            Busy, Closed: not now; not any more.
        """
        ...

    def load(self) -> Load: ...

    def close(self) -> None:
        """Take nothing new; what is under way is finished, then the thread ends."""
        ...

    def abort(self) -> None:
        """Close, and give up what is under way."""
        ...

    def join(self, seconds: float | None = None) -> bool:
        """Wait until all is finished; whether it is."""
        ...
