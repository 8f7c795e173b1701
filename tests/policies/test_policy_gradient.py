"""A round of sampling and learning, and what it is made of."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from heed.models.language_model import attach_lora
from heed.ops.advantages import gae, token_rewards
from heed.policies.experience import experience
from heed.policies.kl_control import KlController
from heed.trainer import Monitor, Trainer


def term_of(method: Any, batch: Any, name: str) -> float:
    (term,) = [term for term in method.loss(batch) if term.name == name]
    return term.total.item() / batch.counts()[term.count]


def wordy(completions: Any) -> list[float]:
    return [len(item.text.split()) / 6 for item in completions]


def by_prompt(completions: Any) -> list[float]:
    return [float(item.prompt.family in {"good", "red", "one"}) for item in completions]


def train(method: Any, run: Any, iterations: int) -> list[dict[str, Any]]:
    Trainer(
        method=method,
        settings=run.stage,
        run=run,
        iterations=iterations,
        seed=0,
        monitor=Monitor("objective"),
    ).train()
    return [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("lora", [False, True])
def test_the_first_minibatch_is_on_policy(
    toy_lm: Any, toy_ppo: Any, lora: bool, temperature: float
) -> None:
    lm = attach_lora(toy_lm(), rank=2, alpha=4.0) if lora else toy_lm()
    method = toy_ppo(lm, temperature=temperature)
    batch = next(method.batches(0))
    assert term_of(method, batch, "clip_fraction") == 0.0
    assert abs(term_of(method, batch, "approx_kl")) < 1e-6
    # With every ratio 1 the loss is minus the mean advantage.
    mean = float(batch.advantages[batch.target].mean())
    assert term_of(method, batch, "policy_loss") == pytest.approx(-mean, abs=1e-5)
    assert abs(method.measured["kl"]) < 1e-4
    assert method.measured["objective"] == pytest.approx(method.measured["score"], abs=1e-4)


def test_a_round_is_used_epochs_times(toy_lm: Any, toy_ppo: Any) -> None:
    method = toy_ppo(toy_lm(), epochs=3, minibatches=4)
    batches = list(method.batches(0))
    assert [len(batch) for batch in batches] == [3] * 12
    rows = [tuple(map(tuple, batch.ids.tolist())) for batch in batches]
    assert len(set(rows)) > 9  # every pass has an order of its own


def test_advantages_are_whitened_over_the_whole_round(toy_lm: Any, toy_ppo: Any) -> None:
    method = toy_ppo(toy_lm(), epochs=1, minibatches=1, reward=wordy)
    (batch,) = method.batches(0)
    white = batch.advantages[batch.target]
    assert float(white.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(white.var(unbiased=False)) == pytest.approx(1.0, abs=1e-4)
    assert not batch.advantages[~batch.target].any()


def test_equal_rewards_of_equal_answers_give_no_advantage(toy_lm: Any, toy_ppo: Any) -> None:
    lm = toy_lm(ends=100.0)  # it always ends at once
    method = toy_ppo(lm, reward=lambda completions: [0.3] * len(completions), epochs=1)
    for batch in method.batches(0):
        assert not batch.advantages.any()


def test_equal_rewards_give_whitened_advantages_of_mean_zero(toy_lm: Any, toy_ppo: Any) -> None:
    same = lambda completions: [0.3] * len(completions)  # noqa: E731
    method = toy_ppo(toy_lm(), reward=same, missing_eos=0.3, epochs=1, minibatches=1)
    (batch,) = method.batches(0)
    assert float(batch.advantages[batch.target].mean()) == pytest.approx(0.0, abs=1e-6)


def test_rewards_are_score_at_the_end_less_kl(toy_lm: Any, toy_ppo: Any) -> None:
    lm = toy_lm()
    method = toy_ppo(lm, kl=KlController(0.5), epochs=1, minibatches=1, missing_eos=-1.0)
    for weight in lm.model.parameters():  # away from the reference
        weight.data.mul_(1.2)
    (batch,) = method.batches(0)
    order = sorted(range(len(batch)), key=lambda row: batch.ids[row].tolist())
    completions = method._sample(0)
    seen = experience(
        completions,
        method.reward,
        method.reference,
        temperature=1.0,
        missing_eos=-1.0,
        micro_tokens=20,
        pad=lm.chat.pad_id,
        device=lm.device,
    )
    rewards = token_rewards(seen.scores, seen.kl, seen.sequences.target, kl_coef=0.5)
    values = method.baseline.module(seen.sequences)
    _, returns = gae(rewards, values, seen.sequences.target, gamma=1.0, lam=0.95)
    expected = sorted(range(len(batch)), key=lambda row: seen.sequences.ids[row].tolist())
    torch.testing.assert_close(batch.returns[order], returns[expected].detach())
    assert method.measured["kl"] == pytest.approx(float(seen.kl.sum(1).mean()), rel=1e-5)
    assert method.measured["kl"] > 0.05
    gain = method.measured["score"] - 0.5 * method.measured["kl"]
    assert method.measured["objective"] == pytest.approx(gain, rel=1e-5)


def test_rewards_are_whitened_on_demand(toy_lm: Any, toy_ppo: Any) -> None:
    settings = {"reward": wordy, "epochs": 1, "minibatches": 1, "kl": KlController(0.0)}
    (raw,) = toy_ppo(toy_lm(), **settings).batches(0)
    (white,) = toy_ppo(toy_lm(), whiten_rewards=True, **settings).batches(0)
    assert torch.equal(white.ids, raw.ids)
    # Without KL a token's reward is 0 or, at the end, the score: undo GAE's sum at the last token.
    last = [int(row.nonzero().max()) for row in raw.target]
    at = torch.arange(len(raw)), torch.tensor(last)
    score = torch.zeros_like(raw.returns)
    score[at] = raw.returns[at]
    rewards = score[raw.target]
    expected = (raw.returns[at] - rewards.mean()) * torch.rsqrt(rewards.var(unbiased=False) + 1e-8)
    torch.testing.assert_close(white.returns[at], expected + rewards.mean())


def test_what_is_measured(toy_lm: Any, toy_ppo: Any) -> None:
    method = toy_ppo(toy_lm(), missing_eos=-1.0)
    list(method.batches(0))
    completions = method._sample(0)
    count = len(completions)
    measured = method.observe({})
    cut = [item.finish == "length" for item in completions]
    assert measured["unfinished"] == pytest.approx(sum(cut) / count)
    assert measured["length"] == pytest.approx(
        sum(len(item.text.split()) for item in completions) / count
    )
    assert measured["proxy"] == pytest.approx(sum(method.reward(completions)) / count)
    assert measured["noes"] == pytest.approx(sum(method.watch["noes"](completions)) / count)
    assert measured["score"] < measured["proxy"]
    assert measured["kl_coef"] == 0.05


def test_prompts_and_draws_change_with_the_iteration_only(toy_lm: Any, toy_ppo: Any) -> None:
    first, second = toy_ppo(toy_lm(), rollouts=3), toy_ppo(toy_lm(), rollouts=3)
    sampled = [[item.text for item in first._sample(i)] for i in (0, 1)]
    assert sampled[0] != sampled[1]
    assert [item.text for item in second._sample(1)] == sampled[1]
    asked = [item.prompt.id for i in (0, 1) for item in first._sample(i)]
    assert len(set(asked)) == 6  # every prompt once an epoch


def test_the_coefficient_follows_the_kl_and_is_saved(toy_lm: Any, toy_ppo: Any) -> None:
    method = toy_ppo(toy_lm(), kl=KlController(0.1, target=0.5, horizon=120))
    list(method.batches(0))
    method.measured["kl"] = 5.0
    method.observe({})
    assert method.kl.coef == pytest.approx(0.1 * (1 + 0.2 * 12 / 120))
    other = toy_ppo(toy_lm(), kl=KlController(0.1, target=0.5, horizon=120))
    other.load_state_dict(json.loads(json.dumps(method.state_dict())))
    assert other.kl.coef == method.kl.coef


@pytest.mark.parametrize("lora", [False, True])
def test_ppo_learns_to_say_what_is_rewarded(
    toy_lm: Any, toy_ppo: Any, place: Any, lora: bool
) -> None:
    lm = attach_lora(toy_lm(), rank=4, alpha=16.0) if lora else toy_lm()
    method = toy_ppo(lm, rollouts=48, minibatches=2, kl=KlController(0.01))
    rows = train(method, place(optim={"lr": 0.06 if lora else 0.02}), iterations=30)
    assert sum(row["proxy"] for row in rows[:3]) / 3 < 0.2
    assert sum(row["proxy"] for row in rows[-3:]) / 3 > (0.4 if lora else 0.7)
    assert rows[-1]["kl"] > 1.0
    assert rows[-1]["entropy"] < rows[0]["entropy"]
    assert abs(rows[0]["kl"]) < 1e-4


def test_the_leash_holds(toy_lm: Any, toy_ppo: Any, place: Any) -> None:
    rows = {}
    for coef in (0.0, 1.0):
        method = toy_ppo(toy_lm(), rollouts=48, kl=KlController(coef))
        run = place(str(coef), optim={"lr": 0.02})
        rows[coef] = train(method, run, iterations=20)[-1]
    assert rows[1.0]["kl"] < 0.3 * rows[0.0]["kl"]
    assert rows[1.0]["proxy"] < rows[0.0]["proxy"]


def test_a_critic_learns_to_predict(toy_lm: Any, toy_ppo: Any, place: Any) -> None:
    settings = {"reward": by_prompt, "missing_eos": 0.5, "kl": KlController(0.0)}
    method = toy_ppo(toy_lm(ends=3.0), rollouts=48, epochs=3, **settings)
    method.baseline.coef = 1.0
    for weight in method.policy.model.parameters():
        weight.requires_grad_(False)
    rows = train(method, place(optim={"lr": 0.01}), iterations=25)
    assert rows[0]["explained_variance"] == pytest.approx(0.0, abs=1e-6)  # its head is zero
    assert sum(row["explained_variance"] for row in rows[-3:]) / 3 > 0.2
    assert rows[-1]["value_loss"] < rows[0]["value_loss"]
