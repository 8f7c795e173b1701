"""Drawing one token a row from logits.

Dims: R rows, V vocabulary. A draw turns one uniform number into a token by the inverse of the
cumulative distribution, so that a row's answer depends on its own numbers alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, pad, softmax

from heed.errors import UserError
from heed.ops.compiled import COUNT, NUMBER, POINTER, address, compiled

SOURCES = [Path(__file__).with_name("draw.c")]
SIGNATURE = (("draw", (*[POINTER] * 4, COUNT, COUNT, NUMBER), COUNT),)

BLOCK = 128
"""Tokens that are summed up together when one is picked."""


@dataclass(frozen=True)
class Draw:
    """Tokens [R], their log-probs [R] under the full distribution at the sampling temperature, and
    [R] under the truncated one that they were drawn from (the same tensor without truncation).
    """

    tokens: Tensor
    logprobs: Tensor
    truncated_logprobs: Tensor


def draw(
    logits: Tensor, uniform: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> Draw:
    """Draw by logits [R, V] and uniform numbers [R] of [0, 1).

    Temperature 0 takes the likeliest token, and its log-probs are those at temperature 1.
    Raises UserError, on a CPU, for logits that are no numbers, but at temperature 0.
    """
    if temperature == 0.0:
        # argmax of the logits themselves: log_softmax may round two of them to one number
        tokens = logits.argmax(dim=-1)
        best = log_softmax(logits.float(), dim=-1).gather(1, tokens[:, None]).squeeze(1)
        return Draw(tokens, best, best)
    whole = top_p == 1.0 and not 0 < top_k < logits.shape[1]
    if whole and (drawn := _compiled(logits, uniform, temperature)) is not None:
        return drawn
    logits = logits.float() if temperature == 1.0 else logits.float() / temperature
    if whole:
        probs = softmax(logits, dim=-1)
        tokens = _pick(probs, uniform)
        full = probs.gather(1, tokens[:, None]).squeeze(1).log()
        return Draw(tokens, full, full)
    logprobs = log_softmax(logits, dim=-1)
    truncated = truncate(logprobs, top_k=top_k, top_p=top_p)
    tokens = inverse_cdf(truncated, uniform)
    at = tokens[:, None]
    return Draw(tokens, logprobs.gather(1, at).squeeze(1), truncated.gather(1, at).squeeze(1))


def _compiled(logits: Tensor, uniform: Tensor, temperature: float) -> Draw | None:
    """A draw from the whole distribution; None where there is nothing compiled for it."""
    functions = compiled(SOURCES, SIGNATURE, logits.dtype, logits.device)
    if functions is None:
        return None
    logits, uniform = logits.contiguous(), uniform.double().contiguous()
    tokens = torch.empty(len(logits), dtype=torch.long)
    logprobs = torch.empty(len(logits))
    places = map(address, (logits, uniform, tokens, logprobs))
    _check_drawn(functions.draw(*places, *logits.shape, 1.0 / temperature), len(logits))
    return Draw(tokens, logprobs, logprobs)


def _check_drawn(broken: int, rows: int) -> None:
    if broken:
        raise UserError(
            f"Sampling: of {rows} answers {broken} have logits that are no numbers. The model's "
            "weights are broken, or its activations overflow: take an earlier checkpoint, or "
            "`dtype: float32`."
        )


def inverse_cdf(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """The first token whose cumulative probability exceeds uniform * total, [R]."""
    return _pick(logprobs.exp(), uniform)


def _pick(probs: Tensor, uniform: Tensor) -> Tensor:
    """The same of probabilities [R, V] in float32: first the block of the vocabulary, then the
    token in it, so that only one block is summed up token by token.

    Sums run in float64: in float32 the tail of a large vocabulary would vanish.
    """
    rows, vocabulary = probs.shape
    if vocabulary % BLOCK:
        probs = pad(probs, (0, -vocabulary % BLOCK))
    blocks = probs.view(rows, -1, BLOCK)
    sums = blocks.sum(dim=-1, dtype=torch.float64)
    cumulative = sums.cumsum(dim=-1)
    total = cumulative[:, -1:]
    if probs.device.type == "cpu":  # a GPU would have to be waited for
        _check_drawn(int((~total.isfinite()).sum()), rows)
    # A number next to 1 must not reach the total itself, which no token exceeds.
    reach = torch.minimum(uniform[:, None] * total, total.nextafter(torch.zeros_like(total)))
    block = torch.searchsorted(cumulative, reach, right=True)
    rest = reach - (cumulative.gather(1, block) - sums.gather(1, block))
    chosen = blocks[torch.arange(rows, device=probs.device), block[:, 0]]
    within = torch.searchsorted(chosen.double().cumsum(dim=-1), rest, right=True).squeeze(1)
    # Summed in another order the block may be a little more than its tokens: then its last one.
    places = torch.arange(BLOCK, device=probs.device)
    last = (places * (chosen > 0)).amax(dim=-1)
    return block[:, 0] * BLOCK + torch.minimum(within, last)


def truncate(logprobs: Tensor, *, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Keep the `top_k` likeliest tokens (0: all), then the fewest whose probability reaches
    `top_p` of what is left (Holtzman et al. 2020, arXiv:1904.09751); renormalised, [R, V].

    The likeliest token always stays. Without truncation the very same tensor comes back.
    """
    vocabulary = logprobs.shape[1]
    if 0 < top_k < vocabulary:
        least = logprobs.topk(top_k, dim=-1).values[:, -1:]
        logprobs = log_softmax(logprobs.masked_fill(logprobs < least, -torch.inf), dim=-1)
    if top_p < 1.0:
        ordered, order = logprobs.sort(dim=-1, descending=True)
        probs = ordered.double().exp()
        before = probs.cumsum(dim=-1) - probs
        dropped = (before >= top_p).scatter(1, order, before >= top_p)
        dropped.scatter_(1, order[:, :1], False)
        logprobs = log_softmax(logprobs.masked_fill(dropped, -torch.inf), dim=-1)
    return logprobs
