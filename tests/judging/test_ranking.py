"""Round robins and Copeland's score."""

from __future__ import annotations

from itertools import permutations

import pytest

from heed.judging.ranking import copeland, round_robin
from heed.types import Item, Prompt, check_verdict


def test_pairs_of_an_item() -> None:
    item = Item("i", Prompt.of("q"), ("a", "b", "c"), ("m", "n", "o"))
    assert [(each.id, each.left, each.right, each.right_model) for each in round_robin(item)] == [
        ("i/0-1", "a", "b", "n"), ("i/0-2", "a", "c", "o"), ("i/1-2", "b", "c", "o"),
    ]  # fmt: skip
    (only,) = round_robin(Item("i", Prompt.of("q"), ("a", "b")))
    assert (only.id, only.left_model) == ("i", "")


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_consistent_order_is_found(order: tuple[int, ...]) -> None:
    verdicts = [2 if order[i] < order[j] else 7 for i in range(4) for j in range(i + 1, 4)]
    assert copeland(4, verdicts) == tuple(place + 1 for place in order)


@pytest.mark.parametrize(
    ("verdicts", "ranks"),
    [
        ([2, 7, 2], (1, 1, 1)),  # a circle: 0 > 1, 2 > 0, 1 > 2
        (["tie", "tie", "tie"], (1, 1, 1)),
        ([2, "tie", "tie"], (1, 3, 2)),
        ([2, 2, "cannot_tell"], (1, 2, 2)),
        (["both_bad", "both_bad", 3], (2, 1, 3)),
        (["both_bad"] * 3, "both_bad"),
        (["cannot_tell"] * 3, "cannot_tell"),
    ],
)
def test_ties_circles_and_pairs_without_a_side(verdicts: list, ranks: object) -> None:
    got = copeland(3, verdicts)
    check_verdict(got, 3)
    assert got == ranks
