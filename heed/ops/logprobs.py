"""Log-probs of given tokens and the entropy they were drawn from.

Dims: N token positions, D hidden width, V vocabulary. The temperature divides the logits before
anything else, in training as in rollout. Logits must be finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear, log_softmax

from heed.ops.compiled import COUNT, NUMBER, POINTER, compiled
from heed.ops.shapes import lengthened, spare

SOURCE = Path(__file__).with_name("vocabulary.c")
SIGNATURE = (
    ("take", (*[POINTER] * 6, COUNT, COUNT, COUNT, NUMBER), None),
    ("give", (*[POINTER] * 7, COUNT, COUNT, COUNT, NUMBER), None),
)


def logprobs_from_logits(
    logits: Float[Tensor, "*N V"], targets: Int[Tensor, "*N"], temperature: float = 1.0
) -> tuple[Float[Tensor, "*N"], Float[Tensor, "*N"]]:
    """Log-prob of each target and the entropy, in nats, from logits that are all there.

    The plain way: for models whose head is no linear layer, and the reference for
    `token_logprobs`. Half precision is raised to float32 first.
    """
    logprobs = log_softmax(_wide(logits) / temperature, dim=-1)
    chosen = logprobs.gather(-1, targets[..., None]).squeeze(-1)
    return chosen, -(logprobs.exp() * logprobs).sum(-1)


def token_logprobs(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"] | None,
    targets: Int[Tensor, "N"],
    *,
    temperature: float = 1.0,
    chunk: int = 8192,
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Log-prob of each target under a linear head and the entropy, in nats, never holding N x V.

    The head runs over `chunk` tokens of the vocabulary at a time, in the dtype of `hidden`; sums
    run in float32 (float64 when `hidden` is), and so are the results. The backward computes each
    chunk's logits again, unless one chunk held them all. Differentiable once, through both results,
    for `hidden`, `weight` and `bias`. Under autocast the head runs in autocast's dtype.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    count = len(targets)
    more = spare(count, hidden.dtype, hidden.device)
    hidden, targets = lengthened(hidden, more), lengthened(targets, more)
    # Autocast ends here: it would reach into the forward below but not into its backward.
    with torch.autocast(device, enabled=False):
        logprobs, entropy = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, temperature, chunk
        )
    return logprobs[:count], entropy[:count]


class _TokenLogprobs(torch.autograd.Function):
    """With l = logits / temperature, m = max l, s = sum exp(l - m), u = sum exp(l - m) (l - m):

    log p_y = l_y - m - log s,  H = log s - u / s; m, s and u are updated chunk by chunk.
    On a CPU each chunk is one pass where there is a compiler (vocabulary.c).
    d log p_y / dl_j = [j = y] - p_j,  dH / dl_j = -p_j (log p_j + H).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "N D"],
        weight: Float[Tensor, "V D"],
        bias: Float[Tensor, "V"] | None,
        targets: Int[Tensor, "N"],
        temperature: float,
        chunk: int,
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        functions = compiled([SOURCE], SIGNATURE, hidden.dtype, hidden.device)
        seen = _Seen(_wide(hidden[:, 0]), targets, temperature, functions)
        for part in _chunks(len(weight), chunk):
            logits = linear(hidden, weight[part], None if bias is None else bias[part])
            seen.take(logits, part)
        entropy = seen.s.log() - seen.u / seen.s
        normaliser = seen.m + seen.s.log()
        kept = logits if len(weight) <= chunk else None
        ctx.save_for_backward(hidden, weight, bias, targets, normaliser, entropy, kept)
        ctx.temperature, ctx.chunk, ctx.functions = temperature, chunk, functions
        ctx.set_materialize_grads(False)
        return seen.own - seen.m - seen.s.log(), entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_logprob: Float[Tensor, "N"] | None, grad_entropy: Float[Tensor, "N"] | None
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, normaliser, entropy, kept = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        grad_hidden = torch.zeros_like(_wide(hidden)) if wants_hidden else None
        grad_weight = torch.empty_like(weight) if wants_weight else None
        grad_bias = torch.empty_like(bias) if wants_bias else None
        if grad_logprob is None:
            grad_logprob = torch.zeros_like(entropy)
        pull = grad_logprob / ctx.temperature
        spread = None if grad_entropy is None else grad_entropy / ctx.temperature
        known = _Known(targets, normaliser, entropy, pull, spread, ctx.temperature, ctx.functions)
        for part in _chunks(len(weight), ctx.chunk):
            logits = kept
            if logits is None:
                logits = linear(hidden, weight[part], None if bias is None else bias[part])
            grad = known.gradient(logits, part)
            if grad_bias is not None:
                grad_bias[part] = grad.sum(0)
            grad = grad.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden += grad @ weight[part]
            if grad_weight is not None:
                torch.mm(grad.T, hidden, out=grad_weight[part])
            del logits, grad  # or they are there beside the next chunk's
        hidden_grad = None if grad_hidden is None else grad_hidden.to(hidden.dtype)
        return hidden_grad, grad_weight, grad_bias, None, None, None


