"""Training on fixed rows, and measuring on rows that training never sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heed.models.rows import demonstration_rows
from heed.offline import HeldoutLoss
from heed.ops.batch import Sequences
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.types import Demonstration


@pytest.fixture
def data(toy_lm: Any, toy_prompts: Any) -> Any:
    lm = toy_lm()
    texts = ["yes", "no no red", "two", "blue blue blue blue", ""]
    items = [Demonstration(toy_prompts[i], text) for i, text in enumerate(texts)]
    return lm, demonstration_rows(lm.chat, items, 64)


def test_an_iteration_is_one_batch_of_the_order(data: Any) -> None:
    lm, rows = data
    order = Order(5, 2, seed=1)
    method = sft(lm, rows, order)
    for iteration in (0, 1, 7):
        (batch,) = method.batches(iteration)
        expected = rows.rows(order.indices(iteration))
        assert torch.equal(batch.ids, expected.ids)
        assert torch.equal(batch.target, expected.target)
    assert method.observe({"nll": 1.0}) == {}
    method.load_state_dict(method.state_dict())
    assert method.state_dict() == {}


@pytest.mark.parametrize("micro_tokens", [1, 12, 10**6])
def test_heldout_terms_are_means_over_all_held_out_tokens(data: Any, micro_tokens: int) -> None:
    lm, rows = data
    method = sft(lm, rows, Order(5, 2, 0))
    call = HeldoutLoss(method, rows, every=2, last=5, micro_tokens=micro_tokens)
    metrics = {"nll": 0.5}
    assert call(3, metrics) is None
    assert metrics == {"nll": 0.5}
    call(4, metrics)
    (term,) = method.loss(rows)
    mean = term.total.item() / float(rows.target.sum())
    assert metrics == {"nll": 0.5, "heldout_nll": pytest.approx(mean, rel=1e-5)}
    assert all(weight.grad is None for weight in lm.model.parameters())
    final: dict[str, float] = {}
    call(5, final)  # the last iteration, due or not
    assert final == {"heldout_nll": metrics["heldout_nll"]}


def test_without_held_out_rows_nothing_is_measured(data: Any) -> None:
    lm, rows = data
    none = Sequences(rows.ids[:0], rows.mask[:0], rows.target[:0])
    metrics: dict[str, float] = {}
    HeldoutLoss(sft(lm, rows, Order(5, 2, 0)), none, every=1, last=1, micro_tokens=10)(1, metrics)
    assert metrics == {}
