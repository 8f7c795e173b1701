"""Answers while they are written: a table that tokens are drawn into, and when a row is finished.

Dims: R answers asked for, S tokens an answer may have (max_new_tokens). Row r draws by the r-th
line of one table of uniform numbers, whichever rows are written beside it, so that answers do not
depend on how they are batched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from heed.sampling.draw import draw


class Answers:
    """What is drawn: `ids`, `logprobs` and `truncated` [R, S], filled up to `lengths` [R].

    Args:
        uniform: the numbers to draw by, [R, S].
        stop_ids: tokens that end an answer, kept in its ids.
        ended: says of an answer's ids whether its text is at an end; None where no text is one.
    """

    def __init__(
        self,
        uniform: Tensor,
        *,
        temperature: float,
        top_k: int = 0,
        top_p: float = 1.0,
        stop_ids: Collection[int] = (),
        ended: Callable[[list[int]], bool] | None = None,
    ) -> None:
        self.uniform = uniform
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.rows, self.steps = uniform.shape
        device = uniform.device
        self.ids = torch.zeros((self.rows, self.steps), dtype=torch.long, device=device)
        self.logprobs = torch.zeros((self.rows, self.steps), device=device)
        self.truncated = torch.zeros((self.rows, self.steps), device=device)
        self.lengths = torch.zeros(self.rows, dtype=torch.long, device=device)
        self.stopped = torch.zeros(self.rows, dtype=torch.bool, device=device)
        self.done = 0
        """How many answers are finished."""
        self._stop_ids = torch.tensor(sorted(stop_ids), dtype=torch.long, device=device)
        self._ended = ended

    def write(self, rows: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the next token of unfinished answers, `rows` [K], from their logits [K, V].

        Returns the tokens and, on the CPU, which of these answers are finished by them, both [K]:
        for that alone a GPU is waited for, unless texts end answers.
        """
        steps = self.lengths[rows]
        drawn = draw(
            logits,
            self.uniform[rows, steps],
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
        )
        self.ids[rows, steps] = drawn.tokens
        self.logprobs[rows, steps] = drawn.logprobs
        self.truncated[rows, steps] = drawn.truncated_logprobs
        self.lengths[rows] = steps + 1
        stopped = torch.isin(drawn.tokens, self._stop_ids)
        if self._ended is not None:
            lines = zip(self.ids[rows].tolist(), (steps + 1).tolist(), strict=True)
            texts = [self._ended(ids[:length]) for ids, length in lines]
            stopped |= torch.tensor(texts, device=stopped.device)
        self.stopped[rows] = stopped
        finished = (stopped | (steps + 1 == self.steps)).cpu()
        self.done += int(finished.sum())
        return drawn.tokens, finished

    def tokens(self, row: int) -> list[int]:
        """The ids of one answer so far."""
        ids: list[int] = self.ids[row, : int(self.lengths[row])].tolist()
        return ids
