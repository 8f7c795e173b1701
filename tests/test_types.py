"""Records that check themselves, and what a verdict says of the answers."""

from __future__ import annotations

from itertools import permutations

import pytest

from heed.types import GRADES, Annotation, Item, Pair, Prompt, Ranking, Verdict

PROMPT = Prompt.of("what now?")


@pytest.mark.parametrize(
    ("verdict", "order", "ranks"),
    [
        (1, (0, 1), (1, 2)),
        (4, (1, 0), (2, 1)),
        (5, (0, 1), (2, 1)),
        (8, (1, 0), (1, 2)),
        ("tie", (1, 0), (1, 1)),
        ("tie", (2, 0, 1), (1, 1, 1)),
        ("both_bad", (0, 1), None),
        ("cannot_tell", (0, 1), None),
        ((1, 2, 3), (2, 0, 1), (2, 3, 1)),
        ((2, 1, 1), (1, 2, 0), (1, 2, 1)),
    ],
)
def test_ranks_are_of_the_items_own_order(
    verdict: Verdict, order: tuple[int, ...], ranks: Ranking | None
) -> None:
    assert Annotation("i", "Ada", verdict, order=order).ranks == ranks


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_same_opinion_has_the_same_ranks_in_every_order(order: tuple[int, ...]) -> None:
    opinion = (2, 3, 1)
    said = Annotation("i", "Ada", tuple(opinion[place] for place in order), order=order)
    assert said.ranks == opinion


@pytest.mark.parametrize("grade", GRADES)
def test_only_grades_have_a_side(grade: int) -> None:
    assert Annotation("i", "Ada", grade).prefers_left is (grade <= 4)
    assert Annotation("i", "Ada", "tie").prefers_left is None


@pytest.mark.parametrize(
    ("verdict", "order", "match"),
    [
        (0, (0, 1), r"1\.\.8"),
        (9, (0, 1), r"1\.\.8"),
        (3, (0, 1, 2), "give a ranking"),
        ((1, 2), (0, 1, 2), "2 ranks"),
        ((1, 4, 2), (0, 1, 2), "from 1 to 3"),
        ((2, 2, 3), (0, 1, 2), "best rank is 1"),
        ((1.0, 2), (0, 1), "from 1 to 2"),
        ("better", (0, 1), "not 'better'"),
        (True, (0, 1), r"1\.\.8"),
        ([1, 2], (0, 1), r"1\.\.8"),
        (2.0, (0, 1), r"1\.\.8"),
        (3, (0, 0), "no order"),
        (3, (1, 2), "no order"),
        (3, (0,), "no order"),
    ],
)
def test_an_annotation_that_cannot_be_is_refused(
    verdict: Verdict, order: tuple[int, ...], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        Annotation("i", "Ada", verdict, order=order)


def test_an_item_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        Item("i", PROMPT, ("alone",))
    with pytest.raises(ValueError, match="1 models"):
        Item("i", PROMPT, ("a", "b"), ("m",))
    with pytest.raises(ValueError, match="give a ranking"):
        Item("i", PROMPT, ("a", "b", "c"), known=1)


def test_an_item_is_shown_in_an_order() -> None:
    item = Item("i", PROMPT, ("a", "b"), ("m", "n"))
    assert item.pair() == Pair("i", PROMPT, "a", "b", "m", "n")
    assert item.pair((1, 0)) == Pair("i", PROMPT, "b", "a", "n", "m")
