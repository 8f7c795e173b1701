"""How annotators vote, person by person: for the longer answer, the left one, who admits not to
know; with the reward model or against it. And the groups that they fall into.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pvariance

import numpy as np
from scipy.stats import chi2_contingency

from heed.feedback.preferences import Preference
from heed.stats.intervals import Estimate, difference_interval, mean_interval, proportion_interval
from heed.stats.phrases import hedges, refuses
from heed.types import Item

REWARD = "reward"
"""Votes as the reward model orders the two answers."""
FEWEST = 20
"""Votes of a kind from which on a person is compared with others."""
Feature = Callable[[str], float]
FEATURES: Mapping[str, Feature] = {
    "longer": lambda text: float(len(text.split())),
    "declining": lambda text: float(hedges(text) or refuses(text)),
}
"""What may be preferred in an answer, by the habit of preferring more of it."""
Scores = Mapping[str, Sequence[float]]
"""Item -> a reward model's scores of its answers."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's choice between two answers: of each habit 1 where it is followed, 0 where not;
    habits that the two answers do not try are left out.
    """

    annotator: str
    prompt: str
    family: str
    habits: Mapping[str, float]


def votes(
    preferences: Sequence[Preference], items: Mapping[str, Item], scores: Scores
) -> list[Vote]:
    """The preferences that have a side, ties and "both bad" being none."""
    found = []
    for each in preferences:
        item = items[each.item]
        if each.lean:
            chosen = each.lean > 0
            more = dict(_more(item.answers[each.first], item.answers[each.second]))
            more["left"] = each.first_left
            if each.item in scores:
                first, second = (scores[each.item][at] for at in (each.first, each.second))
                more |= {REWARD: first > second} if first != second else {}
            found.append(
                Vote(
                    each.annotator,
                    item.prompt.id,
                    item.prompt.family,
                    {name: float(chosen == first) for name, first in more.items()},
                )
            )
    return found


def _more(first: str, second: str) -> Iterator[tuple[str, bool]]:
    """Of each feature in which two answers differ, whether the first has more of it."""
    for name, feature in FEATURES.items():
        a, b = feature(first), feature(second)
        if a != b:
            yield name, a > b


@dataclass(frozen=True, slots=True)
class Habit:
    """How often each person follows a habit, and whether they differ in it at all.

    `chance` is the p-value of chi-squared on people by followed or not: how often people who are
    all alike would seem to differ so much.
    """

    people: Mapping[str, Estimate]
    chance: float


def habit_of(votes: Sequence[Vote], name: str, fewest: int = FEWEST) -> Habit | None:
    """A habit of everyone with enough votes; None of fewer than two people, or where all votes
    go one way.
    """
    rows: dict[str, list[Vote]] = {}
    for vote in votes:
        if name in vote.habits:
            rows.setdefault(vote.annotator, []).append(vote)
    people = {
        who: proportion_interval([v.habits[name] for v in own], [v.prompt for v in own])
        for who, own in rows.items()
        if len(own) >= fewest
    }
    counts = np.array([[e.n * e.mean, e.n * (1 - e.mean)] for e in people.values()])
    if len(people) < 2 or not counts.sum(axis=0).all():
        return None
    return Habit(dict(sorted(people.items())), float(chi2_contingency(counts).pvalue))


Groups = Mapping[str, Collection[str]]
"""People by the name of their group."""


def halves(votes: Sequence[Vote]) -> tuple[list[Vote], list[Vote]]:
    """The votes on one half of the prompts, to find groups by, and those on the other, to measure
    them by. All votes on a prompt stay together: what is odd about a prompt is odd for everyone,
    and would show again where the groups are measured.
    """
    prompts = sorted({vote.prompt for vote in votes}, key=_shuffled)
    first = set(prompts[::2])
    return [v for v in votes if v.prompt in first], [v for v in votes if v.prompt not in first]


def _shuffled(prompt: str) -> str:
    """An order of prompts that has to do with nothing, and is always the same."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def found_groups(votes: Sequence[Vote], name: str) -> Groups:
    """Two groups of people: the two of a habit within which people are most alike (the least sum
    of squares: 2-means on a line).

    What the groups do must be read from other votes (`halves`): those that people were sorted by
    show a difference even if there is none. Empty where fewer than four people have enough votes.
    """
    known: dict[str, list[float]] = {}
    for vote in votes:
        if name in vote.habits:
            known.setdefault(vote.annotator, []).append(vote.habits[name])
    shares = {who: fmean(own) for who, own in known.items() if len(own) >= FEWEST / 2}
    if len(shares) < 4:
        return {}
    ordered = sorted(shares, key=lambda who: (shares[who], who))
    cut = min(
        range(1, len(ordered)),
        key=lambda at: sum(
            _spread([shares[w] for w in side]) for side in (ordered[:at], ordered[at:])
        ),
    )
    return {"more": ordered[cut:], "less": ordered[:cut]}


def _spread(values: Sequence[float]) -> float:
    return pvariance(values) * len(values)


FEW = 5
"""People from which on a group says something of people beyond it: an interval."""


def in_groups(votes: Sequence[Vote], groups: Groups, name: str) -> dict[str, Estimate]:
    """How often each group follows a habit; people are what was drawn, so clusters are people."""
    table = {}
    for group, people in groups.items():
        own = [vote for vote in votes if vote.annotator in people and name in vote.habits]
        found = mean_interval([v.habits[name] for v in own], [v.annotator for v in own])
        table[group] = _of_people(found, people)
    return table


def _of_people(found: Estimate, *groups: Collection[str]) -> Estimate:
    """Without an interval where a group has fewer than `FEW` people."""
    if min(map(len, groups)) >= FEW:
        return found
    return Estimate(found.mean, math.nan, math.nan, found.n)


MOST = 5
"""Groups whose differences are looked at, the largest; ten pairs."""


def group_pairs(groups: Groups) -> list[tuple[str, str]]:
    """Every two of the `MOST` largest groups, in the groups' own order."""
    largest = sorted(groups, key=lambda name: -len(groups[name]))[:MOST]
    return list(combinations([name for name in groups if name in largest], 2))


def shared_level(pairs: int, level: float = 0.95) -> float:
    """The level of each of so many intervals at which all of them hold together (Bonferroni)."""
    return 1 - (1 - level) / max(pairs, 1)


def apart(
    votes: Sequence[Vote],
    first: Collection[str],
    second: Collection[str],
    name: str,
    level: float = 0.95,
) -> Estimate:
    """How much more often the first group of people follows a habit than the second (Welch's
    interval over people).
    """
    sides = []
    for people in (first, second):
        own = [vote for vote in votes if vote.annotator in people and name in vote.habits]
        sides.append(([v.habits[name] for v in own], [v.annotator for v in own]))
    (a, who_a), (b, who_b) = sides
    if not a or not b:
        return Estimate(math.nan, math.nan, math.nan, 0)
    return _of_people(difference_interval(a, b, who_a, who_b, level), first, second)


def apart_by_family(
    votes: Sequence[Vote],
    first: Collection[str],
    second: Collection[str],
    name: str,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """The same on each family of prompts."""
    families: dict[str, list[Vote]] = {}
    for vote in votes:
        families.setdefault(vote.family, []).append(vote)
    return {family: apart(own, first, second, name, level) for family, own in families.items()}
