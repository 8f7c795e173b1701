"""Every method's loss and gradient are the same packed, padded and in micro-batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_methods import METHODS

from heed.models import forward
from heed.models.packing import packs

NAMES = ["sft", "reward", "dpo", "simpo", "kto", "ppo", "ppo_shared_base", "grpo", "plackett_luce",
         "process_reward"]  # fmt: skip


def objective(method: Any, parts: Any, counts: dict[str, float]) -> tuple[float, dict[str, Any]]:
    method.module.zero_grad()
    loss = 0.0
    for part in parts:
        terms = method.loss(part)
        total = sum(term.weight * term.total / counts[term.count] for term in terms if term.weight)
        total.backward()
        loss += float(total.detach())
    named = method.module.named_parameters()
    return loss, {name: weight.grad for name, weight in named if weight.grad is not None}


@pytest.mark.parametrize("name", NAMES)
def test_packing_and_splitting_change_neither_loss_nor_gradient(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = METHODS[name][0](tmp_path)
    assert packs(method.module)
    batch = next(iter(method.batches(0)))
    counts = batch.counts()
    micro = list(batch.split(60, packed=True))
    assert len(micro) > 1
    packed = objective(method, [batch], counts)
    split = objective(method, micro, counts)
    with monkeypatch.context() as patch:
        patch.setattr(forward, "packs", lambda _: False)
        padded = objective(method, [batch], counts)
    scale = max(float(grad.abs().max()) for grad in padded[1].values())
    assert scale > 0
    for loss, gradients in (packed, split):
        assert loss == pytest.approx(padded[0], abs=1e-5)
        assert gradients.keys() == padded[1].keys()
        for label, grad in padded[1].items():
            torch.testing.assert_close(gradients[label], grad, atol=1e-5 * scale, rtol=0, msg=label)
