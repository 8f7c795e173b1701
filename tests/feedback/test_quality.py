from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import pytest

from heed.data.labels import first_occasions, latest
from heed.feedback.preferences import preferences
from heed.feedback.quality import (
    agreement_report,
    annotator_reports,
    cost,
    disputed,
    reliabilities,
)
from heed.types import Annotation, Item, Prompt, Verdict
from heed.world.annotators import SimulatedAnnotator, draw_people
from heed.world.world import World

PROMPT = Prompt.of("Which is better?")


def pair(id: str, known: Verdict | None = None) -> Item:
    return Item(id, PROMPT, ("this", "that"), known=known)


def triple(id: str) -> Item:
    return Item(id, PROMPT, ("this", "that", "those"))


def said(
    item: str, annotator: str, verdict: Verdict, *, turned: bool = False, **more: float
) -> Annotation:
    order = (1, 0) if turned else (0, 1)
    if isinstance(verdict, tuple):
        order = (2, 1, 0) if turned else (0, 1, 2)
    return Annotation(item, annotator, verdict, order=order, **more)  # type: ignore[arg-type]


def by_id(items: Sequence[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


def test_preferences_are_turned_to_the_items_order() -> None:
    (plain,) = preferences([said("x", "a", 2)])
    (turned,) = preferences([said("x", "a", 7, turned=True)])
    assert (plain.said, plain.lean, plain.grade, plain.first_left) == ("first", 3.0, 2.0, True)
    assert replace(turned, first_left=True) == plain
    assert not turned.first_left
    (slight,) = preferences([said("x", "a", 4, turned=True)])
    assert (slight.said, slight.lean, slight.grade) == ("second", -1.0, 5.0)


def test_verdicts_without_a_side() -> None:
    (tie,) = preferences([said("x", "a", "tie", turned=True)])
    assert (tie.said, tie.lean, tie.grade) == ("tie", 0.0, 4.5)
    (bad,) = preferences([said("x", "a", "both_bad")])
    assert (bad.said, bad.lean, bad.grade) == ("both_bad", None, None)
    assert preferences([said("x", "a", "cannot_tell")]) == []


def test_rankings_are_preferences_of_pairs() -> None:
    # Shown those, that, this, ranked 2 1 1: this and that tie, both before those.
    found = preferences([said("x", "a", (2, 1, 1), turned=True)])
    assert [(each.unit, each.said, each.lean, each.first_left) for each in found] == [
        (("x", 0, 1), "tie", 0.0, False),
        (("x", 0, 2), "first", 1.0, False),
        (("x", 1, 2), "first", 1.0, False),
    ]
    assert all(each.grade is None for each in found)


def test_revisions_and_occasions() -> None:
    first = said("x", "a", 1)
    corrected = replace(first, verdict=8, revision=1)
    again = replace(first, verdict=2, occasion=2)
    assert latest([corrected, first, again]) == [corrected, again]
    assert first_occasions([again, corrected]) == [corrected]


def test_agreement_compares_in_the_items_own_order() -> None:
    """Two people who always mean the same, and never see the same sides."""
    items = [pair(f"i{n}") for n in range(12)]
    annotations = []
    for n, item in enumerate(items):
        grade = (1, 3, 6, 8)[n % 4]
        annotations += [said(item.id, "a", grade), said(item.id, "b", 9 - grade, turned=True)]
    found = agreement_report(annotations, by_id(items))
    assert (found.labels, found.annotators, found.items) == (24, 2, 12)
    assert found.side.mean == found.grade.mean == found.pairwise.mean == found.sided.mean == 1
    turned = [replace(each, order=(0, 1)) for each in annotations]
    assert agreement_report(turned, by_id(items)).side.mean < 0


def test_agreement_of_ties_grades_and_repeats() -> None:
    items = by_id([pair("x"), pair("y"), pair("z")])
    annotations = [
        *(said("x", "a", 1), said("x", "b", 2)),
        *(said("y", "a", "tie"), said("y", "b", 8)),
        *(said("z", "a", "cannot_tell"), said("z", "b", 8)),
        said("x", "b", 8, occasion=1),  # a planned repeat
        said("x", "b", 7, revision=0, occasion=2),
    ]
    found = agreement_report(annotations, items)
    assert (found.labels, found.items) == (6, 2)
    assert found.pairwise.mean == 0.5
    assert found.sided.mean == 1.0
    assert found.grade.n == 2
    nothing = agreement_report([], items)
    assert nothing.items == 0
    assert math.isnan(nothing.side.mean)


def test_pairs_of_a_ranking_are_one_item() -> None:
    items = [triple(f"i{n}") for n in range(8)]
    annotations = [
        said(item.id, name, (1, 2, 3) if n % 2 else (3, 2, 1))
        for n, item in enumerate(items)
        for name in ("a", "b")
    ]
    found = agreement_report(annotations, by_id(items))
    assert (found.items, found.side.mean, found.side.n) == (8, 1.0, 24)
    assert math.isnan(found.grade.mean)


def test_rulings_are_no_annotator() -> None:
    items = by_id([pair(f"i{n}") for n in range(30)])
    labels = [said(item, name, 2) for item in items for name in ("a", "b", "c")]
    rulings = [replace(said(item, "owner", 7), source="adjudication") for item in items]
    assert annotator_reports([*labels, *rulings], items) == annotator_reports(labels, items)


def test_a_tie_of_three_answers_has_no_grade() -> None:
    """Rankings have none, so that ties alone would be left of such items, and agree perfectly."""
    items = by_id([pair("x"), pair("y"), triple("z")])
    graded = [said("x", "a", 1), said("x", "b", 8), said("y", "a", 1), said("y", "b", 1)]
    ties = [replace(said("z", name, "tie"), order=(0, 1, 2)) for name in ("a", "b")]
    with_ties = agreement_report([*graded, *ties, said("z", "c", (1, 2, 3))], items)
    assert with_ties.grade.mean == agreement_report(graded, items).grade.mean
    assert with_ties.side.n == 5


def test_what_stands_in_an_annotators_report() -> None:
    items = [pair("g1", known=2), pair("g2", known="tie"), pair("x"), pair("y")]
    annotations = [
        said("g1", "ann", 8, turned=True, seconds=4.0),  # right, though on the right side
        said("g2", "ann", 1, seconds=0.0),
        said("x", "ann", 1, seconds=8.0),
        said("x", "ann", 6, turned=True, occasion=1, seconds=30.0),
        said("y", "ann", 3),
        said("y", "ann", 7, occasion=1),
        said("x", "bob", "both_bad"),
    ]
    ann, bob = annotator_reports(annotations, by_id(items))
    assert (ann.annotator, ann.labels, ann.median_seconds) == ("ann", 6, 8.0)
    assert (ann.gold.mean, ann.gold.n) == (0.5, 2)
    assert (ann.left.mean, ann.left.n) == (0.5, 6)
    assert (ann.self_agreement.mean, ann.self_agreement.n) == (0.5, 2)
    assert ann.flags == bob.flags == ()
    assert (bob.labels, bob.left.n, bob.gold.n, bob.reliability) == (1, 0, 0, 0.8)
    assert math.isnan(bob.median_seconds)
    with pytest.raises(KeyError, match="x"):
        annotator_reports(annotations, by_id(items[:2]))


def test_the_left_share_counts_verdicts_on_two_answers() -> None:
    """Three pairs of one ranking are no three looks at the sides."""
    items = [pair("x"), pair("y"), triple("z"), triple("w")]
    annotations = [
        said("x", "ann", 1),
        Annotation("y", "ann", (2, 1), order=(1, 0)),
        Annotation("y", "bob", (2, 1), order=(1, 0)),
        *(said("z", "ann", (1, 2, 3)), said("w", "ann", (1, 2, 3), turned=True)),
    ]
    ann, bob = annotator_reports(annotations, by_id(items))
    assert (ann.left.mean, ann.left.n) == (0.5, 2)
    assert bob.left.n == 0  # saw one order alone


def test_gold_shows_who_is_right_where_nobody_overlaps() -> None:
    items = [pair(f"g{n}", known=1 if n % 2 else 8) for n in range(12)]
    annotations = []
    for n, item in enumerate(items):
        annotations += [
            said(item.id, "good", 1 if n % 2 else 8),
            said(item.id, "fair", 1 if n % 2 or n == 2 else 8),
            said(item.id, "bad", 8 if n % 2 else 1),
        ]
    found = reliabilities(annotations, by_id(items))
    assert found["good"] > 0.9 > found["fair"] > 0.8
    assert found["bad"] < 0.3
    reports = {each.annotator: each for each in annotator_reports(annotations, by_id(items))}
    assert {flag.kind for flag in reports["bad"].flags} == {"gold", "agreement"}
    assert not reports["good"].flags


def test_who_sees_the_sides_alone_is_judged_by_the_share_of_left_ones() -> None:
    items = [pair(f"i{n}") for n in range(80)]
    annotations = [
        said(item.id, "left", 1 + n % 3, turned=n % 2 > 0) for n, item in enumerate(items[:40])
    ]
    annotations += [
        said(item.id, "even", 1 + n % 8, turned=n % 3 > 0) for n, item in enumerate(items[40:])
    ]
    even, left = annotator_reports(annotations, by_id(items))
    assert [flag.kind for flag in left.flags] == ["side"]
    assert not even.flags


@pytest.mark.parametrize("people", [(), ("ann", "bob", "cat")])
def test_a_taste_for_the_answer_that_always_stands_right_is_no_side_bias(
    people: tuple[str, ...],
) -> None:
    """A judge in one order that likes the new model more than people do, as in every comparison."""
    rng = random.Random(1)
    items = [pair(f"i{n}") for n in range(80)]
    annotations = []
    for n, item in enumerate(items):
        annotations.append(said(item.id, "judge", 7 if n % 10 else 2, source="judge"))  # type: ignore[arg-type]
        for name in people:
            grade, turned = rng.choice((1, 2, 3, 6, 7, 8)), rng.random() < 0.5
            annotations.append(said(item.id, name, grade, turned=turned, seconds=5.0))
    reports = {each.annotator: each for each in annotator_reports(annotations, by_id(items))}
    assert all(flag.kind != "side" for each in reports.values() for flag in each.flags)
    assert reports["judge"].left.n == 0
    assert all(reports[name].left.n == 80 for name in people)


def test_only_ties_tell_nothing_of_anyone() -> None:
    items = by_id([pair("x")])
    annotations = [said("x", name, verdict) for name, verdict in (("a", "tie"), ("b", "both_bad"))]
    assert reliabilities(annotations, items) == {"a": 0.8, "b": 0.8}
    assert not any(each.flags for each in annotator_reports(annotations, items))


def test_most_disputed() -> None:
    items = [pair("agreed"), pair("mild"), pair("hot"), pair("partly"), triple("ranked")]
    annotations = [
        *(said("agreed", "a", 1), said("agreed", "b", 2)),
        *(said("mild", "a", 4), said("mild", "b", 4, turned=True)),
        *(said("hot", "a", 1), said("hot", "b", 1, turned=True)),
        *(said("partly", name, grade) for name, grade in (("a", 1), ("b", 1), ("c", 8))),
        *(said("ranked", "a", (1, 2, 3)), said("ranked", "b", (1, 3, 2))),
        said("nobody knows", "a", 1),
    ]
    found = disputed(annotations, by_id(items))
    assert [each.item.id for each in found] == ["hot", "mild", "partly", "ranked"]
    assert [each.disagreement for each in found] == pytest.approx([1, 1, 2 / 3, 1 / 3])
    assert [each.verdict for each in found[2].annotations] == [1, 1, 8]
    assert [each.item.id for each in disputed(annotations, by_id(items), 1)] == ["hot"]
    assert disputed([], {}) == []


def test_cost() -> None:
    annotations = [
        said("x", "a", 1, seconds=30.0),
        # Corrected after ten seconds more: the clock went on from 30.
        replace(said("x", "a", 2, seconds=40.0), revision=1),
        said("y", "a", 2, seconds=80.0),
        said("y", "b", 2),
        replace(said("y", "a", 2, seconds=60.0), occasion=1),
    ]
    found = cost(annotations, 12, pay_per_hour=30.0)
    assert (found.labels, found.left, found.seconds_per_label) == (4, 12, 60.0)
    assert (found.minutes, found.money) == pytest.approx((3.0, 1.5))
    assert (found.minutes_left, found.money_left) == pytest.approx((12.0, 6.0))
    nothing = cost([], 5, 30.0)
    assert (nothing.minutes, nothing.money) == (0, 0)
    assert math.isnan(nothing.money_left)
    assert cost([], 0, 30.0).money_left == 0


def test_pairs_of_one_ranking_are_one_try() -> None:
    """Two poor rankings of six answers are thirty pairs, but no evidence of thirty."""
    known = (1, 2, 3, 4, 5, 6)
    items = by_id([Item(f"i{n}", PROMPT, tuple("abcdef"), known=known) for n in range(2)])
    order = tuple(range(6))
    annotations = [
        Annotation(item, name, (6, 5, 4, 3, 1, 2) if name == "a" else known, order=order)
        for item in items
        for name in "abcdefgh"
    ]
    report = annotator_reports(annotations, items)[0]
    assert report.gold.n == 30
    assert report.gold.mean < 0.5
    assert "gold" not in {flag.kind for flag in report.flags}
    many = {f"i{n}": replace(items["i0"], id=f"i{n}") for n in range(10)}
    annotations = [replace(annotations[k], item=item) for item in many for k in range(8)]
    (flag,) = [
        flag for flag in annotator_reports(annotations, many)[0].flags if flag.kind == "gold"
    ]
    assert flag.sentence.startswith("answers 0 of 10 gold items right")


def test_the_worlds_spammers_and_lover_are_flagged() -> None:
    """One crowd of the embedded world: benchmarks/annotators.py measures how often this holds."""
    world, rng = World(0), random.Random(5)
    judge = lru_cache(maxsize=None)(world.gold)
    people = draw_people(3)
    lover = next(person for person in people if not person.spammer)
    people = [replace(each, left_bias=6.0) if each is lover else each for each in people]
    crowd = [SimulatedAnnotator(person, judge, 3) for person in people]
    items, annotations = {}, []
    prompts = [each for each in world.split("train") if each.family != "harmful"]
    for n in range(320):
        prompt = rng.choice(prompts)
        kinds = rng.choices(("good", "wrong", "rambling", "rude"), k=2)
        answers = tuple(world.answer(prompt, kind, rng) for kind in kinds)
        items[f"i{n}"] = Item(f"i{n}", prompt, answers)
        for someone in rng.sample(crowd, 3):
            order = rng.choice(((0, 1), (1, 0)))
            annotations.append(someone.annotate_item(items[f"i{n}"], order))
    reports = {each.annotator: each for each in annotator_reports(annotations, items)}
    flagged = {name for name, each in reports.items() if each.flags}
    spammers = {person.name for person in people if person.spammer}
    assert flagged == spammers | {lover.name}
    assert all(reports[name].reliability < 0.7 for name in spammers)
    assert min(reports[name].reliability for name in set(reports) - flagged) > 0.75
