"""Terms add up: any split of a batch into micro-batches gives the whole batch's gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from heed.losses.kl import KL_LOSSES, AnswerLogprobs, kl_penalty
from heed.losses.kto import kto
from heed.losses.policy import LOG_RATIOS, aggregations, entropy_bonus, ppo_clip
from heed.losses.preference import PairLogprobs, dpo, orpo, preference_terms
from heed.losses.ranking import plackett_luce
from heed.losses.reward import bradley_terry, centring
from heed.losses.sft import cross_entropy
from heed.losses.steps import step_correctness
from heed.losses.term import Term
from heed.losses.value import clipped_value
from heed.ops.batch import Answers, Batch, Pairs, Rollout, Sequences
from heed.ops.logprobs import token_logprobs
from heed.ops.rankings import Rankings
from heed.ops.steps import Steps

VOCABULARY, WIDTH = 13, 8
LENGTHS = [(2, 9), (1, 1), (3, 4), (1, 12), (4, 2), (2, 1), (1, 5)]


class Bigram(nn.Module):
    """The smallest language model with a value and a score: each token from the one before it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCABULARY, WIDTH, dtype=torch.float64)
        self.head = nn.Linear(WIDTH, VOCABULARY, dtype=torch.float64)
        self.value = nn.Linear(WIDTH, 1, dtype=torch.float64)

    def forward(self, batch: Sequences) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probs, entropies and values of each token, from the state before it."""
        before = batch.ids.roll(1, 1)
        before[:, 0] = 0
        hidden = self.embed(before).tanh()
        logprob, entropy = token_logprobs(
            hidden.flatten(0, 1), self.head.weight, self.head.bias, batch.ids.flatten(), chunk=5
        )
        shape = batch.ids.shape
        return logprob.view(shape), entropy.view(shape), self.value(hidden).squeeze(2)

    def summed(self, batch: Sequences) -> Tensor:
        return torch.where(batch.target, self(batch)[0], 0.0).sum(1)

    def score(self, batch: Sequences) -> Tensor:
        return torch.where(batch.target, self(batch)[2], 0.0).sum(1)


def sequences(seed: int, lengths: list[tuple[int, int]] = LENGTHS) -> Sequences:
    draw = torch.Generator().manual_seed(seed)

    def ids(count: int) -> list[int]:
        return torch.randint(1, VOCABULARY, (count,), generator=draw).tolist()

    return Sequences.of([(ids(prompt), ids(answer)) for prompt, answer in lengths], pad=0)


def pairs() -> Pairs:
    draw = torch.Generator().manual_seed(3)
    margin, weight, ref_chosen, ref_rejected = torch.rand(
        4, len(LENGTHS), generator=draw, dtype=torch.float64
    )
    rejected = sequences(2, [(prompt, 14 - answer) for prompt, answer in LENGTHS])
    return Pairs(sequences(1), rejected, margin, weight, -9 * ref_chosen, -9 * ref_rejected)


def answers() -> Answers:
    both, one = pairs(), torch.ones(len(LENGTHS), dtype=torch.float64)
    good = torch.tensor([True, False, True, True, False, True, False])
    refs = both.ref_chosen, both.ref_rejected
    return Answers(both.chosen, both.rejected, good, both.weight, *refs, 0.7 * one)


def rollout() -> Rollout:
    base = sequences(4)
    draw = torch.Generator().manual_seed(5)
    noise = torch.randn(5, *base.ids.shape, generator=draw, dtype=torch.float64)
    logprobs, reference, *rest = torch.where(base.target, noise, 0.0)
    return Rollout(
        base.ids, base.mask, base.target, 0.3 * logprobs - 2.5, 0.3 * reference - 2.5, *rest
    )


def rankings() -> Rankings:
    places = [sequences(seed) for seed in (6, 7, 8)]
    weight = torch.rand(len(LENGTHS), generator=torch.Generator().manual_seed(9)).double()
    orders = ("123", "312", "212", "112", "120", "201", "321")
    ranks = torch.tensor([[int(rank) for rank in order] for order in orders])
    ids, mask, target = (
        torch.stack([getattr(place, name) for place in places], 1)
        for name in ("ids", "mask", "target")
    )
    here = (ranks > 0)[..., None]
    return Rankings(ids, mask & here, target & here, ranks, weight)


def steps() -> Steps:
    base = sequences(10)
    draw = torch.Generator().manual_seed(11)
    ends = base.target & (torch.rand(base.ids.shape, generator=draw) < 0.5)
    right = torch.randint(2, base.ids.shape, generator=draw).double()
    return Steps(base.ids, base.mask, base.target, ends, right)


def sft(model: Bigram, batch: Batch) -> list[Term]:
    assert isinstance(batch, Sequences)
    return cross_entropy(model(batch)[0], batch.target)


def reward(model: Bigram, batch: Batch) -> list[Term]:
    assert isinstance(batch, Pairs)
    scores = model.score(batch.chosen), model.score(batch.rejected)
    pull = centring(*scores, batch.weight, 0.1)
    return [*bradley_terry(*scores, batch.margin, batch.weight), pull]


def process(model: Bigram, batch: Batch) -> list[Term]:
    assert isinstance(batch, Steps)
    return step_correctness(model(batch)[2], batch.right, batch.ends)


def ranking(model: Bigram, batch: Batch) -> list[Term]:
    assert isinstance(batch, Rankings)
    found = model.score(batch.answers)
    scores = found.new_zeros(batch.ranks.shape).masked_scatter(batch.present, found)
    return plackett_luce(scores, batch.ranks, batch.weight)


def dpo_and_sft(model: Bigram, batch: Batch) -> list[Term]:
    """Two denominators: the pairs' weights, and the chosen answers' tokens."""
    assert isinstance(batch, Pairs)
    logprobs = PairLogprobs(
        model.summed(batch.chosen),
        model.summed(batch.rejected),
        batch.ref_chosen,
        batch.ref_rejected,
        batch.chosen.target.sum(1).double(),
        batch.rejected.target.sum(1).double(),
        batch.margin,
    )
    imitation = cross_entropy(model(batch.chosen)[0], batch.chosen.target)
    return [
        *preference_terms(dpo(logprobs, 0.3), logprobs, batch.weight, 0.3),
        *(replace(term, count="chosen_tokens", weight=0.2) for term in imitation),
    ]


def policy_gradient(
    model: Bigram, batch: Batch, *, estimate: str, log_ratio: str, aggregate: str
) -> list[Term]:
    """Without a critic, KL as a loss."""
    assert isinstance(batch, Rollout)
    logprobs, _, _ = model(batch)
    aggregation = aggregations(12)[aggregate]
    at = AnswerLogprobs(logprobs, batch.logprobs, batch.ref_logprobs, batch.target)
    return [
        *ppo_clip(
            logprobs,
            batch.logprobs,
            batch.advantages,
            batch.target,
            clip_low=0.2,
            clip_high=0.28,
            log_ratio=LOG_RATIOS[log_ratio],
            aggregate=aggregation,
        ),
        kl_penalty(at, 0.3, estimate=KL_LOSSES[estimate], aggregate=aggregation),
    ]


def orpo_and_sft(model: Bigram, batch: Batch) -> list[Term]:
    """As policies/dpo.py builds it, the cross-entropy over the weighted tokens."""
    assert isinstance(batch, Pairs)
    zero = torch.zeros_like(batch.margin)
    logprobs = PairLogprobs(
        model.summed(batch.chosen),
        model.summed(batch.rejected),
        zero,
        zero,
        batch.chosen.target.sum(1).to(zero),
        batch.rejected.target.sum(1).to(zero),
        batch.margin,
    )
    imitation = cross_entropy(model(batch.chosen)[0], batch.chosen.target, batch.weight)
    return [
        *preference_terms(orpo(logprobs, 0.3), logprobs.per_token(), batch.weight, 0.3),
        *(replace(term, count="chosen_tokens") for term in imitation),
    ]


def kahneman_tversky(model: Bigram, batch: Batch) -> list[Term]:
    assert isinstance(batch, Answers)
    return kto(
        model.summed(batch.answer) - batch.ref_answer,
        batch.baseline,
        batch.desirable,
        batch.weight,
        beta=0.3,
        desirable_coef=1.2,
        undesirable_coef=0.9,
    )


def ppo(model: Bigram, batch: Batch) -> list[Term]:
    assert isinstance(batch, Rollout)
    logprobs, entropy, values = model(batch)
    return [
        *ppo_clip(
            logprobs, batch.logprobs, batch.advantages, batch.target, clip_low=0.2, clip_high=0.2
        ),
        entropy_bonus(entropy, batch.target, 0.01),
        *clipped_value(values, batch.values, batch.returns, batch.target, clip=0.2, coef=0.1),
    ]


Loss = Callable[[Bigram, Batch], list[Term]]


def gradient(model: Bigram, loss: Loss, batch: Batch, parts: list[Batch]) -> Tensor:
    """As the trainer does it: totals over the counts of the whole batch, summed part by part."""
    counts = batch.counts()
    model.zero_grad()
    for part in parts:
        terms = [term for term in loss(model, part) if term.weight]
        total = torch.stack([term.weight * term.total / counts[term.count] for term in terms])
        total.sum().backward()
    parameters = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.cat([parameter.flatten() for parameter in parameters])


CASES: list[tuple[Loss, Callable[[], Batch]]] = [
    (sft, lambda: sequences(1)),
    (reward, pairs),
    (ranking, rankings),
    (process, steps),
    (dpo_and_sft, pairs),
    (orpo_and_sft, pairs),
    (kahneman_tversky, answers),
    (ppo, rollout),
    *(
        (partial(policy_gradient, estimate=kl, log_ratio=ratio, aggregate=over), rollout)
        for kl, ratio, over in (
            ("k2_sequence", "token", "token"),
            ("k3_sequence", "token", "constant"),
            ("k2", "sequence", "sequence"),
            ("k3", "token", "sequence"),
        )
    ),
]


@pytest.mark.parametrize(("loss", "build"), CASES)
@pytest.mark.parametrize("tokens", [1, 16, 40, 1000])
def test_micro_batches_give_the_whole_gradient(
    loss: Loss, build: Callable[[], Batch], tokens: int
) -> None:
    model, batch = Bigram(), build()
    whole = gradient(model, loss, batch, [batch])
    parts = list(batch.split(tokens))
    assert len(parts) == {1: 7, 1000: 1}.get(tokens, len(parts))
    assert whole.norm() > 1e-2
    torch.testing.assert_close(gradient(model, loss, batch, parts), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("loss", "build"), CASES)
def test_micro_batches_in_single_precision(loss: Loss, build: Callable[[], Batch]) -> None:
    model, batch = Bigram().float(), build()
    batch = _single(batch)
    whole = gradient(model, loss, batch, [batch])
    split = gradient(model, loss, batch, list(batch.split(16)))
    torch.testing.assert_close(split, whole, rtol=0, atol=1e-6)


def _single(batch: Batch) -> Batch:
    parts = {
        name: _single(part)
        if isinstance(part, Batch)
        else (part.float() if part.is_floating_point() else part)
        for name, part in batch._parts().items()
    }
    return type(batch)(**parts)


@pytest.mark.parametrize(("loss", "build"), CASES)
def test_shards_of_ranks_give_the_whole_gradient(loss: Loss, build: Callable[[], Batch]) -> None:
    model, batch = Bigram(), build()
    whole = gradient(model, loss, batch, [batch])
    shards = [batch.rows(index) for share in batch.shares(3, 16) for index in share]
    assert len(shards) >= 3
    torch.testing.assert_close(gradient(model, loss, batch, shards), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("loss", "build"), CASES)
def test_measurements_add_up_and_carry_no_gradient(loss: Loss, build: Callable[[], Batch]) -> None:
    model, batch = Bigram(), build()
    whole = {term.name: term for term in loss(model, batch)}
    split: dict[str, float] = dict.fromkeys(whole, 0.0)
    for part in batch.split(16):
        for term in loss(model, part):
            split[term.name] += term.total.item()
    for name, term in whole.items():
        assert term.total.requires_grad == (term.weight != 0)
        assert term.count in batch.counts()
        assert split[name] == pytest.approx(term.total.item(), abs=1e-9)
