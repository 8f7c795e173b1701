from __future__ import annotations

import math
import random
import time
from collections import Counter

import pytest

from heed.stats.diversity import ngrams
from heed.stats.self_bleu import self_bleu


def plainly(texts: list[str], at: int) -> float:
    """BLEU of one text against the others, written as the paper says it."""
    own, others = texts[at].split(), [t for place, t in enumerate(texts) if place != at]
    orders = min(4, len(own))
    log = 0.0
    for n in range(1, orders + 1):
        counts = Counter(ngrams(texts[at], n))
        most = {g: max(Counter(ngrams(t, n))[g] for t in others) for g in counts}
        matched = sum(min(count, most[gram]) for gram, count in counts.items())
        log += math.log((matched or 0.1) / sum(counts.values())) / orders
    near = min((len(t.split()) for t in others), key=lambda r: (abs(r - len(own)), r))
    return math.exp(min(0.0, 1 - near / len(own)) + log)


def test_by_hand() -> None:
    # Orders 1, 2, 3 of "the cat sat": 2 of 3 words, 1 of 2 pairs, .1 of 1 triple; lengths equal.
    first, second = self_bleu(["the cat sat", "the cat ran"])
    assert first == second == pytest.approx((2 / 3 * 1 / 2 * 0.1) ** (1 / 3))
    # A copy's part: all match, and one word of three is missing.
    part, whole = self_bleu(["a b", "a b c"])
    assert part == pytest.approx(math.exp(1 - 3 / 2))
    assert whole == pytest.approx((2 / 3 * 1 / 2 * 0.1) ** (1 / 3))


def test_counts_are_clipped_at_the_most_of_one_other() -> None:
    assert self_bleu(["a a a", "a b", "a c"])[0] == pytest.approx(
        (1 / 3 * 0.1 / 2 * 0.1) ** (1 / 3)
    )


def test_copies_are_one_and_strangers_next_to_nothing() -> None:
    assert self_bleu(["one two three four five"] * 3) == pytest.approx([1.0] * 3)
    assert max(self_bleu(["a b c d e", "f g h i j"])) < 0.05


def test_texts_without_words_and_texts_alone() -> None:
    assert self_bleu(["", "a b"])[0] == 0.0
    assert self_bleu(["", " ", "a b"])[:2] == [1.0, 1.0]
    assert math.isnan(self_bleu(["a b"])[0])
    assert self_bleu([]) == []


def test_equals_the_definition_on_random_texts() -> None:
    rng = random.Random(0)
    for _ in range(20):
        texts = [
            " ".join(rng.choices("abcde", k=rng.randint(1, 9))) for _ in range(rng.randint(2, 12))
        ]
        found = self_bleu(texts)
        assert found == pytest.approx([plainly(texts, at) for at in range(len(texts))])


def test_thousands_of_texts_take_a_moment() -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices("abcdefghijklmnop", k=14)) for _ in range(2500)]
    began = time.perf_counter()
    self_bleu(texts)
    assert time.perf_counter() - began < 5
