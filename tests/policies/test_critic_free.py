"""RLOO, GRPO and REINFORCE++ on a toy policy: groups, advantages, KL in its two places."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from heed.losses.kl import KL_LOSSES, kl_penalty
from heed.losses.policy import LOG_RATIOS, aggregations, over_tokens, ppo_clip
from heed.models.language_model import attach_lora
from heed.ops.batch import Sequences
from heed.policies.experience import Experience
from heed.policies.grpo import grpo
from heed.policies.kl_control import KlController
from heed.policies.others import Others
from heed.policies.reinforce import reinforce
from heed.policies.rloo import rloo
from heed.trainer import Monitor, Trainer

METHODS: dict[str, Callable[[int], Others]] = {
    "rloo": rloo,
    "grpo": partial(grpo, std=True),
    "dr_grpo": partial(grpo, std=False),
    "reinforce": reinforce,
}


def by_kl(name: str) -> Any:
    return partial(kl_penalty, estimate=KL_LOSSES[name], aggregate=over_tokens)


def wordy(completions: Any) -> list[float]:
    return [len(item.text.split()) / 6 for item in completions]


def seen(scores: list[float], kl: list[list[float]], lengths: list[int]) -> Experience:
    """Answers of these lengths after a prompt of one token."""
    rows = [([5], [6] * length) for length in lengths]
    sequences = Sequences.of(rows, pad=0)
    width = sequences.ids.shape[1]
    zeros = torch.zeros(len(rows), width)
    padded = torch.tensor([[0.0, *row, *[0.0] * (width - 1 - len(row))] for row in kl])
    score = torch.tensor(scores)
    return Experience(sequences, zeros, zeros - padded, padded, score, score)


def weigh(baseline: Others, found: Experience, kl_coef: float) -> Any:
    from heed.ops.advantages import token_rewards

    rewards = token_rewards(found.scores, found.kl, found.sequences.target, kl_coef=kl_coef)
    return baseline.advantages(found, rewards)


FOUR = seen([1.0, 3.0, 0.0, -2.0], [[1.0, 2.0], [4.0], [0.0, 2.0], [1.0, 1.0]], [2, 1, 2, 2])


def test_rloo_with_kl_in_the_reward_by_hand() -> None:
    """Two prompts, two answers each, a coefficient of .1: what is left of KL from a token on,
    against the other answer's score and whole KL.
    """
    found = weigh(rloo(2), FOUR, 0.1)
    want = [
        [0, (1 - 0.3) - (3 - 0.4), (1 - 0.2) - (3 - 0.4)],
        [0, (3 - 0.4) - (1 - 0.3), 0],
        [0, (0 - 0.2) - (-2 - 0.2), (0 - 0.2) - (-2 - 0.2)],
        [0, (-2 - 0.2) - (0 - 0.2), (-2 - 0.1) - (0 - 0.2)],
    ]
    torch.testing.assert_close(found.advantages, torch.tensor(want))
    torch.testing.assert_close(found.returns[0], torch.tensor([0, 0.7, 0.8]))
    torch.testing.assert_close(found.values[:, 1], torch.tensor([2.6, 0.7, -2.2, -0.2]))
    assert not found.values[1, 2]


def test_grpo_keeps_the_price_of_kl_while_it_scales_scores() -> None:
    found = weigh(grpo(2, std=True), FOUR, 0.1)
    unit = 2**-0.5  # of two scores, each is this many unbiased deviations from their mean
    assert found.advantages[0, 1:].tolist() == pytest.approx([-unit + 0.1, -unit + 0.2], abs=1e-4)
    assert found.advantages[1, 1].item() == pytest.approx(unit - 0.1, abs=1e-4)


def test_dr_grpo_by_hand() -> None:
    found = weigh(grpo(2, std=False), FOUR, 0.0)
    assert found.advantages[:, 1].tolist() == [-1, 1, 1, -1]


@pytest.mark.parametrize(
    ("group", "before"),
    [(1, [0.7, 0.8, 2.6, -0.2, -0.2, -2.2, -2.1]), (2, [-0.9, -0.8, 0.9, 1.0, 1.0, -1.0, -0.9])],
)
def test_reinforce_whitens_the_tokens_of_the_round(group: int, before: list[float]) -> None:
    """After the scores' group mean and the cost of KL, where there are groups."""
    found = weigh(reinforce(group), FOUR, 0.1)
    raw = torch.tensor(before)
    want = (raw - raw.mean()) / raw.std(unbiased=False)
    torch.testing.assert_close(found.advantages[FOUR.sequences.target], want, atol=1e-5, rtol=0)
    assert not found.advantages[~FOUR.sequences.target].any()