class _Seen:
    """What is known of every row's logits, part by part of the vocabulary: the largest, m;
    s = sum exp(l - m); u = sum exp(l - m) (l - m); and the target's own.
    """

    def __init__(
        self, like: Float[Tensor, "N"], targets: Tensor, temperature: float, functions: Any | None
    ) -> None:
        self.m = torch.full_like(like, -torch.inf)
        self.s, self.u, self.own = (torch.zeros_like(like) for _ in range(3))
        self.targets, self.temperature, self.functions = targets, temperature, functions

    def take(self, logits: Float[Tensor, "N part"], part: slice) -> None:
        if self.functions is None:
            self._take(_tempered(logits, self.temperature), part)
            return
        given = (logits.contiguous(), self.targets, self.m, self.s, self.u, self.own)
        self.functions.take(
            *(each.data_ptr() for each in given), *logits.shape, part.start, 1 / self.temperature
        )

    def _take(self, logits: Float[Tensor, "N part"], part: slice) -> None:
        inside, local = _locate(self.targets, part)
        found = logits.gather(1, local[:, None]).squeeze(1)
        self.own = torch.where(inside, found, self.own)
        top = torch.maximum(self.m, logits.amax(1))
        shifted = logits - top[:, None]
        exp = shifted.exp()
        # Before the first part m is -inf, and s = u = 0 have nothing to be rescaled.
        drop = torch.where(self.s > 0, self.m - top, 0.0)
        self.u = (self.u + self.s * drop) * drop.exp() + shifted.mul_(exp).sum(1)
        self.s = self.s * drop.exp() + exp.sum(1)
        self.m = top


@dataclass(frozen=True, eq=False)
class _Known:
    """What a part's logits need to become their gradient; `pull` and `spread` are those of the
    targets' log-probs and of the entropies, over the temperature.
    """

    targets: Tensor
    normaliser: Tensor
    entropy: Tensor
    pull: Tensor
    spread: Tensor | None
    temperature: float
    functions: Any | None

    def gradient(self, logits: Float[Tensor, "N part"], part: slice) -> Float[Tensor, "N part"]:
        if self.functions is None:
            return self._gradient(_tempered(logits, self.temperature), part)
        out = torch.empty_like(logits)
        given = (
            logits, out, self.targets, self.normaliser, self.entropy, self.pull.contiguous(),
            None if self.spread is None else self.spread.contiguous(),
        )  # fmt: skip
        self.functions.give(
            *(None if each is None else each.data_ptr() for each in given),
            *logits.shape, part.start, 1 / self.temperature,
        )  # fmt: skip
        return out

    def _gradient(self, logits: Float[Tensor, "N part"], part: slice) -> Float[Tensor, "N part"]:
        logprobs = logits - self.normaliser[:, None]
        if self.spread is None:
            grad = logprobs.exp_().mul_(-self.pull[:, None])
        else:
            spread = (logprobs + self.entropy[:, None]).mul_(self.spread[:, None])
            grad = logprobs.exp_().mul_(spread.add_(self.pull[:, None])).neg_()
        inside, local = _locate(self.targets, part)
        rows = torch.arange(len(logits), device=logits.device)
        grad[rows, local] += torch.where(inside, self.pull, 0.0)
        return grad


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    """Logits over temperature, at least float32; themselves where that changes nothing."""
    return _wide(logits) if temperature == 1.0 else _wide(logits) / temperature


def _chunks(vocabulary: int, chunk: int) -> Iterator[slice]:
    for start in range(0, vocabulary, chunk):
        yield slice(start, min(start + chunk, vocabulary))


def _locate(targets: Int[Tensor, "N"], part: slice) -> tuple[Tensor, Tensor]:
    """Which targets fall into `part`, and where in it (0 for those that do not)."""
    inside = (targets >= part.start) & (targets < part.stop)
    return inside, torch.where(inside, targets - part.start, 0)
