"""Log-probs of given tokens and the entropy they were drawn from.

Dims: N token positions, D hidden width, V vocabulary. The temperature divides the logits before
anything else, in training as in rollout. Logits must be finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear, log_softmax


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
    # Autocast ends here: it would reach into the forward below but not into its backward.
    with torch.autocast(device, enabled=False):
        result: tuple[Tensor, Tensor] = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, temperature, chunk
        )
    return result


class _TokenLogprobs(torch.autograd.Function):
    """With l = logits / temperature, m = max l, s = sum exp(l - m), u = sum exp(l - m) (l - m):

    log p_y = l_y - m - log s,  H = log s - u / s; m, s and u are updated chunk by chunk.
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
        like = _wide(hidden[:, 0])
        m = torch.full_like(like, -torch.inf)
        s, u, target_logit = like.new_zeros(3, len(like)).unbind()
        for part in _chunks(len(weight), chunk):
            logits = _logits(hidden, weight, bias, temperature, part)
            inside, local = _locate(targets, part)
            found = logits.gather(1, local[:, None]).squeeze(1)
            target_logit = torch.where(inside, found, target_logit)
            top = torch.maximum(m, logits.amax(1))
            shifted = logits.sub_(top[:, None])
            exp = shifted.exp()
            # Before the first chunk m is -inf, and s = u = 0 have nothing to be rescaled.
            drop = torch.where(s > 0, m - top, 0.0)
            u = (u + s * drop) * drop.exp() + torch.linalg.vecdot(exp, shifted)
            s = s * drop.exp() + exp.sum(1)
            m = top
        entropy = s.log() - u / s
        # log p = logits - log sum exp(logits), or, of the one chunk's kept logits - m, less log s.
        kept, normaliser = (shifted, s.log()) if len(weight) <= chunk else (None, m + s.log())
        ctx.save_for_backward(hidden, weight, bias, targets, normaliser, entropy, kept)
        ctx.temperature, ctx.chunk = temperature, chunk
        ctx.set_materialize_grads(False)
        return target_logit - m - s.log(), entropy

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
        rows = torch.arange(len(hidden), device=hidden.device)
        if grad_logprob is None:
            grad_logprob = torch.zeros_like(entropy)
        pull = (grad_logprob / ctx.temperature)[:, None]
        for part in _chunks(len(weight), ctx.chunk):
            logits = _logits(hidden, weight, bias, ctx.temperature, part) if kept is None else kept
            logprobs = logits - normaliser[:, None]
            if grad_entropy is None:
                grad = logprobs.exp_().mul_(-pull)
            else:
                spread = (logprobs + entropy[:, None]).mul_(grad_entropy[:, None] / ctx.temperature)
                grad = logprobs.exp_().mul_(spread.add_(pull)).neg_()
                del spread
            inside, local = _locate(targets, part)
            grad[rows, local] += torch.where(inside, pull.squeeze(1), 0.0)
            if grad_bias is not None:
                grad_bias[part] = grad.sum(0)
            grad = grad.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden += grad @ weight[part]
            if grad_weight is not None:
                torch.mm(grad.T, hidden, out=grad_weight[part])
            del logits, logprobs, grad  # or they are there beside the next chunk's
        hidden_grad = None if grad_hidden is None else grad_hidden.to(hidden.dtype)
        return hidden_grad, grad_weight, grad_bias, None, None, None


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _chunks(vocabulary: int, chunk: int) -> Iterator[slice]:
    for start in range(0, vocabulary, chunk):
        yield slice(start, min(start + chunk, vocabulary))


def _logits(
    hidden: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"] | None,
    temperature: float,
    part: slice,
) -> Float[Tensor, "N part"]:
    """Logits over temperature of the vocabulary's slice `part`."""
    logits = _wide(linear(hidden, weight[part], None if bias is None else bias[part]))
    return logits if temperature == 1.0 else logits / temperature


def _locate(targets: Int[Tensor, "N"], part: slice) -> tuple[Tensor, Tensor]:
    """Which targets fall into `part`, and where in it (0 for those that do not)."""
    inside = (targets >= part.start) & (targets < part.stop)
    return inside, torch.where(inside, targets - part.start, 0)
