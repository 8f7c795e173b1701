"""The best of n."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from heed.policies.best_of_n import BestOfN, best_places
from heed.sampling.local import LocalSampler
from heed.stats.best_of_n import kl_bound
from heed.types import Completion, Prompt


class Uniform:
    """Answers with a number between 0 and 1."""

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        draw = random.Random(seed)
        return [Completion(p, repr(draw.random())) for p in prompts for _ in range(n)]


def value(completions: Sequence[Completion]) -> list[float]:
    return [float(each.text) for each in completions]


def test_of_one_it_is_the_sampler_itself(toy_lm: Any, toy_prompts: Any, share_of: Any) -> None:
    plain = LocalSampler(toy_lm(), max_new_tokens=8)
    best = BestOfN(plain, share_of("yes"), 1)
    assert best.sample(toy_prompts, n=3, seed=5) == plain.sample(toy_prompts, n=3, seed=5)


def test_the_best_of_each_prompts_own(toy_lm: Any, toy_prompts: Any, share_of: Any) -> None:
    plain, reward = LocalSampler(toy_lm(), max_new_tokens=8), share_of("yes")
    drawn = plain.sample(toy_prompts, n=6, seed=2)
    best = BestOfN(plain, reward, 3).sample(toy_prompts, n=2, seed=2)
    scores = reward(drawn)
    assert [each.prompt for each in best] == [p for p in toy_prompts for _ in range(2)]
    for place, chosen in enumerate(best):
        own = range(3 * place, 3 * place + 3)
        assert reward([chosen])[0] == max(scores[i] for i in own)
        first = next(i for i in own if scores[i] == max(scores[j] for j in own))
        assert chosen == drawn[first]


def test_no_prompts_no_answers(share_of: Any) -> None:
    assert BestOfN(Uniform(), share_of("yes"), 4).sample([]) == []


@pytest.mark.parametrize("n", [1, 2, 4, 16])
def test_the_gain_is_that_of_order_statistics(n: int) -> None:
    """The largest of n uniform numbers is n / (n + 1) on average, with variance n/(n+1)^2/(n+2)."""
    count = 4000
    best = BestOfN(Uniform(), value, n).sample([Prompt.of("?")] * count, seed=n)
    mean = sum(value(best)) / count
    sd = math.sqrt(n / (n + 1) ** 2 / (n + 2) / count)
    assert abs(mean - n / (n + 1)) < 4 * sd


def test_the_bound_by_hand() -> None:
    assert kl_bound(1) == 0.0
    assert kl_bound(2) == pytest.approx(0.193147)
    assert kl_bound(4) == pytest.approx(0.636294)
    assert kl_bound(16) == pytest.approx(1.835089)


@pytest.mark.parametrize("n", [2, 5])
def test_it_is_a_bound(n: int) -> None:
    """On three answers with known chances, the best of n's KL is below it, by enumeration."""
    chances = [0.6, 0.3, 0.1]  # from worst to best
    below = [sum(chances[:i]) for i in range(4)]
    best = [below[i + 1] ** n - below[i] ** n for i in range(3)]
    kl = sum(q * math.log(q / p) for q, p in zip(best, chances, strict=True))
    assert 0 < kl < kl_bound(n)


def test_only_what_beats_another_is_worth_imitating() -> None:
    scores = torch.tensor([[0.0, 2.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 3.0, 0.0], [-1.0, 0.0, -1.0]])
    finished = torch.ones(4, 3, dtype=torch.bool)
    assert best_places(scores, finished) == [1, 7, 10]
    finished[2, 1] = finished[3, 1] = False  # then the best finished one, if it is not the worst
    assert best_places(scores, finished) == [1, 8]
