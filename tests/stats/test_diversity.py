from __future__ import annotations

import pytest

from heed.stats.diversity import (
    distinct_answers,
    distinct_n,
    ngrams,
    repeated_n,
)


def test_ngrams_are_runs_of_words() -> None:
    assert list(ngrams("a b  c\nd", 2)) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert list(ngrams("a b", 3)) == []
    with pytest.raises(ValueError, match="at least one word"):
        ngrams("a", 0)


def test_distinct_n_by_hand() -> None:
    texts = ["the cat sat", "the cat ran"]
    assert distinct_n(texts, 1) == pytest.approx(4 / 6)
    assert distinct_n(texts, 2) == pytest.approx(3 / 4)
    assert distinct_n(["one"], 2) == 0
    assert distinct_n([], 1) == 0


def test_distinct_n_does_not_run_over_the_end_of_a_text() -> None:
    assert distinct_n(["a b", "b a"], 2) == 1


def test_distinct_answers_ignores_white_space() -> None:
    assert distinct_answers(["yes.", " yes. ", "no."]) == pytest.approx(2 / 3)
    assert distinct_answers([]) == 0


def test_repeated_n_by_hand() -> None:
    assert repeated_n("the the the the", 2) == pytest.approx(2 / 3)
    assert repeated_n("one two three", 2) == 0
    assert repeated_n("one", 2) == 0
