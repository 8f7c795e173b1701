from __future__ import annotations

import pytest
import torch

from heed.models.forward import completion_logprobs
from heed.models.language_model import attach_lora
from heed.models.reference import Reference, frozen_copy


def train_a_step(model, batch):
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.5)
    for _ in range(2):  # an adapter's first step moves only one of its two factors
        optimizer.zero_grad()
        completion_logprobs(model, batch)[0].sum().neg().backward()
        optimizer.step()


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_the_reference_stays_while_the_policy_moves(tiny, sequences, lora):
    lm = tiny("llama")
    if lora:
        lm = attach_lora(lm, rank=4, alpha=8, dropout=0.5)
    batch = sequences(lm)
    reference = Reference(lm)
    assert (reference.lm is lm) == lora
    with torch.no_grad():
        start, _ = completion_logprobs(lm.model.eval(), batch, temperature=0.8)
    lm.model.train()
    torch.testing.assert_close(reference.logprobs(batch, temperature=0.8), start)
    train_a_step(lm.model, batch)
    after = reference.logprobs(batch, temperature=0.8)
    torch.testing.assert_close(after, start)
    assert not after.requires_grad
    assert lm.model.training
    with torch.no_grad():
        moved, _ = completion_logprobs(lm.model.eval(), batch, temperature=0.8)
    assert float((moved - start).abs().max()) > 0.1


def test_looking_at_the_reference_between_forward_and_backward_changes_no_gradient(tiny, sequences):
    grads = []
    for look in (False, True):
        lm = attach_lora(tiny("llama"), rank=4, alpha=8)
        batch = sequences(lm)
        loss = completion_logprobs(lm.model, batch)[0].sum()
        if look:
            Reference(lm).logprobs(batch)
        loss.backward()
        grads.append([w.grad for w in lm.model.parameters() if w.requires_grad])
    assert grads[0]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_frozen_copy_shares_nothing_and_trains_nothing(tiny):
    lm = tiny("gpt2")
    copy = frozen_copy(lm)
    pairs = zip(lm.model.parameters(), copy.model.parameters(), strict=True)
    for original, copied in pairs:
        assert torch.equal(original, copied)
        assert original.data_ptr() != copied.data_ptr()
        assert original.requires_grad
        assert not copied.requires_grad
