from __future__ import annotations

import numpy as np
import pytest

from heed.evaluation.baselines import length_baseline, tfidf_baseline
from heed.types import Comparison, Prompt


def pair(chosen: str, rejected: str, weight: float = 1.0) -> Comparison:
    return Comparison(Prompt.of("what now?"), chosen, rejected, weight=weight)


HELDOUT = [pair("a longer answer", "short"), pair("brief", "not so brief"), pair("same", "size")]


def test_length_follows_what_won_in_training() -> None:
    longer_won = [pair("long enough", "no"), pair("longer", "short"), pair("x", "yy")]
    assert length_baseline(longer_won, HELDOUT) == [1, 0, 0.5]
    shorter_won = [pair("no", "long enough"), pair("x", "yy"), pair("longer", "short")]
    assert length_baseline(shorter_won, HELDOUT) == [0, 1, 0.5]


def test_length_counts_weights() -> None:
    assert length_baseline([pair("xx", "y", weight=3), pair("x", "yy")] * 2, HELDOUT)[0] == 1
    assert length_baseline([pair("xx", "y"), pair("x", "yy", weight=3)] * 2, HELDOUT)[0] == 0


def polite(count: int, seed: int) -> list[Comparison]:
    generator = np.random.default_rng(seed)
    filler = ["the", "river", "runs", "north", "of", "a", "town", "today"]

    def text(word: str) -> str:
        words = list(generator.choice(filler, size=6))
        return " ".join([*words, word])

    return [pair(text("please"), text("idiot")) for _ in range(count)]


def test_tfidf_learns_the_words_that_win() -> None:
    assert np.mean(tfidf_baseline(polite(60, 0), polite(40, 1))) == 1


def test_tfidf_favours_no_side() -> None:
    train, heldout = polite(30, 0), [pair("river north", "town"), pair("please", "idiot")]
    swapped = [pair(found.rejected, found.chosen) for found in heldout]
    right, wrong = tfidf_baseline(train, heldout), tfidf_baseline(train, swapped)
    assert [a + b for a, b in zip(right, wrong, strict=True)] == [1, 1]


def test_tfidf_on_noise_is_chance() -> None:
    generator = np.random.default_rng(0)
    words = [f"w{number}" for number in range(50)]

    def draw() -> str:
        return " ".join(generator.choice(words, size=8))

    pairs = [pair(draw(), draw()) for _ in range(600)]
    assert np.mean(tfidf_baseline(pairs[:300], pairs[300:])) == pytest.approx(0.5, abs=0.09)


def test_tfidf_knows_no_more_than_it_read() -> None:
    unknown = [pair("zebra", "quagga")]
    assert tfidf_baseline(polite(10, 0), unknown) == [0.5]
    assert tfidf_baseline([pair(" ", "")], unknown) == [0.5]
    assert tfidf_baseline([], unknown) == [0.5]
    assert tfidf_baseline(polite(10, 0), []) == []
