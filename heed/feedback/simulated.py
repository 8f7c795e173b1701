"""The embedded world's simulated people as a source of annotations."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from heed.types import Annotation, Item
from heed.world.annotators import SimulatedAnnotator


class SimulatedSource:
    """A crowd of which each item is shown to `per_item` people, drawn at random.

    The first sees the item's own order, which is random already; every other one sees an order
    drawn anew, so that two who love the left side do not seem to agree.
    """

    name = "simulated"

    def __init__(self, crowd: Sequence[SimulatedAnnotator], *, per_item: int, seed: int) -> None:
        self.crowd = crowd
        self.per_item = per_item
        self.draw = random.Random(seed)

    def ask(self, items: Sequence[Item], progress: Callable[[int], None]) -> list[Annotation]:
        said = []
        for done, item in enumerate(items, start=1):
            people = self.draw.sample(self.crowd, self.per_item)
            own = tuple(range(len(item.answers)))
            orders = [own, *(self._drawn(own) for _ in people[1:])]
            said += [
                person.annotate_item(item, order)
                for person, order in zip(people, orders, strict=True)
            ]
            progress(done)
        return said

    def _drawn(self, own: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.draw.sample(own, len(own)))

    def account(self) -> dict[str, object]:
        return {}
