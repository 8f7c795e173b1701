"""Simulated people: exact probabilities, biases, spammers, mirrored grades, the noise ceiling.

What they say of two answers is pinned: published figures rest on it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import permutations

import pytest

from heed.types import GRADES, Annotation, Item, Pair
from heed.world import Person, SimulatedAnnotator, World, noise_ceiling, preference
from heed.world.annotators import draw_people, grade, sigmoid, with_traits

WORLD = World(0)
GOLD = lru_cache(maxsize=None)(WORLD.gold)
PROMPT = next(p for p in WORLD.prompts if p.id.startswith("facts/capital/"))
RIGHT = "It is {}.".format(WORLD.key(PROMPT.id)["answer"])
RUDE = "What a stupid thing to say."
KIND = f"{RIGHT} I hope this helps."
LONG = f"Let me think about this for a very long while. {RIGHT}"


def annotator(**traits: float | bool) -> SimulatedAnnotator:
    person = Person("Test", **{"temperature": 1.0, **traits})  # type: ignore[arg-type]
    return SimulatedAnnotator(person, GOLD, 0)


def answers(one: SimulatedAnnotator, pair: Pair, n: int = 2000) -> list[Annotation]:
    return [one.annotate(replace(pair, id=f"{pair.id}/{index}")) for index in range(n)]


def left_share(rows: list[Annotation]) -> float:
    sides = [row.prefers_left for row in rows if row.prefers_left is not None]
    return sum(sides) / len(sides)


def pairs(n: int) -> list[Pair]:
    """Answers of the corpus against demonstrations, to one prompt each, sides alternating."""
    better = {row.prompt.id: row.text for row in WORLD.demonstrations(1200, seed=5)}
    made = []
    for index, row in enumerate(WORLD.corpus(3 * n, seed=6)):
        other = better.get(row.prompt.id, row.text)
        sides = (row.text, other) if index % 2 else (other, row.text)
        if row.text != other:
            made.append(Pair(f"p{index}", row.prompt, *sides))
    return made[:n]


def test_people() -> None:
    crowd = WORLD.annotators()
    assert len(crowd) >= 12
    assert len({each.name for each in crowd}) == len(crowd)
    spammers = [each for each in crowd if each.person.spammer]
    assert len(spammers) == 2
    assert sorted(each.person.always_left for each in spammers) == [False, True]


def test_answers_repeat_for_the_same_pair_and_differ_between_people() -> None:
    some = pairs(40)
    first, again = WORLD.annotators(), World(0).annotators()
    verdicts = [[each.annotate(pair) for pair in some] for each in first]
    assert verdicts == [[each.annotate(pair) for pair in some] for each in again]
    assert len({tuple(row.verdict for row in rows) for rows in verdicts}) == len(first)
    row = verdicts[0][0]
    assert (row.item, row.annotator, row.source) == (some[0].id, first[0].name, "simulated")
    assert row.seconds > 0


@pytest.mark.parametrize(
    "traits",
    [
        {},
        {"left_bias": 0.7, "tie_width": 0.8, "tie_rate": 0.5},
        {"reliability": 0.6, "both_bad_rate": 0.5, "tie_width": 1.0, "tie_rate": 1.0},
        {"reliability": 0.0},
        {"always_left": True},
    ],
)
@pytest.mark.parametrize(("left", "right"), [(KIND, LONG), (RUDE, "It is not so."), (RUDE, RUDE)])
def test_probability_is_the_share_of_graded_answers(
    traits: dict[str, float], left: str, right: str
) -> None:
    one = annotator(**{"temperature": 1.5, **traits})
    pair = Pair("x", PROMPT, left, right)
    rows = answers(one, pair, 3000)
    n = sum(row.prefers_left is not None for row in rows)
    assert left_share(rows) == pytest.approx(one.probability_left(pair), abs=4 * 0.5 / n**0.5)


def test_bradley_terry_without_biases() -> None:
    one = annotator(temperature=2.0)
    pair = Pair("x", PROMPT, KIND, LONG)
    gap = WORLD.gold(PROMPT, KIND).total - WORLD.gold(PROMPT, LONG).total
    assert one.probability_left(pair) == pytest.approx(sigmoid(gap / 2))


def test_sides_mirror() -> None:
    one = annotator(tie_width=0.3, tie_rate=0.4, reliability=0.9, length_bias=0.05)
    pair = Pair("x", PROMPT, RUDE, LONG)
    swapped = Pair("x", PROMPT, LONG, RUDE)
    assert one.probability_left(pair) == pytest.approx(1 - one.probability_left(swapped))
    for x in (0.1, 0.6, 2.0, 9.0):
        assert grade(x, 0.8) + grade(-x, 0.8) == 9


def test_grades_say_how_much() -> None:
    assert [grade(x, 1.0) for x in (9.0, 2.0, 1.0, 0.1)] == [1, 2, 3, 4]
    assert grade(1.0, 0.3) < grade(1.0, 1.0) < grade(1.0, 3.0)
    found = answers(annotator(), Pair("x", PROMPT, KIND, RUDE), 300)
    assert Counter(row.verdict for row in found).most_common(1)[0][0] == 1


@pytest.mark.parametrize(
    ("trait", "left", "right"),
    [
        ({"length_bias": 0.2}, LONG, RIGHT),
        ({"courtesy_bias": 1.0}, KIND, RIGHT),
        ({"left_bias": 1.0}, RIGHT, RIGHT),
    ],
)
def test_biases(trait: dict[str, float], left: str, right: str) -> None:
    pair = Pair("x", PROMPT, left, right)
    plain, biased = annotator(), annotator(**trait)
    assert biased.probability_left(pair) > plain.probability_left(pair) + 0.1
    assert left_share(answers(biased, pair)) > left_share(answers(plain, pair)) + 0.05


def test_spammers_do_not_read() -> None:
    some = pairs(300)
    for one in (each for each in WORLD.annotators() if each.person.spammer):
        rows = [one.annotate(pair) for pair in some]
        assert all(row.verdict in GRADES for row in rows)
        assert max(row.seconds for row in rows) <= 2.5
        share = left_share(rows)
        assert share == 1.0 if one.person.always_left else 0.4 < share < 0.6


def test_answers_without_a_side_occur_now_and_then() -> None:
    crowd = [each for each in WORLD.annotators() if not each.person.spammer]
    counts = Counter(each.annotate(pair).verdict for pair in pairs(400) for each in crowd)
    total = sum(counts.values())
    for verdict in ("tie", "both_bad", "cannot_tell"):
        assert 0.001 < counts[verdict] / total < 0.1, counts
    assert set(GRADES) <= set(counts)


def test_people_mostly_agree_with_gold() -> None:
    crowd = WORLD.annotators()
    some = pairs(500)
    agree = []
    for pair in some:
        gap = WORLD.gold(pair.prompt, pair.left).total - WORLD.gold(pair.prompt, pair.right).total
        for one in crowd:
            side = one.annotate(pair).prefers_left
            if not one.person.spammer and side is not None and gap:
                agree.append(side == (gap > 0))
    assert 0.8 < sum(agree) / len(agree) < 0.98
    assert 0.75 < sum(noise_ceiling(crowd, pair) for pair in some) / len(some) < 0.92


def test_noise_ceiling_knows_no_side() -> None:
    attentive, always_left = crowd = [annotator(left_bias=0.5), annotator(always_left=True)]
    pair, swapped = Pair("x", PROMPT, RUDE, RIGHT), Pair("x", PROMPT, RIGHT, RUDE)
    assert preference([always_left], pair) == 0.5
    left = attentive.probability_left(pair)
    p = (left + 1 - attentive.probability_left(swapped)) / 2
    assert preference([attentive], pair) == pytest.approx(p)
    assert noise_ceiling(crowd, pair) == pytest.approx(max((p + 0.5) / 2, 1 - (p + 0.5) / 2))
    assert noise_ceiling(crowd, swapped) == pytest.approx(noise_ceiling(crowd, pair))
    assert noise_ceiling(crowd, Pair("y", PROMPT, RIGHT, RIGHT)) == pytest.approx(0.5)


def test_overrides_bias_all_but_the_spammers() -> None:
    crowd = WORLD.annotators(length_bias=0.3, temperature=0.5)
    for one, usual in zip(crowd, WORLD.annotators(), strict=True):
        if one.person.spammer:
            assert one.person == usual.person
        else:
            assert one.person == replace(usual.person, length_bias=0.3, temperature=0.5)
    longer = Pair("x", PROMPT, LONG, RIGHT)
    assert preference(crowd, longer) > 0.85
    assert preference(WORLD.annotators(), longer) < 0.7
    with pytest.raises(TypeError, match="lenght_bias"):
        WORLD.annotators(lenght_bias=0.3)


def test_what_was_said_of_two_answers_is_said_again() -> None:
    """The digest is that of the first release; a change here changes every published figure."""
    rows = [each.annotate(pair) for pair in pairs(60) for each in WORLD.annotators()]
    said = "".join(f"{row.annotator} {row.item} {row.verdict} {row.seconds}\n" for row in rows)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "246e50b9b73f4a8c"


def item(*answers: str, name: str = "x") -> Item:
    return Item(name, PROMPT, answers)


def rankings(one: SimulatedAnnotator, of: Item, n: int) -> list[Annotation]:
    return [one.rank(replace(of, id=f"{of.id}/{index}")) for index in range(n)]


def plackett_luce(utilities: list[float], order: tuple[int, ...]) -> float:
    """The chance of this order, best first: each place is a softmax over what is left."""
    chance = 1.0
    for place, chosen in enumerate(order):
        left = [math.exp(utilities[other]) for other in order[place:]]
        chance *= math.exp(utilities[chosen]) / sum(left)
    return chance


def test_rankings_are_plackett_luce() -> None:
    one = annotator(temperature=2.0)
    answers = (KIND, LONG, "It is not so.", RUDE)
    utilities = [WORLD.gold(PROMPT, text).total / 2 for text in answers]
    rows = rankings(one, item(*answers), 6000)
    found = Counter(row.verdict for row in rows if row.ranks is not None)
    total = sum(found.values())
    assert total > 0.98 * len(rows)
    for order in permutations(range(4)):
        ranks = tuple(order.index(place) + 1 for place in range(4))
        chance = plackett_luce(utilities, order)
        spread = 4 * math.sqrt(chance * (1 - chance) / total) + 1e-3
        assert found[ranks] / total == pytest.approx(chance, abs=spread), ranks


@pytest.mark.parametrize(
    "traits",
    [
        {},
        {"left_bias": 0.7, "tie_width": 0.8, "tie_rate": 0.5},
        {"reliability": 0.6, "tie_width": 1.0, "tie_rate": 1.0},
        {"reliability": 0.0},
        {"always_left": True},
    ],
)
def test_a_ranking_of_two_is_their_comparison(traits: dict[str, float]) -> None:
    one = annotator(**{"temperature": 1.5, **traits})
    rows = rankings(one, item(KIND, LONG), 4000)
    sides = [row.verdict for row in rows if row.verdict in ((1, 2), (2, 1))]
    graded = answers(one, Pair("x", PROMPT, KIND, LONG), 4000)
    chance = one.probability_left(Pair("x", PROMPT, KIND, LONG))
    assert sides.count((1, 2)) / len(sides) == pytest.approx(chance, abs=4 * 0.5 / 60)
    tied = sum(row.verdict == (1, 1) for row in rows) / len(rows)
    assert tied == pytest.approx(sum(row.verdict == "tie" for row in graded) / 4000, abs=0.04)


def test_spammers_rank_without_reading() -> None:
    of = item(RUDE, KIND, LONG)
    lover, dice = annotator(always_left=True), annotator(reliability=0.0)
    assert {row.verdict for row in rankings(lover, of, 20)} == {(1, 2, 3)}
    found = Counter(row.verdict for row in rankings(dice, of, 3000))
    assert len(found) == 6
    assert all(0.13 < count / 3000 < 0.21 for count in found.values())


def test_close_answers_share_a_rank() -> None:
    one = annotator(tie_width=50.0, tie_rate=1.0)
    assert {row.verdict for row in rankings(one, item(KIND, RUDE, LONG), 60)} <= {
        (1, 1, 1),
        "cannot_tell",
    }
    sometimes = annotator(tie_width=50.0, tie_rate=0.5)
    found = {row.verdict for row in rankings(sometimes, item(KIND, RUDE, LONG), 300)}
    assert {(1, 1, 1), (1, 3, 2), (1, 3, 1)} <= found  # who shares rank 1 leaves rank 2 empty


def test_bad_answers_are_all_called_bad() -> None:
    of = item(RUDE, "Go away, you fool.", "Shut up and leave me alone.")
    one = annotator(both_bad_rate=1.0)
    assert {row.verdict for row in rankings(one, of, 20)} <= {"both_bad", "cannot_tell"}
    mixed = item(RUDE, "Go away, you fool.", KIND)
    assert "both_bad" not in {row.verdict for row in rankings(one, mixed, 50)}


def test_the_leftmost_answer_gains_by_the_left_bias() -> None:
    of, swapped = item(KIND, KIND, KIND), (2, 1, 0)
    lover = annotator(left_bias=3.0)
    rows = [lover.rank(replace(of, id=f"x/{index}"), swapped) for index in range(400)]
    ranks = [row.ranks for row in rows if row.ranks]
    assert sum(row[2] == 1 for row in ranks) / len(ranks) > 0.85
    assert {row.order for row in rows} == {swapped}


def test_two_answers_are_graded_and_more_are_ranked() -> None:
    one = annotator()
    two, three = item(KIND, RUDE), item(KIND, RUDE, LONG)
    assert one.annotate_item(two) == one.annotate(two.pair())
    assert one.annotate_item(three) == one.rank(three)
    turned = one.annotate_item(two, (1, 0))
    assert (turned.order, turned.verdict) == ((1, 0), one.annotate(two.pair((1, 0))).verdict)
    assert turned.ranks == (1, 2)
    assert one.rank(three, (2, 0, 1)).order == (2, 0, 1)
    assert one.rank(three) == SimulatedAnnotator(one.person, World(0).gold, 0).rank(three)
    assert one.rank(three).seconds > 2


def test_one_person_with_other_traits() -> None:
    crowd = WORLD.annotators()
    name = next(each.name for each in crowd if not each.person.spammer)
    changed = with_traits(crowd, name, left_bias=4.0)
    for one, usual in zip(changed, crowd, strict=True):
        bias = 4.0 if one.name == name else usual.person.left_bias
        assert one.person == replace(usual.person, left_bias=bias)
    with pytest.raises(KeyError, match="nobody in this crowd is called 'Nemo'"):
        with_traits(crowd, "Nemo", left_bias=4.0)
    with pytest.raises(TypeError, match="left_bais"):
        with_traits(crowd, name, left_bais=4.0)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 16])
def test_as_many_spammers_as_asked_for(count: int) -> None:
    usual, people = draw_people(0), draw_people(0, count)
    assert sum(person.spammer for person in people) == count
    assert sum(person.always_left for person in people) == -(-count // 2)
    own = [one for one, other in zip(people, usual, strict=True) if one.name == other.name]
    assert len(own) == 16
    for one, other in zip(people, usual, strict=True):
        if one.spammer == other.spammer:
            assert one == other
    if count == 2:
        assert people == usual


def test_no_more_spammers_than_people() -> None:
    with pytest.raises(ValueError, match="17 of 16"):
        draw_people(0, 17)
