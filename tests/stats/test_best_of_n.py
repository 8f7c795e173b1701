"""The best of n for every n, from N answers."""

from __future__ import annotations

from itertools import combinations
from math import log, nan

import numpy as np
import pytest

from heed.stats.best_of_n import best_of_n, kl_bound, rank_weights


def test_weights_by_hand() -> None:
    # Of 4: the best of 2 is the i-th lowest in i - 1 of 6 pairs.
    expected = [[1 / 4] * 4, [0, 1 / 6, 2 / 6, 3 / 6], [0, 0, 1 / 4, 3 / 4], [0, 0, 0, 1]]
    assert rank_weights(4) == pytest.approx(np.array(expected))


def test_every_n_has_probabilities_that_sum_to_one() -> None:
    weights = rank_weights(64)
    assert weights.sum(1) == pytest.approx(np.ones(64))
    assert weights.min() == 0


def test_it_is_the_mean_over_all_choices_of_n() -> None:
    rng = np.random.default_rng(0)
    proxy, gold = rng.normal(size=(2, 1, 6))
    for n in range(1, 7):
        chosen = [max(c, key=lambda i: proxy[0, i]) for c in combinations(range(6), n)]
        assert best_of_n(proxy, gold)[0, n - 1] == pytest.approx(gold[0, chosen].mean())
        assert best_of_n(proxy, proxy)[0, n - 1] == pytest.approx(proxy[0, chosen].mean())


def test_answers_that_the_proxy_cannot_tell_apart_are_chosen_by_chance() -> None:
    # Of 3 answers with scores 0, 1, 1 and gold 5, 0, 4: any two hold a 1, which is worth 2.
    curve = best_of_n(np.array([[1.0, 0.0, 1.0]]), np.array([[0.0, 5.0, 4.0]]))
    assert curve[0] == pytest.approx([3.0, 2.0, 2.0])
    flat = best_of_n(np.zeros((2, 3)), np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]))
    assert flat == pytest.approx(np.array([[3.0] * 3, [1.0] * 3]))


def test_prompts_do_not_mix() -> None:
    proxy = np.array([[0.0, 7.0], [7.0, 7.0], [7.0, 0.0]])
    assert best_of_n(proxy, proxy)[:, 1] == pytest.approx([7.0, 7.0, 7.0])
    assert best_of_n(proxy, proxy)[:, 0] == pytest.approx([3.5, 7.0, 3.5])


def test_the_estimate_is_without_bias() -> None:
    # The best of n uniform numbers is n / (n + 1) on average, from however many N.
    drawn = np.random.default_rng(1).random((40000, 5))
    found = best_of_n(drawn, drawn).mean(0)
    n = np.arange(1, 6)
    sd = np.sqrt(n / (n + 1) ** 2 / (n + 2) / 40000)
    assert (np.abs(found - n / (n + 1)) < 4 * sd).all()


def test_kl_by_hand() -> None:
    assert kl_bound(1) == 0
    assert kl_bound(4) == pytest.approx(log(4) - 0.75)


@pytest.mark.parametrize("shape", [(2, 4), (3,)])
def test_what_does_not_go_together_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="alike"):
        best_of_n(np.zeros((2, 3)), np.full(shape, nan))
