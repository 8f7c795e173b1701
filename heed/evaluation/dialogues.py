"""Questions of two turns about the embedded world, for runs that bring none of their own.

Each turn is a held-out or a training prompt of the world, so that its words are the world's. The
second goes on from the first: another fact of the same country, a sum with the first one's result,
another question of the same family.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from heed.data.mt_bench import Dialogue
from heed.types import Prompt
from heed.world.arithmetic import Calculation
from heed.world.facts import Fact
from heed.world.world import World

MOST = 12
"""Questions a family at most."""
Pairs = Iterator[tuple[Prompt, Prompt]]


def world_dialogues(world: World, seed: int) -> list[Dialogue]:
    """At most `MOST` questions of two turns a family; each begins with a held-out prompt."""
    found = []
    for family in world.families:
        rng = random.Random(f"{seed}/dialogues/{family}")
        prompts = [prompt for prompt in world.prompts if prompt.family == family]
        rng.shuffle(prompts)
        first = [prompt for prompt in prompts if prompt.split == "heldout"]
        follow = FOLLOW.get(family, _another)
        for a, b in list(follow(world, first, prompts))[:MOST]:
            references = tuple(_reference(world, prompt) for prompt in (a, b))
            found.append(Dialogue(f"{a.id}+{b.id}", family, (a.text, b.text), references))
    return found


def _another(_: World, first: Sequence[Prompt], __: Sequence[Prompt]) -> Pairs:
    """Two held-out prompts of the family, none twice."""
    yield from zip(first[::2], first[1::2], strict=False)


def _same_country(world: World, first: Sequence[Prompt], prompts: Sequence[Prompt]) -> Pairs:
    """A fact, then another fact of the same country; no country twice."""
    countries: set[str] = set()
    for prompt in first:
        one = world.task(prompt.id)
        assert isinstance(one, Fact)
        for other in prompts:
            two = world.task(other.id)
            if (
                isinstance(two, Fact)
                and two.country == one.country
                and two.relation != one.relation
                and one.country not in countries
            ):
                countries.add(one.country)
                yield prompt, other


def _goes_on(world: World, first: Sequence[Prompt], prompts: Sequence[Prompt]) -> Pairs:
    """A calculation, then one that begins with its result; none twice."""
    used: set[Calculation] = set()
    for prompt in first:
        one = world.task(prompt.id)
        assert isinstance(one, Calculation)
        for other in prompts:
            two = world.task(other.id)
            if (
                isinstance(two, Calculation)
                and two.a == one.answer
                and two != one
                and not {one, two} & used
            ):
                used |= {one, two}
                yield prompt, other


FOLLOW: Mapping[str, Callable[[World, Sequence[Prompt], Sequence[Prompt]], Pairs]] = {
    "facts": _same_country,
    "arithmetic": _goes_on,
}
"""How the second turn of a family goes on, where it is not just another question."""


def _reference(world: World, prompt: Prompt) -> str:
    """The right answer, where there is one that the world has told; else nothing."""
    task = world.task(prompt.id)
    if isinstance(task, Calculation) or (isinstance(task, Fact) and task.seen == "often"):
        return str(task.answer)
    return ""
