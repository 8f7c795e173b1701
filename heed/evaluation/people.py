"""Whom a policy pleases: how often each simulated person would prefer it to another.

A simulated person's choice has a known probability, so nobody is asked: the win rate is exact for
the answers at hand, and only prompts and answers are drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from heed.stats.intervals import Estimate, mean_interval
from heed.types import Completion, Pair
from heed.world.annotators import Person, SimulatedAnnotator, preference

PAIRS = 4
"""Answers of each policy to a prompt that are compared, one with one."""
TRAITS = ("length_bias", "courtesy_bias", "left_bias")
"""The habits of the world's people by which they are grouped."""
Wins = Mapping[str, Sequence[float]]
"""Person -> the chance that they prefer the policy's answer, a value a pair of answers."""


def pairs_of(policy: Sequence[Completion], other: Sequence[Completion]) -> list[Pair]:
    """The first answers of two policies to each prompt, one with one."""
    theirs: dict[str, list[str]] = {}
    for item in other:
        theirs.setdefault(item.prompt.id, []).append(item.text)
    seen: dict[str, int] = {}
    pairs = []
    for item in policy:
        place = seen[item.prompt.id] = seen.get(item.prompt.id, -1) + 1
        if place < min(PAIRS, len(theirs.get(item.prompt.id, ()))):
            pairs.append(Pair("", item.prompt, item.text, theirs[item.prompt.id][place]))
    return pairs


def wins(people: Sequence[SimulatedAnnotator], pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """Each person's chance to prefer the left answer of each pair, sides being random."""
    return {each.name: [preference([each], pair) for pair in pairs] for each in people}


def rate(wins: Wins, who: Collection[str], pairs: Sequence[Pair]) -> Estimate:
    """The win rate among some of the people, every one counting the same; nan among nobody."""
    return mean_interval(*_mean(wins, who, pairs))


def rates_apart(
    wins: Wins,
    first: Collection[str],
    second: Collection[str],
    pairs: Sequence[Pair],
    level: float = 0.95,
) -> Estimate:
    """How much higher it is in the first group than in the second, on the same pairs."""
    (ours, prompts), (theirs, other) = _mean(wins, first, pairs), _mean(wins, second, pairs)
    if prompts != other:
        return mean_interval([])
    return mean_interval(ours - theirs, prompts, level)


def rates_apart_by_family(
    wins: Wins,
    first: Collection[str],
    second: Collection[str],
    pairs: Sequence[Pair],
    level: float = 0.95,
) -> dict[str, Estimate]:
    """The same on each family of prompts."""
    table = {}
    for family in dict.fromkeys(pair.prompt.family for pair in pairs):
        at = [index for index, pair in enumerate(pairs) if pair.prompt.family == family]
        some = {who: [values[index] for index in at] for who, values in wins.items()}
        own = [pairs[index] for index in at]
        table[family] = rates_apart(some, first, second, own, level)
    return table


def by_trait(people: Sequence[Person], trait: str) -> dict[str, list[str]]:
    """The people who have more of a trait than half of them, and the others; spammers are none of
    them. Empty where nobody has more.
    """
    amounts = {each.name: getattr(each, trait) for each in people if not each.spammer}
    middle = float(np.median(list(amounts.values()))) if amounts else 0.0
    more = [name for name, amount in amounts.items() if amount > middle]
    return {"more": more, "less": [name for name in amounts if name not in more]} if more else {}


def _mean(
    wins: Wins, who: Collection[str], pairs: Sequence[Pair]
) -> tuple[NDArray[np.float64], list[str]]:
    """The people's mean on every pair, and the pair's prompt; nothing of nobody."""
    if not who:
        return np.zeros(0), []
    mean: NDArray[np.float64] = np.mean([wins[name] for name in who], axis=0)
    return mean, [pair.prompt.id for pair in pairs]
