from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from heed.evaluation.comparing import Standings, agreement, standings
from heed.evaluation.contestants import Contestant, decoys, pair_up
from heed.evaluation.votes import Vote, votes_of
from heed.feedback.scored import ScoreSource
from heed.types import Annotation, Completion, Item, Prompt

PROMPTS = [Prompt.of(f"question {number}?") for number in range(60)]
QUALITY = {"bad": 0.0, "fair": 1.3, "good": 2.6}


def field(*names: str) -> list[Contestant]:
    return [Contestant(name, {p.id: (f"{name} answer.",) for p in PROMPTS}) for name in names]


def quality(completions: list[Completion]) -> list[float]:
    """The first word's worth, with luck that the prompt and the word decide; decoys have none."""
    return [
        QUALITY.get(each.text.split(" ")[0], -9.0)
        + np.random.default_rng(sum(map(ord, each.prompt.id + each.text))).normal()
        for each in completions
    ]


def held(contestants: list[Contestant], judge: Callable[[list[Item]], list[Annotation]],
         baseline: str | None = None) -> Standings:  # fmt: skip
    items = pair_up(contestants, PROMPTS)
    return standings(votes_of("judge", items, judge(items)), baseline, resamples=200)


def by_quality(items: list[Item]) -> list[Annotation]:
    return ScoreSource("quality", quality).ask(items, lambda _: None)  # type: ignore[arg-type]


def test_an_honest_judge_ranks_and_no_decoy_fools_it() -> None:
    found = held([*field("bad", "fair", "good"), *decoys(PROMPTS)], by_quality, "fair")
    assert [each.name for each in found.ratings] == ["good", "fair", "bad"]
    assert [each.rank for each in found.ratings] == [1, 2, 3]
    assert found.pairs["good", "bad"].rate.mean > 80
    assert set(found.beside) == {"good", "bad"}
    assert found.beside["good"].raw == found.pairs["good", "fair"]
    assert found.fooled_by == []
    assert {each.word for each in found.decoys} == {"resisted"}
    assert len(found.decoys) == 3 * 3
    assert found.cycles is not None
    assert found.cycles.cyclic == 0
    for name, boot in found.resampled.items():
        rating = next(each for each in found.ratings if each.name == name)
        assert boot.low < rating.rating < boot.high


def test_rates_mirror_and_swapped_names_swap_everything() -> None:
    found = held(field("fair", "good"), by_quality, "fair")
    other = found.pairs["fair", "good"].rate
    mine = found.pairs["good", "fair"].rate
    assert mine.mean == pytest.approx(100 - other.mean)
    assert (mine.low, mine.high) == pytest.approx((100 - other.high, 100 - other.low))
    items = pair_up(field("fair", "good"), PROMPTS)
    votes = votes_of("judge", items, by_quality(items))
    names = {"fair": "good", "good": "fair"}
    swapped = [Vote(v.judge, v.item, v.prompt, names[v.left], names[v.right], v.score, v.annotator,
                    v.differences) for v in votes]  # fmt: skip
    turned = standings(swapped, "good", resamples=100)
    assert turned.pairs["fair", "good"].rate == mine
    controlled = turned.beside["fair"].length, standings(votes, "fair").beside["good"].length
    assert controlled[0].rate == controlled[1].rate


def test_answers_against_themselves_are_ties() -> None:
    (one,) = field("fair")
    found = held([one, Contestant("same", one.answers)], by_quality, "fair")
    assert found.pairs["same", "fair"].rate.mean == 50
    assert found.beside["same"].ties.mean == 1.0
    assert [each.rating for each in found.ratings] == pytest.approx([1000, 1000])
    assert [each.rank for each in found.ratings] == [1, 1]
    assert found.sides == (0, 0, 60)


def test_a_judge_that_always_prefers_a_side_makes_all_alike() -> None:
    """In both orders it contradicts itself, a tie; in a random one, half of the votes are each."""

    def left(items: list[Item]) -> list[Annotation]:
        return [Annotation(item.id, "left", 1) for item in items]

    def both(items: list[Item]) -> list[Annotation]:
        return [Annotation(i.id, "left", 1, order=o) for i in items for o in ((0, 1), (1, 0))]

    contestants = field("bad", "fair", "good")
    found = held(contestants, both)
    assert all(rate.rate.mean == 50 for rate in found.pairs.values())
    assert [each.rating for each in found.ratings] == pytest.approx([1000] * 3)
    once = held(contestants, left)
    assert all(rate.rate.low < 50 < rate.rate.high for rate in once.pairs.values())
    assert once.sides == (180, 0, 0)


def test_a_judge_that_loves_length_is_fooled_by_name() -> None:
    def longer(completions: list[Completion]) -> list[float]:
        return [float(len(each.text)) for each in completions]

    found = held(
        [*field("fair", "good"), *decoys(PROMPTS)],
        lambda items: ScoreSource("longer", longer).ask(items, lambda _: None),
        "fair",
    )
    assert found.fooled_by == ["decoy: constant", "decoy: injection"]


def test_who_won_every_vote_is_rated_with_a_ridge_and_says_so() -> None:
    votes = [Vote("j", str(n), f"p{n}", "a", "b", 1.0) for n in range(30)]
    found = standings(votes, "b", resamples=50)
    assert found.ratings[0].name == "a"
    assert math.isfinite(found.ratings[0].rating)
    assert any("ridge" in note for note in found.notes)
    assert any("style is unknown" in note for note in found.notes)


def test_one_prompt_says_little_and_says_so() -> None:
    votes = [Vote("j", str(n), "p", "a", "b", float(n % 3 > 0)) for n in range(30)]
    found = standings(votes, resamples=50)
    assert any("one prompt" in note for note in found.notes)
    assert math.isnan(found.pairs["a", "b"].rate.low)


def test_standings_are_by_one_judge() -> None:
    with pytest.raises(ValueError, match="not by 0"):
        standings([])
    votes = [Vote("j", "i", "p", "a", "b", 1.0), Vote("k", "i", "p", "a", "b", 1.0)]
    with pytest.raises(ValueError, match="not by 2"):
        standings(votes)


def test_agreement_is_cohens_kappa_by_hand() -> None:
    """Two judges of 40 pairs: 15 and 15 alike, 5 and 5 not; kappa = (.75 - .5) / .5."""
    votes = []
    for n in range(40):
        first, second = [(1, 1), (0, 0), (1, 1), (0, 0), (1, 1), (0, 0), (1, 0), (0, 1)][n % 8]
        votes.append(Vote("one", f"i{n}", f"p{n}", "a", "b", float(first)))
        votes.append(Vote("two", f"i{n}", f"p{n}", "b", "a", 1 - float(second)))  # shown otherwise
    votes.append(Vote("one", "d", "p", "a", "decoy: empty", 1.0))
    votes.append(Vote("two", "d", "p", "a", "decoy: empty", 1.0))
    found = agreement(votes)["one", "two"]
    assert found.mean == pytest.approx(0.5)
    assert found.n == 40
    assert 0.1 < found.low < 0.5 < found.high < 0.9
    assert agreement([vote for vote in votes if vote.judge == "one"]) == {}
