"""Kahneman-Tversky optimisation, from its first step to its effect."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from heed.models.forward import completion_logprobs
from heed.models.language_model import attach_lora
from heed.models.reference import Reference
from heed.models.rows import answer_rows
from heed.offline import HeldoutLoss
from heed.ops.order import Order
from heed.policies.kto import kto, with_reference
from heed.trainer import Trainer
from heed.types import Unpaired


@pytest.fixture
def feedback(toy_prompts: Any) -> list[Unpaired]:
    """Who says yes is desirable; there are more who say no."""
    fillers = ["red", "green two", "one", "blue blue", "maybe", "two one red", "", "green"]
    made = [
        Unpaired(toy_prompts[i % 6], f"{word} {filler}".strip(), word == "yes")
        for i, filler in enumerate(fillers)
        for word in ("yes", "no")
    ]
    return [*made, Unpaired(toy_prompts[0], "no no", False, weight=2.0)]


def make(lm: Any, feedback: Any, *, reference: Any = None, batch: int = 8) -> Any:
    data = answer_rows(lm.chat, feedback, 64)
    data = with_reference(data, reference or Reference(lm), 50)
    return kto(
        lm, data, Order(len(data), batch, 0),
        beta=0.3, desirable_coef=1.5, undesirable_coef=1.0, micro_tokens=60,
    )  # fmt: skip


def test_it_starts_at_half_of_lambda(toy_lm: Any, feedback: Any) -> None:
    method = make(toy_lm(), feedback)
    batch = method.prepare(method.data)
    terms = {t.name: t.total.item() / batch.counts()[t.count] for t in method.loss(batch)}
    assert terms["kto"] == pytest.approx((8 * 1.5 + 10 * 1.0) / 2 / 18, abs=1e-5)
    assert terms["baseline"] == pytest.approx(0, abs=1e-5)
    assert terms["desirable_reward"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("lora", [False, True])
def test_the_reference_is_computed_once_and_right(toy_lm: Any, feedback: Any, lora: bool) -> None:
    lm = attach_lora(toy_lm(), rank=2, alpha=4.0) if lora else toy_lm()
    data = answer_rows(lm.chat, feedback, 64)
    with torch.no_grad():
        want = [completion_logprobs(lm.model, part)[0].sum(1)
                for part in (data.answer, data.mismatched)]  # fmt: skip
    reference = Reference(lm)
    for name, weight in lm.model.named_parameters():
        if weight.requires_grad and (not lora or "lora_B" in name):
            weight.data.add_(0.1)
    found = with_reference(data, reference, 40)
    torch.testing.assert_close(found.ref_answer, want[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.ref_mismatched, want[1], atol=1e-4, rtol=0)


def test_the_baseline_is_that_of_the_whole_batch(toy_lm: Any, feedback: Any) -> None:
    """Under the policy as it is, without gradient, whatever the split."""
    lm, other = toy_lm(), toy_lm(seed=1)
    method = make(lm, feedback, reference=Reference(other))
    (batch,) = method.batches(0)
    gap = (completion_logprobs(lm.model, batch.mismatched)[0].sum(1)
           - completion_logprobs(other.model, batch.mismatched)[0].sum(1))  # fmt: skip
    want = max(0.0, (batch.weight * gap).sum().item() / batch.weight.sum().item())
    assert batch.baseline.tolist() == pytest.approx([want] * 8, abs=1e-4)
    assert not batch.baseline.requires_grad
    assert all(weight.grad is None for weight in lm.model.parameters())
    for micro in batch.split(10):
        assert torch.equal(micro.baseline, batch.baseline[: len(micro)])


@pytest.mark.parametrize("tokens", [1, 30, 10**6])
def test_any_split_gives_one_gradient(toy_lm: Any, feedback: Any, tokens: int) -> None:
    lm = toy_lm()
    method = make(lm, feedback, reference=Reference(toy_lm(seed=1)))
    (batch,) = method.batches(0)
    batch = replace(batch, weight=torch.linspace(0.5, 2, 8))

    def gradient(parts: Any) -> torch.Tensor:
        lm.model.zero_grad()
        for part in parts:
            (method.loss(part)[0].total / batch.counts()["weight"]).backward()
        return torch.cat([weight.grad.flatten() for weight in lm.model.parameters()])

    whole = gradient([batch]).clone()
    torch.testing.assert_close(gradient(batch.split(tokens)), whole, atol=1e-6, rtol=0)


def test_an_answer_of_weight_2_is_that_answer_twice(toy_lm: Any, feedback: Any) -> None:
    lm = toy_lm()
    method = make(lm, feedback, reference=Reference(toy_lm(seed=1)))
    index = torch.arange(8)
    heavy = replace(method.data.rows(index), weight=1.0 + index % 2)
    copied = method.data.rows(index.repeat_interleave(1 + index % 2))
    found = []
    for data in (heavy, replace(copied, weight=torch.ones(12))):
        batch = method.prepare(data)
        lm.model.zero_grad()
        (method.loss(batch)[0].total / batch.counts()["weight"]).backward()
        found.append(torch.cat([weight.grad.flatten() for weight in lm.model.parameters()]))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


def test_held_out_answers_have_a_baseline_of_their_own(toy_lm: Any, feedback: Any) -> None:
    lm = toy_lm()
    method = make(lm, feedback, reference=Reference(toy_lm(seed=1)))
    measured = [method.data.rows(torch.arange(6)), method.data.rows(torch.arange(6, 12))]
    for data in measured:
        metrics: dict[str, float] = {}
        HeldoutLoss(method, data, every=1, last=1, micro_tokens=20)(1, metrics)
        want = method.prepare(data).baseline[0].item()
        assert metrics["heldout_baseline"] == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("lora", [False, True])
def test_it_learns_what_is_desirable(toy_lm: Any, feedback: Any, place: Any, lora: bool) -> None:
    lm = attach_lora(toy_lm(), rank=4, alpha=16.0) if lora else toy_lm()
    method = make(lm, feedback)
    run = place(optim={"lr": 0.02, "micro_tokens": 40})
    Trainer(method=method, settings=run.stage, run=run, iterations=25, seed=0, monitor=None).train()
    rows = [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["kto"] < 0.6 * rows[0]["kto"]
    assert rows[-1]["accuracy"] >= 0.875
    assert rows[-1]["desirable_reward"] > rows[-1]["undesirable_reward"] + 1
