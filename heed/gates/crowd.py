"""Do annotators agree with each other, and are those among them who click at random few?

Both need items that two or more people labelled, and say nothing without.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from heed.gates.finding import Finding
from heed.stats.consensus import OneCoin
from heed.stats.crowd import unreliable

FEWEST = 30
"""Items with several labels (agreement), or labels of two or more people (spammers), from which on
there is anything to tell."""


def agreement(
    said: Sequence[Hashable],
    units: Sequence[Hashable],
    items: Sequence[Hashable],
    *,
    least: float,
    false_alarms: float,
) -> Finding | None:
    """Whether labels surely agree less than they have to.

        t = (least - alpha) / se(alpha)

    with Krippendorff's alpha (nominal; Content Analysis, 2018, ch. 12) and its jackknife error,
    which leaves out one item at a time. Labels whose alpha is `least` trip in `false_alarms`.

    Args:
        said: what each label says.
        units: what it speaks of, in an order of sides that is the same for all; one label of each
            annotator.
        items: the item of each label, where one has several units (a ranking): the cluster.
        least: the alpha from which on nothing is said; 0 is chance, 1 is all alike.
        false_alarms: the share of label sets on the bound that trip.

    Returns:
        None where fewer than `FEWEST` items have two labels of a unit, or all labels are alike.
    """
    observed, totals = _coincidences(said, units, items)
    if len(observed) < FEWEST:
        return None
    alpha = float(_alpha(observed.sum(), totals.sum(0)))
    without = _alpha(observed.sum() - observed, totals.sum(0) - totals)
    if not (np.isfinite(alpha) and np.isfinite(without).all()):
        return None
    groups = len(observed)
    error = math.sqrt((groups - 1) / groups * float(((without - without.mean()) ** 2).sum()))
    apart = least - alpha
    t = apart / error if error > 0 else math.copysign(math.inf, apart)
    threshold = float(stats.t.isf(false_alarms, groups - 1))
    tripped = t >= threshold
    says = (
        f"Annotators agree with Krippendorff's alpha {alpha:.2f} on {groups:,} items that two or "
        f"more of them labelled (0 is chance, 1 is all alike); {least:g} is asked for."
    )
    if tripped:
        says += (
            " Such labels teach little: read what is disputed, make the guideline clearer, give "
            "examples, and ask for answers that differ more."
        )
    return Finding("agreement", t, threshold, false_alarms, tripped, says)


def _coincidences(
    said: Sequence[Hashable], units: Sequence[Hashable], items: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each item with a unit of two labels or more: the disagreements of its units, in pairs over
    labels less one, and how often each value occurs in them (items by values).
    """
    value = {name: place for place, name in enumerate(dict.fromkeys(said))}
    unit = {name: place for place, name in enumerate(dict.fromkeys(units))}
    counts = np.zeros((len(unit), len(value)))
    np.add.at(counts, ([unit[name] for name in units], [value[name] for name in said]), 1)
    size = counts.sum(1)
    paired = size >= 2
    of_unit = dict(zip(units, items, strict=True))
    owners = [of_unit[name] for name, kept in zip(unit, paired, strict=True) if kept]
    place = {name: index for index, name in enumerate(dict.fromkeys(owners))}
    index = np.array([place[name] for name in owners], dtype=np.int64)
    counts, size = counts[paired], size[paired]
    observed = np.zeros(len(place))
    totals = np.zeros((len(place), len(value)))
    np.add.at(observed, index, (size**2 - (counts**2).sum(1)) / (size - 1))
    np.add.at(totals, index, counts)
    return observed, totals


def _alpha(observed: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - (n - 1) observed / (n^2 - sum n_c^2); nan where all values are alike."""
    n = totals.sum(-1)
    expected = n**2 - (totals**2).sum(-1)
    quotient = np.divide(
        (n - 1) * observed, expected, out=np.full(np.shape(expected), np.nan), where=expected > 0
    )
    alpha: NDArray[np.float64] = 1 - quotient
    return alpha


def spammers(
    raters: Sequence[str],
    labels: Sequence[bool],
    model: OneCoin,
    given: Mapping[str, int],
    *,
    share: float,
    false_alarms: float,
) -> Finding | None:
    """Whether too many of the labels come from annotators who look as if they clicked at random.

    Those are they whom `heed.stats.crowd.unreliable` flags: agreeing with the others' consensus
    less than half as well as is usual, by a test that is corrected for their number. Always one
    side looks the same, where sides are random. The threshold is what their labels exceed in
    `false_alarms` of cases where each label is one of theirs with the chance `share` (exact
    binomial). All rests on most labels being honest: a crowd of spammers is found by `agreement`.

    Args:
        raters: of each preference for one of two answers.
        labels: True where it prefers the first in the item's own order.
        model: the one-coin model fitted to these (`heed.feedback.crowd.fit_reliability`).
        given: all labels that each annotator gave.
        share: of the labels, which may come from such people.
        false_alarms: on the bound.

    Returns:
        None where fewer than `FEWEST` labels stand beside another's of the same answers.
    """
    if int((model.others != 0).sum()) < FEWEST:
        return None
    found = [flag.annotator for flag in unreliable(raters, labels, model)]
    count = sum(given.values())
    statistic = sum(given[name] for name in found) / count
    threshold = float(stats.binom.isf(false_alarms, count, share)) / count
    tripped = statistic > threshold
    says = (
        f"{len(found)} of {len(given)} annotators look as if they clicked at random; they gave "
        f"{statistic:.1%} of the labels, and {share:.0%} is nothing to worry about."
    )
    if tripped:
        worst = sorted(found, key=lambda name: -given[name])
        named = f"{', '.join(worst[:8])}{' and others' if len(worst) > 8 else ''}"
        says += (
            f" They are {named}: look at what they say, leave their labels out, or set weights: "
            "reliability."
        )
    return Finding("spammers", statistic, threshold, false_alarms, tripped, says)
