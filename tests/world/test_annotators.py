"""Simulated people: exact probabilities, biases, spammers, mirrored grades, the noise ceiling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from heed.types import GRADES, Annotation, Pair
from heed.world import Person, SimulatedAnnotator, World, noise_ceiling, preference
from heed.world.annotators import grade, sigmoid

WORLD = World(0)
PROMPT = next(p for p in WORLD.prompts if p.id.startswith("facts/capital/"))
RIGHT = "It is {}.".format(WORLD.key(PROMPT.id)["answer"])
RUDE = "What a stupid thing to say."
KIND = f"{RIGHT} I hope this helps."
LONG = f"Let me think about this for a very long while. {RIGHT}"


def annotator(**traits: float | bool) -> SimulatedAnnotator:
    person = Person("Test", **{"temperature": 1.0, **traits})  # type: ignore[arg-type]
    return SimulatedAnnotator(person, WORLD.gold, 0)


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
