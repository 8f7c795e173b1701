"""Which models the lean decoder may stand for: those whose anatomy is known, and with which it
agreed when they were first seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heed.models.anatomy import Anatomy, Probes, anatomy, causal_lm, hooked
from heed.models.forward import has_plain_head
from heed.sampling.decoders import decoder_of
from heed.sampling.plain import prefilled

AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 2.0**-4, torch.float16: 2.0**-6}
"""How far logits may lie apart, as a share of the largest one, by the format of the weights."""
PROBE = (7, 3)
"""Tokens of the two prompts that are tried, one padded beside the other."""
WINDOWS = 64
"""A sliding window up to so many tokens is tried beyond its edge."""
STEPS = 3

_PROBES = Probes()


def lean_anatomy(model: Any) -> Anatomy | None:
    """The anatomy by which a causal LM, in eval mode, may be decoded; None: through its own forward
    only, because its type is not known, somebody hooked into its forward, its head does more than
    a linear layer, or a probe came out differently.
    """
    inner = causal_lm(model)
    found = anatomy(model)
    if found is None or found.head is None or hooked(model):
        return None
    agrees = _PROBES.ask(inner, model, lambda: has_plain_head(model) and _agrees(model, found))
    return found if agrees else None


@torch.no_grad()
def _agrees(model: Any, found: Anatomy) -> bool:
    """Whether both ways give the same logits behind two prompts and some tokens more."""
    weight = found.embedding.weight
    windows = [layer.attention.window or 0 for layer in found.layers]
    longest = max([PROBE[0], *(window + 2 for window in windows if window <= WINDOWS)])
    numbers = [(7 * at + 1) % len(weight) for at in range(longest + STEPS)]
    prompts = [numbers[:longest], numbers[-PROBE[1] :]]
    with torch.autocast(weight.device.type, enabled=False):
        theirs = _plainly(model, prompts, numbers[:STEPS])
        try:
            ours = _leanly(found, prompts, numbers[:STEPS])
        except RuntimeError:  # shapes that do not fit: another maths than we think
            return False
    allowed = AGREEMENT.get(weight.dtype, 0.0) * theirs.abs().max()
    return bool(((ours - theirs).abs() <= allowed).all())


def _plainly(model: Any, prompts: list[list[int]], more: list[int]) -> Tensor:
    """Logits [steps + 1, P, V] through the model's own forward."""
    state = prefilled(model, prompts, len(more), causal_lm(model).device)
    logits = [state.logits]
    for token in more:
        state = state.forward(model, torch.full((len(prompts), 1), token).to(state.mask))
        logits.append(state.logits)
    return torch.stack(logits).float()


def _leanly(found: Anatomy, prompts: list[list[int]], more: list[int]) -> Tensor:
    """Logits [steps + 1, P, V] by the lean decoder."""
    dtype = found.embedding.weight.dtype
    room = max(map(len, prompts)) + len(more)
    decoder = decoder_of(found, dtype, len(prompts), room)
    before = decoder.prefill(prompts)
    logits = [decoder.admit(before, range(len(prompts)), 0)]
    for token in more:
        tokens = torch.full((len(prompts),), token, device=decoder.device)
        logits.append(decoder.step(tokens).clone())  # recorded steps write into one buffer
    return torch.stack(logits).float()
