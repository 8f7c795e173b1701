"""Tests of annotators: side bias, speed, spam. They flag, with the evidence; they drop nothing.

Every test corrects its p-values for the number of annotators, by Holm's method or as the most
extreme of so many, so that the chance of flagging anyone of an honest crowd is about `alpha` a
test at most, however many they are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from heed.stats.bootstrap import Array
from heed.stats.consensus import OneCoin
from heed.stats.intervals import proportion_interval

FlagKind = Literal["side", "speed", "agreement", "gold", "self-agreement", "constant"]
ALPHA = 0.05
STRICT = 0.01
"""The level of `unreliable`, whose p-values are too small where people are often wrong: they take
the fitted reliabilities of few labels for true. At ALPHA someone was flagged in 15-25% of simulated
crowds of 15 equals who are right 80% of the time (60 labels each, 3 an item), at this in 7%; it
finds as many of those who guess among people who are right 90% of the time."""
FACTOR = 2.0
"""Who is within about this factor of the crowd is neither fast nor slow, however alike it is."""
CROWDS = 20_000
CELLS = 4_000_000
"""Simulated crowds of equals, fewer where they are large: so many numbers, but a tenth of them."""
CONSTANT = 0.75
"""A share of one and the same verdict that honest habits may still reach."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Why an annotator should be looked at: what was tested, how far it went, in a sentence.

    `threshold` is what `statistic` passed; `p_value` is corrected for the annotators tested.
    """

    annotator: str
    kind: FlagKind
    statistic: float
    threshold: float
    p_value: float
    sentence: str


def holm(p_values: ArrayLike) -> Array:
    """p-values corrected for their number (Holm 1979): compare each with the level wanted."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = p[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return corrected


def _passed(corrected: Array, alpha: float) -> float:
    """The level that all p-values passed which Holm's method rejects at `alpha`."""
    rejected = int((corrected < alpha).sum())
    return alpha / max(1, len(corrected) - max(0, rejected - 1))


def left_share(raters: Sequence[str], lefts: Sequence[bool], alpha: float = ALPHA) -> list[Flag]:
    """Whose share of left verdicts is off one half, by the exact binomial test.

    For verdicts that prefer a side, the sides being random. Where others labelled the same items
    `side_bias` sees more.
    """
    groups = _groups(raters)
    left = np.asarray(lefts, dtype=bool)
    p = holm([stats.binomtest(int(left[at].sum()), len(at)).pvalue for at in groups.values()])
    level = _passed(p, alpha)
    flags = []
    for (name, at), p_value in zip(groups.items(), p, strict=True):
        if p_value < alpha:
            share = float(left[at].mean())
            bound = float(stats.binom.isf(level / 2, len(at), 0.5) + 1) / len(at)
            threshold = bound if share > 0.5 else 1 - bound
            words = _side_words(left[at])
            flags.append(Flag(name, "side", share, threshold, float(p_value), words))
    return flags


def side_bias(
    raters: Sequence[str],
    leanings: ArrayLike,
    first_left: Sequence[bool],
    predictors: ArrayLike,
    *,
    clusters: Sequence[Hashable],
    alpha: float = ALPHA,
) -> list[Flag]:
    """Whose answers lean to a side by more than what the answers themselves explain.

    A rater whom sides leave cold leans to the first answer, by u, wherever it stands. So with o =
    +-1 for left and right, sum o (u - g) has random signs whatever g is, as long as no o entered
    it; its standard deviation is then sqrt(sum (u - g)^2). Taking g from the other raters (least
    squares on `predictors`) removes what the answers explain (Rosenbaum 2002, covariance
    adjustment in randomised experiments) and leaves the leaning to a side: far more power than
    counting left verdicts, and strong preferences that merely weaken on the other side count too.

    Args:
        raters: of each verdict.
        leanings: u, above 0 for the first answer of the item's own order, 0 for a tie.
        first_left: whether that answer was shown left.
        predictors: verdicts by predictors of u that no vote of the same rater entered.
        clusters: the item of each verdict; those of one item keep their signs together.
        alpha: chance to flag anyone of a crowd without bias.
    """
    u, g = np.asarray(leanings, dtype=np.float64), np.asarray(predictors, dtype=np.float64)
    side = np.where(np.asarray(first_left, dtype=bool), 1.0, -1.0)
    groups = _groups(raters)
    z = np.zeros(len(groups))
    for place, at in enumerate(groups.values()):
        fitted = g[at] @ np.linalg.lstsq(g[at], u[at], rcond=None)[0]
        toward = side[at] * (u[at] - fitted)
        sums = np.bincount(_numbers([clusters[i] for i in at.tolist()]), weights=toward)
        spread = math.sqrt(float(sums @ sums))
        z[place] = sums.sum() / spread if spread > 1e-9 else 0.0
    p = holm(2 * stats.norm.sf(np.abs(z)))
    threshold = float(stats.norm.isf(_passed(p, alpha) / 2))
    return [
        Flag(name, "side", float(score), threshold, float(p_value),
             _side_words((side[at] * u[at] > 0)[u[at] != 0]))
        for (name, at), score, p_value in zip(groups.items(), z, p, strict=True)
        if p_value < alpha
    ]  # fmt: skip


