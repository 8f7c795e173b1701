"""Direct preference optimisation, from its first step to its effect."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
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
from heed.recipe import LOSSES, LossName
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


def make(
    lm: Any, comparisons: Any, reference: Any = None, batch: int = 8, loss: LossName = "dpo"
) -> Any:
    """The method as a recipe makes it that says no more than the loss."""
    facts = LOSSES[loss]
    data = pair_rows(lm.chat, comparisons, 64)
    if facts.reference:
        data = with_reference(data, reference or Reference(lm), 50)
    preference = partial(PREFERENCE_LOSSES[loss], **facts.own)
    method = dpo(
        lm, data, Order(len(data), batch, 0), preference, facts.beta,
        sft_coef=facts.sft_coef, per_token=facts.per_token,
    )  # fmt: skip
    return method, data


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


def graded(comparisons: Any) -> list[Comparison]:
    """The same with margins and weights."""
    return [
        replace(item, margin=(1.0, 2 / 3, 1 / 3, 0.0)[i % 4], weight=1.0 + i % 3)
        for i, item in enumerate(comparisons)
    ]


def objective(method: Any, parts: Any, counts: Any) -> torch.Tensor:
    """Its gradient as the trainer adds it up."""
    method.module.zero_grad()
    for part in parts:
        terms = [term for term in method.loss(part) if term.weight]
        sum(term.weight * term.total / counts[term.count] for term in terms).backward()
    return torch.cat([weight.grad.flatten() for weight in method.module.parameters()])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_pair_of_weight_2_is_that_pair_twice(
    toy_lm: Any, comparisons: Any, loss: LossName
) -> None:
    lm, other = toy_lm(), Reference(toy_lm(seed=1))
    heavy = graded(comparisons)
    copied = [replace(item, weight=1.0) for item in heavy for _ in range(int(item.weight))]
    found = []
    for items in (heavy, copied):
        method, data = make(lm, items, other, loss=loss)
        found.append(objective(method, [data], data.counts()).clone())
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
    assert found[0].norm() > 1e-2


@pytest.mark.parametrize("loss", LOSSES)
def test_any_split_gives_one_gradient(toy_lm: Any, comparisons: Any, loss: LossName) -> None:
    method, data = make(toy_lm(), graded(comparisons), Reference(toy_lm(seed=1)), loss=loss)
    whole = objective(method, [data], data.counts()).clone()
    for tokens in (1, 60):
        parts = objective(method, data.split(tokens), data.counts())
        scale = max(1.0, whole.abs().max().item())
        torch.testing.assert_close(parts / scale, whole / scale, atol=5e-6, rtol=0)


def test_the_cross_entropy_is_of_the_chosen_answers_alone(toy_lm: Any, comparisons: Any) -> None:
    lm = toy_lm()
    method, data = make(lm, graded(comparisons), loss="orpo")
    *_, nll = method.loss(data)
    logprobs = completion_logprobs(lm.model, data.chosen)[0]
    assert (nll.name, nll.count, nll.weight) == ("nll", "chosen_tokens", 1.0)
    torch.testing.assert_close(nll.total, -(data.weight[:, None] * logprobs).sum())
    assert data.counts()["chosen_tokens"] == (data.weight * data.chosen.target.sum(1)).sum()


def test_rewards_are_logged_a_token_where_the_loss_goes_by_them(
    toy_lm: Any, comparisons: Any
) -> None:
    lm = toy_lm()
    method, data = make(lm, comparisons, loss="simpo")
    mean = completion_logprobs(lm.model, data.chosen)[0].sum(1) / data.chosen.target.sum(1)
    found = {term.name: term.total for term in method.loss(data)}
    torch.testing.assert_close(found["chosen_reward"], 2.0 * mean.sum().detach())


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "dpo"])
def test_each_of_the_family_tells_chosen_from_rejected(
    toy_lm: Any, comparisons: Any, place: Any, loss: LossName, lora: bool
) -> None:
    lm = attach_lora(toy_lm(), rank=4, alpha=16.0) if lora else toy_lm()
    method, data = make(lm, graded(comparisons), batch=4, loss=loss)
    run = place(optim={"lr": 0.02, "micro_tokens": 100})
    Trainer(method=method, settings=run.stage, run=run, iterations=25, seed=0, monitor=None).train()
    with torch.no_grad():
        terms = {term.name: term.total.item() / len(data) for term in method.loss(data)}
    assert terms["accuracy"] == 1.0
    assert terms["chosen_reward"] > terms["rejected_reward"]


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
