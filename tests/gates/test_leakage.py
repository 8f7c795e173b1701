from __future__ import annotations

import random

import pytest

from heed.gates.leakage import leakage, leaked, shingles


def test_shingles_by_hand() -> None:
    assert shingles("What is, it?") == {("what", "is", "it")}
    assert shingles("a b c d") == {("a", "b", "c"), ("b", "c", "d")}
    assert shingles("Hi!") == {("hi",)}
    assert shingles(" ?! ") == frozenset()


def test_case_and_punctuation_do_not_hide_a_copy() -> None:
    found = leaked(
        ["What is the capital of France?", "Who?"], ["what is the  capital of france"], 1
    )
    assert found == [True, False]


def test_near_duplicates_are_those_of_brute_force() -> None:
    rng = random.Random(0)
    words = ["a", "b", "c", "d", "e"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(400)]
    training, heldout = texts[:300], texts[300:]
    for similarity in (0.3, 0.5, 0.75, 1.0):
        brute = [
            any(len(a & b) / len(a | b) >= similarity for b in map(shingles, training))
            for a in map(shingles, heldout)
        ]
        assert any(brute)
        assert not all(brute)
        assert leaked(heldout, training, similarity) == brute


@pytest.mark.parametrize(("copies", "tripped"), [(0, False), (1, False), (3, True)])
def test_a_share_may_leak(copies: int, tripped: bool) -> None:
    heldout = [f"Tell me about number {n} please." for n in range(100)]
    other = ["Something else that nobody asked for."]
    found = leakage(heldout, [*heldout[:copies], *other], similarity=0.9, share=0.01)
    assert found is not None
    assert found.tripped is tripped
    assert found.says.startswith(f"{copies} of 100 held-out prompts")
    assert ("'Tell me about number 0 please.'" in found.says) is tripped


def test_nothing_held_out() -> None:
    assert leakage([], ["a"], similarity=0.9, share=0.01) is None
