"""How good the labels are and what they cost, as a project's owner sees it.

People see an item's answers in an order of their own; everything here is compared in the item's
order. Rankings of K answers are taken as preferences between each two of them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from heed.data.labels import first_occasions, latest, without_adjudications
from heed.feedback.crowd import (
    DECIDED,
    PRIOR_MEAN,
    by_name,
    crowd_flags,
    decided,
    fit_reliability,
    gold_hits,
    known_answers,
    left_choices,
    of_two,
    repeats_alike,
    saw_both_orders,
)
from heed.feedback.preferences import Preference, Said, preferences
from heed.stats.agreement import krippendorff_alpha, pairwise_agreement, tabulate
from heed.stats.crowd import Flag, by_annotator
from heed.stats.intervals import Estimate, proportion_interval
from heed.types import Annotation, Item

SAID: tuple[Said, ...] = get_args(Said)


@dataclass(frozen=True, slots=True)
class AnnotatorReport:
    """One annotator's figures; an estimate of n = 0 has a mean of nan: nothing to tell from.

    labels: latest revisions, planned repeats included. median_seconds: nan without any times.
    gold: share of gold items answered right. left: share of the left one among verdicts on
    two answers that prefer one as shown (the pairs of a longer ranking are no independent
    evidence), n = 0 where all items came in the same order. self_agreement: share of
    planned repeats answered alike. reliability: estimated probability that a preference of theirs
    is the right one.
    """

    annotator: str
    source: str
    labels: int
    median_seconds: float
    gold: Estimate
    left: Estimate
    self_agreement: Estimate
    reliability: float
    flags: tuple[Flag, ...]


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """How far people agree with each other, with 95% bootstrap intervals over items.

    items: those that two or more annotators labelled, which the figures rest on.
    side: Krippendorff's alpha (nominal) of which answer is better, ties and "both bad" being
    answers too. grade: his alpha (ordinal) of the grade, a tie standing between 4 and 5.
    pairwise: chance that two annotators say the same of one item; sided: the same among those
    who both prefer an answer.
    """

    labels: int
    annotators: int
    items: int
    side: Estimate
    grade: Estimate
    pairwise: Estimate
    sided: Estimate


@dataclass(frozen=True, slots=True)
class Disputed:
    """An item that people disagree on, with all they said.

    `disagreement` is the share of pairs of annotators that say otherwise of it.
    """

    item: Item
    annotations: tuple[Annotation, ...]
    disagreement: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What the labels took and will take, at the pace so far; money in the project's currency.

    The `_left` figures are nan where there is no label yet to tell the pace from.
    """

    labels: int
    left: int
    minutes: float
    minutes_left: float
    money: float
    money_left: float
    seconds_per_label: float


def annotator_reports(
    annotations: Sequence[Annotation], items: Mapping[str, Item]
) -> list[AnnotatorReport]:
    """Every annotator's figures and flags, sorted by name; rulings on disputes are no annotator's.

    Raises:
        KeyError: an annotation of an item that is not in `items`.
    """
    annotations = without_adjudications(annotations)
    current = latest(annotations)
    known = known_answers(current, items)
    flags = by_annotator(crowd_flags(current, known))
    reliability = reliabilities(annotations, items)
    return [
        AnnotatorReport(
            annotator=name,
            source=own[0].source,
            labels=len(own),
            median_seconds=_median([each.seconds for each in own if each.seconds > 0]),
            gold=_share(gold_hits(own, known)),
            left=_left_share(preferences(of_two(own))),
            self_agreement=_share(repeats_alike(own)),
            reliability=reliability[name],
            flags=flags.get(name, ()),
        )
        for name, own in sorted(by_name(current).items())
    ]


def agreement_report(
    annotations: Sequence[Annotation], items: Mapping[str, Item]
) -> AgreementReport:
    """Agreement over the annotations of `items`; planned repeats and "cannot tell" left out."""
    current = [each for each in first_occasions(latest(annotations)) if each.item in items]
    found = preferences(current)
    raters: dict[str, set[str]] = {}
    for each in found:
        raters.setdefault(each.item, set()).add(each.annotator)
    graded = [each for each in found if each.grade is not None]
    sides, side_items = _table(found, [float(SAID.index(each.said)) for each in found])
    grades, grade_items = _table(graded, [float(each.grade or 0) for each in graded])
    chosen = [each for each in found if each.said in DECIDED]
    sided, sided_items = _table(chosen, [float(each.said == "first") for each in chosen])
    return AgreementReport(
        labels=len(current),
        annotators=len({each.annotator for each in current}),
        items=sum(len(names) > 1 for names in raters.values()),
        side=krippendorff_alpha(sides, "nominal", clusters=side_items),
        grade=krippendorff_alpha(grades, "ordinal", clusters=grade_items),
        pairwise=pairwise_agreement(sides, clusters=side_items),
        sided=pairwise_agreement(sided, clusters=sided_items),
    )


