"""How annotators vote, person by person: for the longer answer, the left one, who admits not to
know; with the reward model or against it. And the groups that they fall into.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


def habit_of(votes: Sequence[Vote], name: str) -> Habit | None:
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
        if len(own) >= FEWEST
    }
    counts = np.array([[e.n * e.mean, e.n * (1 - e.mean)] for e in people.values()])
    if len(people) < 2 or not counts.sum(axis=0).all():
        return None
    return Habit(dict(sorted(people.items())), float(chi2_contingency(counts).pvalue))


Groups = Mapping[str, Collection[str]]
"""People by the name of their group."""


def found_groups(votes: Sequence[Vote], name: str) -> Groups:
    """Two groups of people by every other of their votes: the two of a habit within which people
    are most alike (the least sum of squares: 2-means on a line).

    What the groups do must be read from the votes in between (`others`): those that people were
    sorted by would show a difference even if there were none. Empty where fewer than four people
    have enough votes.
    """
    known: dict[str, list[float]] = {}
    for vote in every_other(votes):
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


def every_other(votes: Sequence[Vote], start: int = 0) -> list[Vote]:
    """Every other vote of each person, from their first (0) or their second (1)."""
    seen: dict[str, int] = {}
    kept = []
    for vote in votes:
        place = seen[vote.annotator] = seen.get(vote.annotator, -1) + 1
        if place % 2 == start:
            kept.append(vote)
    return kept


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


def apart(votes: Sequence[Vote], groups: Groups, name: str) -> Estimate:
    """How much more often the first of two groups follows a habit than the second (Welch's
    interval over people).
    """
    sides = []
    for people in list(groups.values())[:2]:
        own = [vote for vote in votes if vote.annotator in people and name in vote.habits]
        sides.append(([v.habits[name] for v in own], [v.annotator for v in own]))
    (a, who_a), (b, who_b) = sides
    if not a or not b:
        return Estimate(math.nan, math.nan, math.nan, 0)
    return _of_people(difference_interval(a, b, who_a, who_b), *list(groups.values())[:2])


def apart_by_family(votes: Sequence[Vote], groups: Groups, name: str) -> dict[str, Estimate]:
    """The same on each family of prompts."""
    families = dict.fromkeys(vote.family for vote in votes)
    return {
        family: apart([vote for vote in votes if vote.family == family], groups, name)
        for family in families
    }