@pytest.mark.parametrize("name", METHODS)
def test_equal_scores_give_exactly_no_advantage(name: str) -> None:
    """Of groups that differ, so that rounding in one would show when the round is whitened."""
    scores = [0.1] * 7 + [1 / 3] * 7
    found = weigh(METHODS[name](7), seen(scores, [[0.0, 0.0]] * 14, [2] * 14), 0.0)
    assert not found.advantages.any()


@pytest.mark.parametrize("name", ["rloo", "grpo", "dr_grpo"])
def test_near_equal_answers_do_not_blow_up(name: str) -> None:
    """The same answer seven times, its KL rounded differently: nothing is made of that."""
    kl = [[0.5 + 1e-6 * row, 0.5] for row in range(7)]
    found = weigh(METHODS[name](7), seen([0.1] * 7, kl, [2] * 7), 0.1)
    # The second token is spared the first one's cost, .05, and no more than that.
    assert found.advantages[:, 1].abs().max() < 1e-5
    torch.testing.assert_close(found.advantages[:, 2], torch.full((7,), 0.05), atol=1e-5, rtol=0)


def test_groups_stand_together_and_every_prompt_is_asked_once(toy_lm: Any, toy_ppo: Any) -> None:
    method = toy_ppo(toy_lm(), baseline=rloo(4), group=4, rollouts=12)
    calls: list[tuple[int, int]] = []
    real = method.sampler

    class Spy:
        def sample(self, prompts: Any, *, n: int = 1, seed: int = 0) -> Any:
            calls.append((len(prompts), n))
            return real.sample(prompts, n=n, seed=seed)

    method.sampler = Spy()
    rows = [item.prompt.id for item in method._sample(0)]
    assert calls == [(3, 4)]
    assert [rows[i : i + 4] for i in (0, 4, 8)] == [[rows[i]] * 4 for i in (0, 4, 8)]
    assert len(set(rows)) == 3
    later = [item.prompt.id for item in method._sample(1)]
    assert not set(rows) & set(later)  # six prompts: the other three


def test_advantages_are_of_the_whole_round_before_it_is_split(toy_lm: Any, toy_ppo: Any) -> None:
    """Minibatches cut through groups; together they hold what the uncut round holds."""
    rounds = {}
    for minibatches in (1, 4):
        method = toy_ppo(
            toy_lm(ends=3.0), baseline=rloo(3), group=3, epochs=1, minibatches=minibatches,
            kl=KlController(0.0), reward=wordy,
        )  # fmt: skip
        rows = [
            (tuple(ids[mask].tolist()), round(float(a[t].mean()), 6))
            for batch in method.batches(0)
            for ids, mask, a, t in zip(
                batch.ids, batch.mask, batch.advantages, batch.target, strict=True
            )
        ]
        rounds[minibatches] = sorted(rows)
    assert rounds[1] == rounds[4]
    assert len({advantage for _, advantage in rounds[1]}) > 2


def test_flat_groups_are_counted(toy_lm: Any, toy_ppo: Any) -> None:
    def first_wins(completions: Any) -> list[float]:
        return [float(place == 0) for place, _ in enumerate(completions)]

    lm = toy_lm(ends=100.0)  # it always ends at once
    method = toy_ppo(lm, baseline=rloo(4), group=4, reward=first_wins)
    list(method.batches(0))
    assert method.observe({})["flat_groups"] == pytest.approx(2 / 3)
    method = toy_ppo(toy_lm())
    list(method.batches(0))
    assert "flat_groups" not in method.observe({})