def speed_outliers(raters: Sequence[str], seconds: ArrayLike, alpha: float = ALPHA) -> list[Flag]:
    """Who is far faster or slower than the crowd: robust z of each rater's median log seconds.

    Centre and scale are the median and 1.4826 MAD of the raters' medians, the scale never below
    what lets `FACTOR` pass. The p-value is the chance that the most extreme of as many equals
    has so large a |z|, by simulation of normal medians: it is corrected for the number of raters
    (Westfall & Young 1993, single step). Times of 0 are unknown and left out.
    """
    time = np.asarray(seconds, dtype=np.float64)
    known = np.flatnonzero(time > 0)
    groups = _groups([raters[i] for i in known.tolist()])
    if len(groups) < 3:
        return []
    medians = np.array([np.median(np.log(time[known][at])) for at in groups.values()])
    extremes = _extremes(len(groups))
    threshold = float(np.quantile(extremes, 1 - alpha))
    z = _robust_z(medians[None, :], least=math.log(FACTOR) / threshold)[0]
    above = len(extremes) - np.searchsorted(extremes, np.abs(z))
    p = (1 + above) / (1 + len(extremes))
    centre = float(np.median(medians))
    return [
        Flag(
            name, "speed", float(score), threshold, float(p_value),
            f"takes {math.exp(median):.3g} seconds a label (median), the others "
            f"{math.exp(centre):.3g}: {math.exp(abs(median - centre)):.1f} times "
            f"{'faster' if median < centre else 'slower'}",
        )
        for name, median, score, p_value in zip(groups, medians, z, p, strict=True)
        if abs(score) > threshold
    ]  # fmt: skip


