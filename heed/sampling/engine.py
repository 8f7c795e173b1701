"""An engine: answers of many clients, written side by side in a thread of its own.

Requests wait in line, each prompt is run through the model once, and rows that are finished make
room for those that wait (continuous batching, as in Orca: Yu et al., OSDI 2022). A model that the
lean decoder does not know is asked in turns: who comes meanwhile waits for the next one.

Every answer draws by numbers of its own (those that `LocalSampler` would draw it by), so that
what a client gets does not depend on who else is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from heed.errors import UserError
from heed.models.anatomy import causal_lm
from heed.models.chat import ChatFormat
from heed.models.language_model import LanguageModel
from heed.sampling.asked import Asked, Begun, Busy, Closed, Load, Writing
from heed.sampling.continuous import REFILL
from heed.sampling.draw import draw
from heed.sampling.local import uniform_numbers
from heed.sampling.reading import Continuation, Reader
from heed.sampling.slots import Slots, slots_of
from heed.types import Finish, Prompt

log = logging.getLogger("heed.engine")

PREFILLED = 8192
"""Tokens of prompts that are run through the model at once: all answers pause meanwhile."""
REMEMBERED = 1024
"""Prompts whose ids are kept, for those that are asked again."""
LATELY = 128
"""Answers by whose leaving it is told how fast there will be room."""
PATIENCE = 5.0
"""Seconds to wait where nothing is known yet of how fast answers leave."""


@dataclass
class _Row:
    """An answer in a slot, and the numbers by which its tokens are drawn."""

    writing: Writing
    asked: Asked
    numbers: list[float]
    reader: Reader

    @property
    def settings(self) -> tuple[float, float, int]:
        return self.asked.temperature, self.asked.top_p, self.asked.top_k


class LocalEngine:
    """Answers by a model in this process, by `heed.sampling.asked.Engine`.

    Args:
        lm: the model, in eval mode; its weights must not change.
        name: what its answers are signed with.
        slots: answers written side by side.
        waiting: answers that may wait beside them.
        context: tokens of a prompt and its answer together; the model's own where it has less.
        longest: tokens an answer may have where nobody says.
        stop: texts at which every answer to a conversation ends.
        dressed: a conversation as this model is to see it (with a system message of its own).
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        name: str,
        slots: int = 32,
        waiting: int = 256,
        context: int = 4096,
        longest: int = 512,
        stop: Sequence[str] = (),
        dressed: Callable[[Prompt], Prompt] = lambda prompt: prompt,
    ) -> None:
        config = causal_lm(lm.model).config.get_text_config()
        own = getattr(config, "max_position_embeddings", None)
        self.name = name
        self.context = context if own is None else min(context, own)
        self.longest = min(longest, max(1, self.context // 2))
        self.vocabulary = int(config.vocab_size)
        self.slots, self.most_waiting = slots, waiting
        self.chat = ChatFormat(lm.tokenizer, lm.chat.stop_ids, remembered=0)
        self._device = lm.device
        self._stop = tuple(stop)
        self._ids_of = _fitting(self.chat, dressed, name, self.context)
        self._slots: Slots = slots_of(lm, slots, self.context)
        self._rows: list[_Row] = []
        self._logits: Tensor | None = None
        self._line: deque[Begun] = deque()
        self._entering: list[Begun] = []
        self._queued = 0
        self._tokens = self._prompt_tokens = self._answers = 0
        self._left: deque[float] = deque(maxlen=LATELY)
        self._closing = self._aborting = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"heed-engine-{name}", daemon=True)
        self._thread.start()

    def text_ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.chat.text_ids(text))

    def begin(self, asked: Asked, heard: Callable[[], None]) -> Begun:
        prompt_ids = list(asked.ids or self._ids_of(asked.prompt))
        room = self.context - len(prompt_ids)
        if asked.shorter and 0 < room < asked.max_new_tokens:
            asked = replace(asked, max_new_tokens=room)
        self._check(asked, prompt_ids)
        reader = self._reader(asked, prompt_ids)
        writings = tuple(Writing(reader, heard) for _ in range(asked.n))
        begun = Begun(asked, tuple(prompt_ids), writings)
        with self._changed:
            if self._closing:
                raise Closed
            self._forget_gone()
            if self._queued + asked.n > self.most_waiting + self._free():
                raise Busy(self._wait(asked.n))
            self._line.append(begun)
            self._queued += asked.n
            self._changed.notify_all()
        return begun

    def load(self) -> Load:
        with self._changed:
            return Load(
                self.slots, len(self._rows), self._queued, self._tokens, self._prompt_tokens,
                self._answers,
            )  # fmt: skip

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def abort(self) -> None:
        with self._changed:
            self._closing = self._aborting = True
            self._changed.notify_all()

    def join(self, seconds: float | None = None) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _free(self) -> int:
        """Slots that nobody has, nor is about to."""
        return self.slots - len(self._rows) - sum(each.asked.n for each in self._entering)

    def _wait(self, answers: int) -> float:
        """Seconds until so many more may find room, by how fast answers left of late."""
        beyond = self._queued + answers - self.most_waiting - self._free()
        if len(self._left) < 2:
            return PATIENCE
        return beyond * (time.monotonic() - self._left[0]) / len(self._left)

    def _reader(self, asked: Asked, prompt_ids: list[int]) -> Reader:
        if asked.ids:
            return Reader(Continuation(self.chat, prompt_ids), asked.stop)
        return Reader(self.chat, (*asked.stop, *self._stop))

    def _check(self, asked: Asked, prompt_ids: list[int]) -> None:
        if not prompt_ids:
            raise UserError("The prompt is empty: there is nothing to answer.")
        if len(prompt_ids) + asked.max_new_tokens > self.context:
            raise UserError(
                f"The prompt has {len(prompt_ids)} tokens and the answer may have "
                f"{asked.max_new_tokens}; the context of {self.name} holds {self.context}. Shorten "
                "the prompt or lower max_tokens."
            )
        if asked.n > self.slots:
            raise UserError(f"{asked.n} answers at once are more than the server's {self.slots}.")

    @torch.no_grad()
    def _work(self) -> None:
        """What the thread does until the engine is closed and nothing is under way."""
        while self._wanted():
            try:
                self._enter()
                if self._rows:
                    self._write()
            except Exception:  # whoever waits has to hear of it; the next ones get their chance
                log.exception("the engine %s failed", self.name)
                self._give_up(f"The model {self.name} failed at this answer.")
        self._give_up("The server stopped before this answer was finished.")

    def _wanted(self) -> bool:
        """Wait for work; False at the end."""
        with self._changed:
            while not (self._rows or self._line or self._closing):
                self._changed.wait()
            return not self._aborting and bool(self._rows or self._line)

    def _enter(self) -> None:
        """Let those in who wait, as many as there is room for."""
        taken = self._taken()
        if not taken:
            return
        index = [at for at, begun in enumerate(taken) for _ in begun.writings]
        room = max(begun.asked.max_new_tokens for begun in taken)
        logits = self._slots.enter([list(begun.prompt_ids) for begun in taken], index, room)
        rows = [row for begun in taken for row in self._begun(begun)]
        self._logits = logits if self._logits is None else torch.cat([self._logits, logits])
        with self._changed:
            self._rows, self._entering = [*self._rows, *rows], []
            self._prompt_tokens += sum(len(begun.prompt_ids) for begun in taken)

    def _taken(self) -> list[Begun]:
        """The next requests, first come, first served: when there is room for all who wait, or when
        the share `REFILL` of the slots is free.
        """
        if self._rows and not self._slots.joins:
            return []
        with self._changed:
            self._forget_gone()
            free = self._free()
            if free < min(self._queued, max(1, int(REFILL * self.slots))):
                return []
            taken: list[Begun] = []
            tokens = 0
            while self._line and self._line[0].asked.n <= free:
                tokens += len(self._line[0].prompt_ids)
                if taken and tokens > PREFILLED:
                    break
                taken.append(self._line.popleft())
                free -= taken[-1].asked.n
                self._queued -= taken[-1].asked.n
            self._entering = taken
        return taken

    def _forget_gone(self) -> None:
        """Drop from the line whom nobody waits for any more."""
        kept = [each for each in self._line if not all(one.cancelled for one in each.writings)]
        self._line = deque(kept)
        self._queued = sum(each.asked.n for each in kept)

    def _begun(self, begun: Begun) -> list[_Row]:
        asked = begun.asked
        numbers = uniform_numbers(asked.n, asked.max_new_tokens, asked.seed).tolist()
        reader = self._reader(asked, list(begun.prompt_ids))
        return [
            _Row(writing, asked, own, reader)
            for writing, own in zip(begun.writings, numbers, strict=True)
        ]

    def _write(self) -> None:
        """A token more for every row; those that end leave."""
        assert self._logits is not None
        tokens, logprobs = self._drawn(self._logits)
        going = []
        for row, token, logprob in zip(self._rows, tokens.tolist(), logprobs.tolist(), strict=True):
            row.writing.ids.append(token)
            row.writing.logprobs.append(logprob)
            row.writing.finish = self._finish(row, token)
            going.append(row.writing.finish is None and not row.writing.cancelled)
        before = self._rows
        self._tokens += len(before)
        if not all(going):
            order = self._slots.leave(torch.tensor(going, device=self._device))
            with self._changed:
                self._answers += len(before) - len(order)
                self._left.extend([time.monotonic()] * (len(before) - len(order)))
                self._rows = [before[at] for at in order]
            tokens = tokens[torch.tensor(order, dtype=torch.long, device=self._device)]
        for heard in {row.writing.heard for row in before}:
            heard()
        self._logits = self._slots.step(tokens) if self._rows else None

    def _finish(self, row: _Row, token: int) -> Finish | None:
        """Why the answer ends with this token, if it does."""
        ids = row.writing.ids
        if token in self.chat.stop_ids or row.reader.ended(ids):
            return "stop"
        return "length" if len(ids) == row.asked.max_new_tokens else None

    def _drawn(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [R] and log-probs [R], rows of equal settings together."""
        steps = [row.numbers[len(row.writing.ids)] for row in self._rows]
        uniform = torch.tensor(steps, dtype=torch.float64, device=self._device)
        groups: dict[tuple[float, float, int], list[int]] = {}
        for at, row in enumerate(self._rows):
            groups.setdefault(row.settings, []).append(at)
        tokens = torch.zeros(len(uniform), dtype=torch.long, device=self._device)
        logprobs = torch.zeros(len(uniform), device=self._device)
        for (temperature, top_p, top_k), places in groups.items():
            chosen = torch.tensor(places, device=self._device)
            drawn = draw(
                logits if len(groups) == 1 else logits[chosen],
                uniform[chosen],
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
            )
            tokens[chosen], logprobs[chosen] = drawn.tokens, drawn.logprobs
        return tokens, logprobs

    def _give_up(self, why: str) -> None:
        """Tell everybody whose answer is under way (at the end, everybody who waits)."""
        with self._changed:
            lost = [row.writing for row in self._rows]
            lost += [one for begun in self._entering for one in begun.writings]
            if self._closing:
                lost += [one for begun in self._line for one in begun.writings]
                self._line.clear()
                self._queued = 0
            self._rows, self._entering = [], []
        self._logits = None
        self._slots.clear()
        for writing in lost:
            writing.error = writing.error or why
            writing.heard()


def _fitting(
    chat: ChatFormat, dressed: Callable[[Prompt], Prompt], name: str, context: int
) -> Callable[[Prompt], tuple[int, ...]]:
    """Gives conversations' ids, and remembers the last ones. What leaves no room for an answer is
    refused (UserError) and not remembered: it may be as long as a request, and of those many come.
    """

    @lru_cache(maxsize=REMEMBERED)
    def ids_of(prompt: Prompt) -> tuple[int, ...]:
        ids = tuple(chat.prompt_ids(dressed(prompt)))
        if len(ids) >= context:
            raise UserError(
                f"The prompt has {len(ids)} tokens; the context of {name} holds {context}, the "
                "answer's among them. Shorten the prompt."
            )
        return ids

    return ids_of