@pytest.mark.parametrize("name", KL_LOSSES)
def test_as_a_loss_kl_leaves_the_reward(toy_lm: Any, toy_ppo: Any, name: str) -> None:
    lm = toy_lm()
    settings = {"baseline": rloo(4), "group": 4, "epochs": 1, "minibatches": 1}
    method = toy_ppo(lm, kl=KlController(0.5), kl_loss=by_kl(name), **settings)
    for weight in lm.model.parameters():  # away from the reference
        weight.data.mul_(1.2)
    (batch,) = method.batches(0)
    plain = toy_ppo(lm, kl=KlController(0.0), **settings)
    (without,) = plain.batches(0)
    assert torch.equal(batch.advantages, without.advantages)
    (term,) = [term for term in method.loss(batch) if term.name == "kl_loss"]
    assert (term.weight, term.count) == (0.5, "tokens")
    log_ratio = ((batch.logprobs - batch.ref_logprobs) * batch.target).sum(1)
    assert method.measured["kl"] == pytest.approx(float(log_ratio.mean()), rel=1e-4)
    if name == "k2_sequence":
        assert term.total.item() == pytest.approx(float(log_ratio.square().sum() / 2), rel=1e-3)
    method.kl.coef = 0.7  # the adaptive controller moves the loss as it moves the reward
    assert [term.weight for term in method.loss(batch) if term.name == "kl_loss"] == [0.7]


@pytest.mark.parametrize("ratio", LOG_RATIOS)
@pytest.mark.parametrize("name", METHODS)
def test_the_first_step_is_reinforce(toy_lm: Any, toy_ppo: Any, name: str, ratio: str) -> None:
    """On policy nothing is clipped, whatever the ratio, and the loss is minus the advantages."""
    loss = partial(ppo_clip, clip_low=0.01, clip_high=0.01, log_ratio=LOG_RATIOS[ratio])
    method = toy_ppo(toy_lm(), baseline=METHODS[name](4), group=4, policy_loss=loss)
    batch = next(method.batches(0))
    terms = {term.name: term.total.item() for term in method.loss(batch)}
    assert terms["clip_fraction"] == 0
    assert terms["policy_loss"] == pytest.approx(-float(batch.advantages.sum()), abs=1e-4)
    assert not [term for term in method.loss(batch) if term.name.startswith("value")]


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


@pytest.mark.parametrize(
    ("name", "aggregate", "lora"),
    [
        ("rloo", "token", False),
        ("rloo", "token", True),
        ("grpo", "sequence", False),
        ("dr_grpo", "constant", False),
        ("reinforce", "token", False),
    ],
)
def test_they_learn_to_say_what_is_rewarded(
    toy_lm: Any, toy_ppo: Any, place: Any, name: str, aggregate: str, lora: bool
) -> None:
    lm = attach_lora(toy_lm(), rank=4, alpha=16.0) if lora else toy_lm()
    loss = partial(ppo_clip, clip_low=0.2, clip_high=0.28, aggregate=aggregations(6)[aggregate])
    method = toy_ppo(
        lm, baseline=METHODS[name](4), group=4, rollouts=48, policy_loss=loss,
        kl=KlController(0.01),
    )  # fmt: skip
    # At twice the rate three of ten seeds are stuck at some answers for a while.
    rows = train(method, place(optim={"lr": 0.06 if lora else 0.01}), iterations=30)
    assert sum(row["proxy"] for row in rows[:3]) / 3 < 0.2
    assert sum(row["proxy"] for row in rows[-3:]) / 3 > (0.4 if lora else 0.7)
    assert abs(rows[0]["kl"]) < 1e-4


@pytest.mark.parametrize("name", ["k2_sequence", "k3"])
def test_a_loss_is_a_leash_too(toy_lm: Any, toy_ppo: Any, place: Any, name: str) -> None:
    rows = {}
    for coef in (0.01, 1.0):
        method = toy_ppo(
            toy_lm(), baseline=rloo(4), group=4, rollouts=48, kl=KlController(coef),
            kl_loss=by_kl(name),
        )  # fmt: skip
        run = place(str(coef), optim={"lr": 0.02})
        rows[coef] = train(method, run, iterations=15)[-1]
    assert rows[1.0]["kl"] < 0.3 * rows[0.01]["kl"]
    assert rows[1.0]["proxy"] < rows[0.01]["proxy"]
