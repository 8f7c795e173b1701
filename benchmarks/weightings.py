"""Crowds of the embedded world with spammers, and ways to make comparisons of what they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from scipy.special import expit

from benchmarks.annotators import STATED_BIAS, gold, with_spammers
from heed.data.comparisons import comparisons
from heed.feedback import votes
from heed.feedback.crowd import decided, fit_reliability
from heed.feedback.quality import annotator_reports, reliabilities
from heed.feedback.weights import reliability_weights
from heed.types import Annotation, Comparison, Item
from heed.world.annotators import Person, SimulatedAnnotator, draw_people

PER_ITEM = 3
PLAIN = "unweighted"


# Who labels


def _with_lover(seed: int, spammers: int) -> list[Person]:
    *people, last = with_spammers(seed, spammers)
    return [*people, replace(last, left_bias=STATED_BIAS)]


CROWDS: Mapping[str, Callable[[int], list[Person]]] = {
    "world, 2 of 16": draw_people,
    "2 of 15, lover": partial(_with_lover, spammers=2),
    "4 of 15, lover": partial(_with_lover, spammers=4),
    "6 of 15, lover": partial(_with_lover, spammers=6),
}


@dataclass(frozen=True)
class Study:
    """All that a crowd said of the items, and the names of its attentive people."""

    items: dict[str, Item]
    annotations: list[Annotation]
    attentive: frozenset[str]


def attends(person: Person) -> bool:
    """Whether a person reads before answering, and has no more than the usual lean to a side."""
    reads = not person.always_left and person.reliability > 0.5
    return reads and person.left_bias < STATED_BIAS


def crowd_of(name: str, seed: int) -> list[SimulatedAnnotator]:
    people = CROWDS[name](seed)
    return [
        SimulatedAnnotator(person, lambda prompt, text: gold(prompt.id, text), seed)
        for person in people
    ]


def ask(crowd: Sequence[SimulatedAnnotator], items: Sequence[Item], seed: int) -> list[Annotation]:
    """Every item to `PER_ITEM` people drawn at random, each with sides of their own."""
    draw = random.Random(f"{seed}/ask")
    return [
        person.annotate_item(item, draw.choice(((0, 1), (1, 0))))
        for item in items
        for person in draw.sample(crowd, PER_ITEM)
    ]


# Ways to make comparisons of what they said


def unweighted(study: Study) -> list[Comparison]:
    return comparisons(study.annotations, study.items)


def of_the_attentive(study: Study) -> list[Comparison]:
    """Unweighted, of the attentive alone: what knowing the crowd would give."""
    weights = {each.annotator: float(each.annotator in study.attentive)
               for each in study.annotations}  # fmt: skip
    return comparisons(study.annotations, study.items, weights=weights)


def by_reliability(study: Study) -> list[Comparison]:
    weights = reliability_weights(study.annotations, study.items)
    return comparisons(study.annotations, study.items, weights=weights)


def by_advantage(study: Study) -> list[Comparison]:
    """Weights 2p - 1: how much oftener right than wrong."""
    found = reliabilities(study.annotations, study.items)
    weights = {name: max(0.0, 2 * p - 1) for name, p in found.items()}
    return comparisons(study.annotations, study.items, weights=weights)


def without_flagged(study: Study) -> list[Comparison]:
    """Unweighted, of those alone who have no flag."""
    reports = annotator_reports(study.annotations, study.items)
    weights = {each.annotator: float(not each.flags) for each in reports}
    return comparisons(study.annotations, study.items, weights=weights)


def by_majority(study: Study) -> list[Comparison]:
    return votes.majority(study.annotations, study.items)[0]


def by_weighted_vote(study: Study) -> list[Comparison]:
    weights = reliability_weights(study.annotations, study.items)
    return votes.majority(study.annotations, study.items, weights=weights)[0]


def by_posterior(study: Study) -> list[Comparison]:
    """Two opposite comparisons of weights p and 1 - p under the one-coin model.

    p says how sure the vote is, so there are no margins.
    """
    model = fit_reliability(decided(study.annotations), {})
    made = []
    for unit, p in zip(model.items, expit(model.log_odds), strict=True):
        name, first, second = cast("tuple[str, int, int]", unit)
        item = study.items[name]
        one, other = item.answers[first], item.answers[second]
        made.append(Comparison(item.prompt, one, other, weight=float(p)))
        made.append(Comparison(item.prompt, other, one, weight=float(1 - p)))
    return made


WAYS: Mapping[str, Callable[[Study], list[Comparison]]] = {
    PLAIN: unweighted,
    "log-odds": by_reliability,
    "2p - 1": by_advantage,
    "no flagged": without_flagged,
    "majority": by_majority,
    "weighted vote": by_weighted_vote,
    "posterior": by_posterior,
    "attentive alone": of_the_attentive,
}
