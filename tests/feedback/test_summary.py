"""Counts of labels, and machines beside people, on hand-made cases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from heed.feedback.summary import beside_people, fleiss, summarise
from heed.types import Annotation, Item, Prompt, Verdict

ITEMS = {
    f"i{n}": Item(f"i{n}", Prompt.of(f"p{n % 3}"), ("short", "much longer"), known=1 if n else None)
    for n in range(4)
}


def said(item: int, name: str, verdict: Verdict, source: str = "people") -> Annotation:
    return Annotation(f"i{item}", name, verdict, seconds=4.0 + item, source=source)


LABELS = [
    said(0, "ada", 1), said(0, "bob", 8), said(1, "ada", "tie"), said(1, "bob", 2),
    said(2, "ada", (2, 1)), said(2, "judge", 7, "judge"), said(1, "judge", 1, "judge"),
    replace(said(0, "bob", 1), revision=1, order=(1, 0), rewrite="x"),
    replace(said(0, "ada", 2), occasion=1),
]  # fmt: skip


def test_counts() -> None:
    found = summarise(LABELS, ITEMS)
    assert (found.items, found.gold, found.prompts, found.labelled) == (4, 3, 3, 3)
    assert (found.labels, found.revisions, found.repeats, found.rewrites) == (8, 1, 1, 1)
    assert found.verdicts == {"1": 3, "2": 2, "7": 1, "ranking": 1, "tie": 1}
    assert list(found.verdicts) == ["1", "2", "7", "ranking", "tie"]
    assert found.sources == {"judge": (1, 2), "people": (2, 6)}
    # Left: ada 1, bob's second thought (shown the other way round), bob 2, judge 1, ada's repeat.
    assert found.left.mean == pytest.approx(5 / 7)
    # Longer: bob's second thought, ada's ranking, the judge's 7.
    assert found.longer.mean == pytest.approx(3 / 7)
    assert found.median_seconds == 5


def test_the_pairs_of_a_ranking_say_nothing_of_the_left() -> None:
    three = Item("three", Prompt.of("p"), ("a", "b", "c"))
    ranked = Annotation("three", "ada", (1, 2, 3), order=(0, 1, 2))
    found = summarise([said(0, "ada", 8), ranked], ITEMS | {"three": three})
    assert (found.left.mean, found.left.n) == (0.0, 1)


def test_nothing_said_is_nothing_counted() -> None:
    found = summarise([], ITEMS)
    assert (found.labels, found.verdicts, found.sources) == (0, {}, {})
    assert math.isnan(found.left.mean)
    assert math.isnan(found.median_seconds)
    assert fleiss([said(0, "ada", 1)]).n == 0


def test_machines_stand_beside_people() -> None:
    (judge,) = beside_people(LABELS)
    assert (judge.source, judge.annotator) == ("judge", "judge")
    # Item 1: the judge says first, ada tie, bob first; item 2: second, and ada second.
    assert judge.with_people.mean == pytest.approx(2 / 3)
    assert judge.among_people.mean == 0
    assert -1 <= judge.kappa.mean <= 1
    assert beside_people([said(0, "ada", 1), said(1, "judge", 1, "judge")]) == []


def test_rulings_are_no_machine() -> None:
    assert beside_people([said(0, "ada", 1), said(0, "rita", 1, "adjudication")]) == []


def test_fleiss_takes_the_commonest_number_of_labels() -> None:
    votes = [said(n, name, 1 if n < 2 else 8) for n in range(4) for name in ("ada", "bob")]
    votes.append(said(3, "cy", 1))
    figure = fleiss(votes)
    assert (figure.mean, figure.n) == (1.0, 3)
