"""Direct preference optimisation, from its first step to its effect."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from heed.losses.preference import PREFERENCE_LOSSES
from heed.models.forward import completion_logprobs
from heed.models.language_model import attach_lora
from heed.models.reference import Reference
from heed.models.rows import pair_rows
from heed.ops.order import Order
from heed.policies.dpo import dpo, with_reference
from heed.trainer import Monitor, Trainer
from heed.types import Comparison


@pytest.fixture
def comparisons(toy_prompts: Any) -> list[Comparison]:
    """Who says yes is preferred."""
    fillers = ["red", "green two", "one", "blue blue", "maybe", "two one red", "", "green"]
    return [
        Comparison(toy_prompts[i % 6], f"yes {filler}".strip(), f"no {filler}".strip(), 0.0, 1.0)
        for i, filler in enumerate(fillers)
    ]


def make(lm: Any, comparisons: Any, reference: Any = None, batch: int = 8) -> Any:
    data = pair_rows(lm.chat, comparisons, 64)
    data = with_reference(data, reference or Reference(lm), 50)
    order = Order(len(data), batch, 0)
    return dpo(lm, data, order, PREFERENCE_LOSSES["dpo"], 0.1), data


def test_it_starts_at_ln_2(toy_lm: Any, comparisons: Any) -> None:
    method, data = make(toy_lm(), comparisons)
    terms = {term.name: term.total.item() / data.counts()[term.count] for term in method.loss(data)}
    assert terms["preference"] == pytest.approx(math.log(2), abs=1e-6)
    assert terms["reward_margin"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("micro_tokens", [1, 40, 10**6])
@pytest.mark.parametrize("lora", [False, True])
def test_the_reference_is_computed_once_and_right(
    toy_lm: Any, comparisons: Any, micro_tokens: int, lora: bool
) -> None:
    lm = attach_lora(toy_lm(), rank=2, alpha=4.0) if lora else toy_lm()
    data = pair_rows(lm.chat, comparisons, 64)
    with torch.no_grad():
        chosen = completion_logprobs(lm.model, data.chosen)[0].sum(1)
        rejected = completion_logprobs(lm.model, data.rejected)[0].sum(1)
    reference = Reference(lm)
    for name, weight in lm.model.named_parameters():  # a trained policy moves no reference
        if weight.requires_grad and (not lora or "lora_B" in name):
            weight.data.add_(0.1)
    found = with_reference(data, reference, micro_tokens)
    torch.testing.assert_close(found.ref_chosen, chosen, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.ref_rejected, rejected, atol=1e-4, rtol=0)
    assert not data.ref_chosen.any()


def test_the_loss_is_that_of_the_log_ratios(toy_lm: Any, comparisons: Any) -> None:
    lm = toy_lm()
    method, data = make(lm, comparisons, reference=Reference(toy_lm(seed=1)))
    chosen = completion_logprobs(lm.model, data.chosen)[0].sum(1) - data.ref_chosen
    rejected = completion_logprobs(lm.model, data.rejected)[0].sum(1) - data.ref_rejected
    expected = -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).sum()
    torch.testing.assert_close(method.loss(data)[0].total, expected)


@pytest.mark.parametrize("lora", [False, True])
def test_it_learns_to_prefer_what_was_chosen(
    toy_lm: Any, comparisons: Any, place: Any, lora: bool
) -> None:
    lm = attach_lora(toy_lm(), rank=4, alpha=16.0) if lora else toy_lm()
    method, _ = make(lm, comparisons, batch=4)
    run = place(optim={"lr": 0.02})
    monitor = Monitor("accuracy")
    Trainer(
        method=method, settings=run.stage, run=run, iterations=25, seed=0, monitor=monitor
    ).train()
    lines = (run.run / "metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert first["preference"] == pytest.approx(math.log(2), abs=1e-5)
    assert last["accuracy"] == 1.0
    assert last["preference"] < 0.3
    assert last["chosen_reward"] > last["rejected_reward"]
