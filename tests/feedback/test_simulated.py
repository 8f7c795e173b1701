"""The simulated crowd as a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from heed.feedback.simulated import SimulatedSource
from heed.types import Annotation, Item
from heed.world.world import World

WORLD = World(0)
CROWD = WORLD.annotators()


def items(answers: int = 2) -> list[Item]:
    prompts = WORLD.split("train")[:60]
    texts = tuple(f"answer {n} ." for n in range(answers))
    return [Item(f"i{at}", prompt, texts) for at, prompt in enumerate(prompts)]


def ask(per_item: int, seed: int = 0, answers: int = 2) -> Sequence[Annotation]:
    heard: list[int] = []
    said = SimulatedSource(CROWD, per_item=per_item, seed=seed).ask(items(answers), heard.append)
    assert heard == list(range(1, 61))
    return said


def test_every_item_is_shown_to_so_many_different_people() -> None:
    said = ask(3)
    people = {
        item.id: [each.annotator for each in said if each.item == item.id] for item in items()
    }
    assert all(len(names) == len(set(names)) == 3 for names in people.values())
    assert len({name for names in people.values() for name in names}) == len(CROWD)


def test_sides_are_drawn_anew_for_all_but_the_first() -> None:
    said = ask(3)
    assert {each.order for each in said[::3]} == {(0, 1)}
    others = Counter(each.order for each in said if each not in said[::3])
    assert min(others.values()) > 40
    ranked = ask(3, answers=3)
    assert len({each.order for each in ranked}) == 6


def test_the_same_seed_asks_the_same() -> None:
    assert ask(2) == ask(2) != ask(2, seed=1)


def test_one_annotator_an_item_sees_it_as_it_stands() -> None:
    assert {each.order for each in ask(1)} == {(0, 1)}