@lru_cache(maxsize=64)
def _extremes(raters: int) -> Array:
    """The largest |robust z| of so many equals, sorted, in many simulated crowds."""
    rng = np.random.default_rng(0)
    crowds = min(CROWDS, max(CROWDS // 10, CELLS // raters))
    drawn = [
        np.abs(_robust_z(rng.normal(size=(part, raters)))).max(axis=1)
        for part in (min(1000, crowds - start) for start in range(0, crowds, 1000))
    ]
    return np.sort(np.concatenate(drawn))


def _robust_z(values: Array, least: float = 0.0) -> Array:
    """(value - median) / (1.4826 MAD) along the rows, the scale at least `least`."""
    apart: Array = values - np.median(values, axis=1, keepdims=True)
    scale = 1.4826 * np.median(np.abs(apart), axis=1, keepdims=True)
    return apart / np.maximum(scale, least)


def unreliable(
    raters: Sequence[str], labels: Sequence[bool], model: OneCoin, alpha: float = STRICT
) -> list[Flag]:
    """Who agrees with the others' consensus, and with gold, less than half as well as is usual.

    Flagged is who has both: a reliability less than half way from chance to the crowd's median,
    and a likelihood-ratio test that says it is no accident. The test takes reliability m (the
    median) against 1/2, each vote's expectation by the consensus that the others alone have:
    P(agrees) = 1/2 + c (r - 1/2), with c their confidence; a normal approximation gives p. Always
    clicking one side, or at random, ends here. It rests on most of the crowd being honest: of two
    people, without gold items, neither is flagged.

    Args:
        raters: of each vote.
        labels: of each vote, True or False.
        model: the one-coin model fitted to these votes.
        alpha: nominal chance to flag anyone of a crowd of equals; in truth it is more where they
            are often wrong (see `STRICT`).
    """
    median = float(np.median(model.reliability))
    if median <= 0.5:
        return []
    said = np.asarray(labels, dtype=bool)
    confidence = np.abs(np.tanh(model.others / 2))
    alike = said == (model.others > 0)
    groups = _groups(raters)
    halfway = (0.5 + median) / 2
    p = holm([_likelihood_ratio(alike[at], confidence[at], median) for at in groups.values()])
    reliability = dict(zip(model.raters, model.reliability.tolist(), strict=True))
    return [
        Flag(
            name, "agreement", reliability[name], halfway, float(p_value),
            f"prefers the right answer with an estimated probability of {reliability[name]:.2f}, "
            f"judged by the others' labels and gold items; the crowd's median is {median:.2f}, "
            "guessing is 0.50",
        )
        for name, p_value in zip(groups, p, strict=True)
        if p_value < alpha and reliability[name] < halfway
    ]  # fmt: skip


def below_crowd(
    raters: Sequence[str],
    hits: Sequence[bool],
    kind: Literal["gold", "self-agreement"],
    *,
    chance: float = 0.5,
    alpha: float = ALPHA,
) -> list[Flag]:
    """Who hits less than half as far above chance as the others.

    The test is Fisher's exact one (1935), one-sided, of a rater's hits against all others': the
    others' share is an estimate too, and from a few tries a poor one.

    Args:
        raters: of each try.
        hits: whether it succeeded: a gold item answered right, a repeated item answered alike.
        kind: which of the two.
        chance: the share of hits that guessing gets.
        alpha: chance to flag anyone of a crowd of equals.
    """
    hit = np.asarray(hits, dtype=bool)
    groups = _groups(raters)
    if len(groups) < 2:
        return []
    rows = [(int(hit[at].sum()), len(at)) for at in groups.values()]
    all_hits, tries = int(hit.sum()), len(hit)
    # Given all margins, the hits of a rater's are hypergeometric.
    p = holm([stats.hypergeom.cdf(own, tries, all_hits, count) for own, count in rows])
    what = {"gold": "gold items right", "self-agreement": "repeated items as before"}[kind]
    flags = []
    for name, (own, count), p_value in zip(groups, rows, p, strict=True):
        rate = (all_hits - own) / (tries - count)
        if p_value < alpha and own / count < (chance + rate) / 2:
            words = f"answers {own} of {count} {what}; the others {rate:.0%}"
            flags.append(Flag(name, kind, own / count, (chance + rate) / 2, float(p_value), words))
    return flags


def constant_answers(
    raters: Sequence[str], verdicts: Sequence[Any], alpha: float = ALPHA
) -> list[Flag]:
    """Who gives one and the same verdict, as shown, too often for items that differ.

    Exact binomial test of the share of a rater's commonest verdict being above `CONSTANT`, or half
    way from the others' share of it to 1 where that is more (items may all be alike).
    """
    groups = _groups(raters)
    crowd = Counter(verdicts)
    rows = []
    for name, at in groups.items():
        own = Counter(verdicts[i] for i in at.tolist())
        verdict, times = own.most_common(1)[0]
        others = len(verdicts) - len(at)
        usual = (crowd[verdict] - times) / others if others else 0.0
        limit = max(CONSTANT, (1 + usual) / 2)
        test = stats.binomtest(times, len(at), limit, alternative="greater")
        rows.append((name, verdict, times / len(at), limit, test.pvalue, len(at)))
    p = holm([row[4] for row in rows])
    return [
        Flag(
            name, "constant", share, limit, float(p_value),
            f"gives the verdict {verdict} in {share:.0%} of {count} labels",
        )
        for (name, verdict, share, limit, _, count), p_value in zip(rows, p, strict=True)
        if p_value < alpha
    ]  # fmt: skip


def by_annotator(flags: Iterable[Flag]) -> Mapping[str, tuple[Flag, ...]]:
    """The flags of each annotator who has any."""
    found: dict[str, tuple[Flag, ...]] = {}
    for flag in flags:
        found[flag.annotator] = (*found.get(flag.annotator, ()), flag)
    return found


def _groups(raters: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Where each rater's votes stand."""
    places: dict[str, list[int]] = {}
    for index, name in enumerate(raters):
        places.setdefault(name, []).append(index)
    return {name: np.array(at, dtype=np.int64) for name, at in places.items()}


def _numbers(names: Sequence[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def _likelihood_ratio(alike: NDArray[np.bool_], confidence: Array, reliability: float) -> float:
    """Lower tail p of the log-likelihood ratio of `reliability` against guessing."""
    usual = 0.5 + confidence * (reliability - 0.5)
    value = np.log(usual) - np.log(1 - usual)
    variance = float((value**2 * usual * (1 - usual)).sum())
    if variance == 0:
        return 1.0
    return float(stats.norm.cdf((value @ (alike - usual)) / math.sqrt(variance)))


def _side_words(lefts: NDArray[np.bool_]) -> str:
    share = proportion_interval(lefts.astype(np.float64))
    return (
        f"prefers the left answer in {int(lefts.sum())} of {len(lefts)} verdicts "
        f"({share.mean:.0%}, 95% interval {share.low:.0%} to {share.high:.0%}), more than "
        "the answers explain" if share.mean >= 0.5 else
        f"prefers the right answer in {int((~lefts).sum())} of {len(lefts)} verdicts "
        f"({1 - share.mean:.0%}, 95% interval {1 - share.high:.0%} to {1 - share.low:.0%}), more "
        "than the answers explain"
    )  # fmt: skip