def disputed(
    annotations: Sequence[Annotation], items: Mapping[str, Item], n: int = 20
) -> list[Disputed]:
    """The `n` items that people disagree on most, the most disputed first.

    Equals are ordered by how far apart the preferences lie, then by how many there are. Items that
    nobody disagrees on are not listed.
    """
    current = latest(annotations)
    units: dict[str, dict[tuple[str, int, int], list[Preference]]] = {}
    for each in preferences(first_occasions(current)):
        units.setdefault(each.item, {}).setdefault(each.unit, []).append(each)
    rows = []
    for name, pairs in units.items():
        share = float(np.mean([_disagreement(votes) for votes in pairs.values()]))
        votes = [vote for pair in pairs.values() for vote in pair]
        if share > 0 and name in items:
            rows.append((-share, -_spread(votes), -len(votes), name))
    said = by_name(current, lambda each: each.item)
    return [
        Disputed(items[name], tuple(said[name]), -share) for share, _, _, name in sorted(rows)[:n]
    ]


def cost(annotations: Sequence[Annotation], left: int, pay_per_hour: float) -> Cost:
    """Minutes and money so far, and for the `left` labels still wanted.

    A label's time is its latest revision's: who corrects an answer goes on with its clock, so
    that holds the time of the revisions before it. The pace is the mean of the labels whose time
    is known.
    """
    current = latest(annotations)
    times = [each.seconds for each in current if each.seconds > 0]
    pace = sum(times) / len(times) if times else math.nan
    minutes, ahead = sum(times) / 60, (pace * left / 60 if left else 0.0)
    pay = pay_per_hour / 60
    return Cost(len(current), left, minutes, ahead, minutes * pay, ahead * pay, pace)


def reliabilities(annotations: Sequence[Annotation], items: Mapping[str, Item]) -> dict[str, float]:
    """Each annotator's probability of preferring the right answer, near 0.5 for a spammer.

    By the one-coin model, which is told the gold items. Who never preferred an answer has the
    prior mean. As weights in a vote, the log-odds of these are the best (Nitzan & Paroush 1982).

    Raises:
        KeyError: an annotation of an item that is not in `items`.
    """
    current = latest(annotations)
    names = sorted({each.annotator for each in current})
    votes = decided(current)
    if not votes:
        return dict.fromkeys(names, PRIOR_MEAN)
    model = fit_reliability(votes, known_answers(current, items))
    found = dict(zip(model.raters, model.reliability.tolist(), strict=True))
    return {name: found.get(name, PRIOR_MEAN) for name in names}


def _table(
    found: Sequence[Preference], values: Sequence[float]
) -> tuple[NDArray[np.float64], list[str]]:
    """Raters by pairs of answers, and the item of each pair."""
    units = [each.unit for each in found]
    table = tabulate(units, [each.annotator for each in found], values)
    return table, [item for item, _, _ in dict.fromkeys(units)]


def _disagreement(votes: Sequence[Preference]) -> float:
    """The share of pairs of annotators who say otherwise; 0 with fewer than two."""
    pairs = list(combinations([each.said for each in votes], 2))
    return sum(a != b for a, b in pairs) / len(pairs) if pairs else 0.0


def _spread(votes: Sequence[Preference]) -> float:
    leans = [each.lean for each in votes if each.lean is not None]
    return max(leans) - min(leans) if leans else 0.0


def _left_share(found: Sequence[Preference]) -> Estimate:
    """Nothing where the sides were never shuffled: left is then but another name of an answer."""
    return _share(left_choices(found) if saw_both_orders(found) else [])


def _share(hits: Sequence[bool]) -> Estimate:
    return proportion_interval([float(hit) for hit in hits])


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else math.nan
