"""Writing answers with a known decoder: rows that are finished make room for those that wait.

The answers under way fill the first slots of the cache. A finished row's slot is taken by the last
one, and once enough are free the next prompts are prefilled into them (continuous batching, as in
Orca: Yu et al., OSDI 2022).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from heed.models.anatomy import Anatomy
from heed.sampling.answers import Answers
from heed.sampling.decoders import Decoder, decoder_of
from heed.sampling.lean import Prefilled

REFILL = 1 / 8
"""Rows enter when so large a share of the slots is free: prompts prefilled one by one cost a pass
over all weights each."""


def write_leanly(
    anatomy: Anatomy,
    dtype: torch.dtype,
    prompt_ids: Sequence[list[int]],
    n: int,
    batch_size: int,
    answers: Answers,
) -> Iterator[None]:
    """Write `n` answers a prompt, prompt-major, each prompt prefilled once; a turn a token."""
    if not answers.rows:
        return
    slots = min(batch_size, answers.rows)
    capacity = max(map(len, prompt_ids)) + answers.steps
    decoder = decoder_of(anatomy, dtype, slots, capacity)
    waiting = _Waiting(decoder, prompt_ids, n)
    device = decoder.device
    rows = torch.empty(0, dtype=torch.long, device=device)
    logits = None
    while True:
        while waiting and (free := slots - len(rows)) >= max(1, REFILL * slots):
            new, index, prefilled = waiting.next(free)
            first = decoder.admit(prefilled, index, len(rows))
            rows = torch.cat([rows, torch.tensor(new).to(device, non_blocking=True)])
            logits = first if logits is None else torch.cat([logits, first])
        assert logits is not None
        tokens, finished = answers.write(rows, logits)
        yield
        rows, tokens = closed_up(decoder, rows, tokens, finished)
        if not len(rows) and not waiting:
            return
        logits = decoder.step(tokens) if len(rows) else None


def closed_up(
    decoder: Decoder, rows: Tensor, tokens: Tensor, finished: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows and tokens without the finished ones; the last slots move into the holes."""
    done: list[bool] = finished.tolist()
    if not any(done):
        return rows, tokens
    left = len(done) - sum(done)
    targets = [slot for slot in range(left) if done[slot]]
    if targets:
        sources = [slot for slot in range(left, len(done)) if not done[slot]]
        decoder.move(sources, targets)
        of, to = (
            torch.tensor(slots).to(rows.device, non_blocking=True) for slots in (sources, targets)
        )
        rows[to], tokens[to] = rows[of], tokens[of]
    return rows[:left], tokens[:left]


class _Waiting:
    """Answers that are not begun, and the prompts that are prefilled for them."""

    def __init__(self, decoder: Decoder, prompt_ids: Sequence[list[int]], n: int) -> None:
        self._decoder = decoder
        self._prompt_ids = prompt_ids
        self._n = n
        # Prompts of like length are prefilled together, so that padding, if any, is small; longest
        # first.
        self._prompts = deque(sorted(range(len(prompt_ids)), key=lambda at: -len(prompt_ids[at])))
        self._samples: deque[tuple[int, int]] = deque()
        self._prefilled: Prefilled | None = None

    def __bool__(self) -> bool:
        return bool(self._prompts or self._samples)

    def next(self, count: int) -> tuple[list[int], list[int], Prefilled]:
        """At most so many answers to begin: their rows, and where their prompts are prefilled."""
        if not self._samples:
            many = min(len(self._prompts), -(-count // self._n))
            group = [self._prompts.popleft() for _ in range(many)]
            self._prefilled = self._decoder.prefill([self._prompt_ids[at] for at in group])
            self._samples.extend(
                (at * self._n + i, slot) for slot, at in enumerate(group) for i in range(self._n)
            )
        assert self._prefilled is not None
        taken = [self._samples.popleft() for _ in range(min(count, len(self._samples)))]
        return [row for row, _ in taken], [slot for _, slot in taken], self._prefilled
