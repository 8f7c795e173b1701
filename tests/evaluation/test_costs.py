"""What answers cost: hand numbers, the entropy's delta method, changes paired by prompt."""

from __future__ import annotations

import math

import pytest

from heed.evaluation.costs import (
    COSTS,
    cost_changes,
    cost_families,
    cost_table,
    token_entropy,
    with_costs,
)
from heed.evaluation.measures import Samples
from heed.stats.intervals import ratio_interval
from heed.types import Completion, Prompt

A = Prompt.of("a", family="facts")
B = Prompt.of("b", family="verse")
PROMPTS = (A, A, B, B)
TEXTS = ("yes yes", "yes no", "i do not know", "go on and go on and go on and")
LOGPROBS = ((-1.0, -3.0), (-2.0,), (-0.5, -0.5, -1.0), (-4.0,))


def samples(
    texts: tuple[str, ...] = TEXTS, logprobs: tuple[tuple[float, ...], ...] = LOGPROBS
) -> Samples:
    completions = [
        Completion(prompt, text, logprobs=given)
        for prompt, text, given in zip(PROMPTS, texts, logprobs, strict=True)
    ]
    words = [float(len(text.split())) for text in texts]
    flat = [0.0] * len(texts)
    return Samples(completions, {"length": words, "kl": flat, "unfinished": flat, "gold": flat})


def test_hand_numbers() -> None:
    values = with_costs(samples()).values
    assert set(values) == set(COSTS)
    assert values["distinct_1"] == pytest.approx([0.5, 0.5, 7 / 13, 7 / 13])
    assert values["distinct_2"][:2] == [1.0, 1.0]
    assert values["repeated"] == [0.0, 0.0, 0.0, 1.0]
    assert values["hedges"] == [0.0, 0.0, 1.0, 0.0]
    assert values["refuses"] == [0.0] * 4
    # "yes yes" against "yes no": one of two words is matched, no pair is (0.1 of 1).
    assert values["self_bleu_prompt"][0] == pytest.approx(math.sqrt(0.5 * 0.1))
    # Across prompts the first answers make a set: "yes yes" shares nothing with "i do not know".
    across = math.exp(1 - 4 / 2) * math.sqrt(0.1 / 2 * 0.1 / 1)
    assert values["self_bleu"][0] == pytest.approx(across)


def test_entropy_is_all_surprise_over_all_tokens() -> None:
    found = cost_table(with_costs(samples()))["entropy"]
    assert found.mean == pytest.approx((4 + 2 + 2 + 4) / (2 + 1 + 3 + 1))
    by_hand = ratio_interval([4, 2, 2, 4], [2, 1, 3, 1], [each.id for each in PROMPTS])
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high))


def test_entropy_of_a_family_is_its_own_ratio() -> None:
    tables = cost_families(with_costs(samples()))
    assert list(tables) == ["facts", "verse"]
    assert tables["facts"]["entropy"].mean == pytest.approx((4 + 2) / 3)
    assert tables["verse"]["entropy"].mean == pytest.approx((2 + 4) / 4)
    assert tables["verse"]["length"].n == 2


def test_no_entropy_of_logprobs_that_are_not_the_policys() -> None:
    assert "entropy" not in with_costs(samples(), own=False).values
    unknown = samples(logprobs=((), *LOGPROBS[1:]))
    assert "entropy" not in cost_table(with_costs(unknown))


def test_the_distribution_that_was_drawn_from_counts() -> None:
    cut = Completion(A, "yes", logprobs=(-2.0, -2.0), truncated_logprobs=(-1.0, -2.0))
    assert token_entropy(cut) == 1.5
    assert math.isnan(token_entropy(Completion(A, "yes")))


def test_changes_are_paired_by_prompt_and_vanish_against_oneself() -> None:
    before, after = with_costs(samples()), with_costs(samples(texts=("no",) * 4))
    same = cost_changes(before, before)
    assert list(same) == list(COSTS)
    assert all(each.mean == 0.0 for each in same.values())
    change = cost_changes(after, before)["length"]
    assert (change.mean, change.n) == (1 - (2 + 2 + 4 + 9) / 4, 2)


def test_one_answer_a_prompt_is_alike_to_none_of_its_prompt() -> None:
    whole = samples()
    alone = with_costs(whole.where([True, False, True, False]))
    found = cost_table(alone)
    assert "self_bleu_prompt" not in found
    assert "self_bleu" in found
    assert "self_bleu_prompt" not in cost_changes(alone, with_costs(whole))
