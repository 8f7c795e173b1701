"""Which labels train, by hand."""

from __future__ import annotations

from heed.data.labels import labels_to_learn_from, training_votes
from heed.types import Annotation, Item, Prompt

ITEMS = {
    "plain": Item("plain", Prompt.of("p"), ("a", "b")),
    "ruled": Item("ruled", Prompt.of("r"), ("a", "b")),
    "held": Item("held", Prompt.of("h", split="heldout"), ("a", "b")),
    "gold": Item("gold", Prompt.of("g"), ("4", "5"), known=1),
}
FIRST = Annotation("plain", "ada", 8)
CORRECTED = Annotation("plain", "ada", 1, revision=1)
REPEAT = Annotation("plain", "ada", 7, occasion=1)
LATE = Annotation("plain", "bob", 2, occasion=2)
VOTE = Annotation("ruled", "ada", 1)
RULING = Annotation("ruled", "cy (adjudication)", "both_bad", source="adjudication")
HELD = Annotation("held", "ada", 3)
GOLD = Annotation("gold", "ada", 3)
SAID = [FIRST, CORRECTED, REPEAT, LATE, VOTE, RULING, HELD, GOLD]


def test_votes_are_first_labels_of_training_items_or_rulings() -> None:
    votes = training_votes(SAID, ITEMS)
    assert votes.labels == [CORRECTED, LATE, RULING]
    assert votes.left_out == {
        "labels of gold items": 1,
        "labels on held-out prompts": 1,
        "planned repeats": 1,
        "labels that an adjudication replaces": 1,
    }


def test_either_side_of_the_split_or_both() -> None:
    held = training_votes(SAID, ITEMS, split="heldout")
    assert held.labels == [HELD]
    assert held.left_out == {"labels of gold items": 1, "labels on training prompts": 5}
    assert training_votes(SAID, ITEMS, split="all").labels == [CORRECTED, LATE, RULING, HELD]


def test_repeats_and_disputed_labels_may_hold_rewrites() -> None:
    seen = labels_to_learn_from(SAID, ITEMS)
    assert seen.labels == [CORRECTED, REPEAT, LATE, VOTE, RULING]
    assert sum(seen.left_out.values()) == 2


def test_nothing_left_out_is_not_counted() -> None:
    assert training_votes([CORRECTED], ITEMS).left_out == {}
