"""Writing answers with any transformers causal LM, through its own forward.

Dims: P prompts prefilled together, R rows decoded together. Prompts are padded on the left, so
that every row's next token stands in the last column.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from heed.models.anatomy import causal_lm
from heed.sampling.answers import Answers
from heed.sampling.cache import cache_rows, preallocated_cache

Item = TypeVar("Item")

KEEP = 0.75
"""Finished rows are dropped when less than this share of the rows is unfinished: dropping copies
the cache once, keeping them costs their part of every further step."""


def write_plainly(
    model: Any, prompt_ids: Sequence[list[int]], n: int, batch_size: int, answers: Answers
) -> Iterator[None]:
    """Write `n` answers a prompt, prompt-major, each prompt prefilled once; a turn a token."""
    device = answers.ids.device
    # Prompts of like length share a batch, so that padding is small; longest first.
    order = sorted(range(len(prompt_ids)), key=lambda at: -len(prompt_ids[at]))
    for group in _chunks(order, max(1, batch_size // max(1, n))):
        prefill = prefilled(model, [prompt_ids[at] for at in group], answers.steps, device)
        samples = [(slot, at * n + i) for slot, at in enumerate(group) for i in range(n)]
        for part in _chunks(samples, batch_size):
            slots, rows = torch.tensor(part, device=device).unbind(1)
            yield from _decode(model, prefill if n == 1 else prefill.rows(slots), rows, answers)


def _decode(model: Any, state: State, rows: Tensor, answers: Answers) -> Iterator[None]:
    """Write R answers to their ends, one token a step, dropping rows that are finished."""
    going = torch.arange(len(rows), device=rows.device)
    tokens = torch.zeros_like(rows)
    while True:
        whole = len(going) == len(rows)
        tokens[going], finished = answers.write(
            rows if whole else rows[going], state.logits if whole else state.logits[going]
        )
        going = going[~finished]
        yield
        if not len(going):
            return
        if len(going) < KEEP * len(rows):
            state, rows, tokens = state.rows(going), rows[going], tokens[going]
            going = torch.arange(len(rows), device=rows.device)
        state = state.forward(model, tokens[:, None])


@dataclass(frozen=True)
class State:
    """Between two steps: logits [R, V] of the next token, the mask [R, capacity] of the columns
    (future ones count as real), and the cache, filled up to `width` columns.
    """

    logits: Tensor
    mask: Tensor
    cache: Any
    width: int

    def rows(self, index: Tensor) -> State:
        """The rows that an index names, repeats allowed, in memory of their own."""
        return State(
            self.logits[index], self.mask[index], cache_rows(self.cache, index), self.width
        )

    def forward(self, model: Any, ids: Tensor) -> State:
        """Put ids [R, t] behind what the cache holds (and fill it in place)."""
        width = self.width + ids.shape[1]
        mask = self.mask[:, :width]
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, self.width :]
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            **_last_logits_only(model),
        )
        return State(output.logits[:, -1], self.mask, self.cache, width)


def prefilled(
    model: Any, prompt_ids: Sequence[list[int]], room: int, device: torch.device
) -> State:
    """Run P prompts through the model; the state before their first new token, with room for so
    many.
    """
    width = max(map(len, prompt_ids))
    ids = torch.zeros((len(prompt_ids), width), dtype=torch.long)  # the mask hides padding
    mask = torch.zeros((len(prompt_ids), width + room), dtype=torch.long)
    mask[:, width:] = 1
    for row, tokens in enumerate(prompt_ids):
        ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) : width] = 1
    state = State(
        logits=torch.empty(0),
        mask=mask.to(device),
        cache=preallocated_cache(causal_lm(model).config, width + room),
        width=0,
    )
    return state.forward(model, ids.to(device))


def _last_logits_only(model: Any) -> dict[str, int]:
    """Spare the head the prompt's columns, where the architecture can."""
    takes = inspect.signature(causal_lm(model).forward).parameters
    return {"logits_to_keep": 1} if "logits_to_keep" in takes else {}


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
