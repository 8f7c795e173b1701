"""What a crowd says of each item: plurality, Dawid and Skene's model, and its one-coin form.

Votes come as three lists: the item, the rater and the label of each vote. A rater may have several
votes on an item. Items and raters keep their order of appearance, so that nothing depends on how
names sort.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logit, logsumexp

from heed.stats.bootstrap import Array

Names = Sequence[Hashable]
ITERATIONS = 1000
TOLERANCE = 1e-9
"""EM stops when the log-likelihood grows by less than this share of itself."""


@dataclass(frozen=True)
class Plurality:
    """The most frequent label of each item, None where several lead; `share` is its share."""

    items: tuple[Hashable, ...]
    labels: tuple[Any, ...]
    share: Array

    @property
    def tied(self) -> tuple[bool, ...]:
        return tuple(label is None for label in self.labels)


@dataclass(frozen=True)
class DawidSkene:
    """Dawid and Skene's model fitted.

    posterior: items by classes. marginals: share of each class. confusion: raters by true class by
    label said, a row of zeros where a rater's items cannot have that class. log_likelihood: of all
    votes.
    """

    items: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    classes: tuple[Any, ...]
    posterior: Array
    marginals: Array
    confusion: Array
    log_likelihood: float
    iterations: int
    converged: bool

    @property
    def labels(self) -> tuple[Any, ...]:
        """The most probable class of each item, the first of equals."""
        return tuple(self.classes[place] for place in self.posterior.argmax(axis=1))


@dataclass(frozen=True)
class OneCoin:
    """The one-coin model fitted.

    log_odds: of each item being True, plus or minus infinity where it is known. reliability: each
    rater's probability of being right. others: at each vote, the item's log-odds by all other
    votes than that one.
    """

    items: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    log_odds: Array
    reliability: Array
    others: Array
    iterations: int
    converged: bool


@dataclass(frozen=True)
class _Votes:
    """Votes as numbers; `by_item` gathers what each vote adds to its item."""

    items: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    item: NDArray[np.int64]
    rater: NDArray[np.int64]
    by_item: sparse.csr_array

    @classmethod
    def of(cls, items: Names, raters: Names, labels: Sequence[Any]) -> _Votes:
        if not len(items) == len(raters) == len(labels) or len(items) == 0:
            raise ValueError(
                f"votes need as many items ({len(items)}) as raters ({len(raters)}) and labels "
                f"({len(labels)}), and at least one"
            )
        names, item = _numbered(items)
        people, rater = _numbered(raters)
        n = len(item)
        gather = sparse.csr_array((np.ones(n), (item, np.arange(n))), shape=(len(names), n))
        return cls(names, people, item, rater, gather)


def _numbered(names: Names) -> tuple[tuple[Hashable, ...], NDArray[np.int64]]:
    place = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return tuple(place), np.array([place[name] for name in names], dtype=np.int64)


def plurality(
    items: Names, raters: Names, labels: Sequence[Any], weights: Mapping[Any, float] | None = None
) -> Plurality:
    """The label with most votes, every vote counting its rater's weight (1 without `weights`).

    Raises:
        ValueError: the lengths differ, or there are no votes.
    """
    votes = _Votes.of(items, raters, labels)
    classes, label = _numbered(labels)
    weight = np.array([1.0 if weights is None else weights[name] for name in votes.raters])
    totals = votes.by_item @ (weight[votes.rater][:, None] * np.eye(len(classes))[label])
    # Sums of the same weights in another order may differ in their last digits.
    leads = np.isclose(totals, totals.max(axis=1, keepdims=True), rtol=1e-12, atol=1e-12)
    best = totals.argmax(axis=1)
    whole = totals.sum(axis=1)
    share = np.divide(totals.max(axis=1), whole, out=np.zeros(len(whole)), where=whole > 0)
    return Plurality(
        votes.items,
        tuple(
            classes[place] if one else None
            for place, one in zip(best, leads.sum(axis=1) == 1, strict=True)
        ),
        share,
    )


def dawid_skene(
    items: Names,
    raters: Names,
    labels: Sequence[Any],
    *,
    smoothing: float = 0.0,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> DawidSkene:
    """Maximum likelihood of each item's class and each rater's errors by EM (Dawid & Skene 1979).

    Starts from the share of each label among an item's votes, so the result is the same every
    time. Classes are the labels, sorted.

    Args:
        items: the item of each vote.
        raters: the rater of each vote.
        labels: what was said; labels must sort.
        smoothing: votes added to each cell of every confusion matrix (0: maximum likelihood).
        iterations: at most so many steps.
        tolerance: relative growth of the log-likelihood at which to stop.

    Raises:
        ValueError: the lengths differ, or there are no votes.
    """
    votes = _Votes.of(items, raters, labels)
    classes = tuple(sorted(set(labels)))
    place = {label: index for index, label in enumerate(classes)}
    said = np.eye(len(classes))[[place[label] for label in labels]]
    by_rater = sparse.csr_array(
        (np.ones(len(said)), (votes.rater, np.arange(len(said)))),
        shape=(len(votes.raters), len(said)),
    )
    counts = votes.by_item @ said
    posterior = counts / counts.sum(axis=1, keepdims=True)
    likelihood, converged, step = -np.inf, False, 0
    while not converged and step < iterations:
        step += 1
        marginals = posterior.mean(axis=0)
        confusion = _confusion(by_rater, posterior[votes.item], said, smoothing)
        # Equation 2.5 in logs: an impossible vote is -inf for that class.
        with np.errstate(divide="ignore"):
            log_vote = np.log(np.einsum("vcl,vl->vc", confusion[votes.rater], said))
            joint = np.log(marginals) + votes.by_item @ log_vote
        total = logsumexp(joint, axis=1, keepdims=True)
        posterior = np.exp(joint - total)
        before, likelihood = likelihood, float(total.sum())
        converged = likelihood - before <= tolerance * abs(likelihood)
    return DawidSkene(
        votes.items, votes.raters, classes,
        posterior, marginals, confusion, likelihood, step, converged,
    )  # fmt: skip


def _confusion(by_rater: sparse.csr_array, truth: Array, said: Array, smoothing: float) -> Array:
    """Equation 2.3: raters by true class by label, each row a distribution, or 0."""
    classes = said.shape[1]
    cells = (truth[:, :, None] * said[:, None, :]).reshape(len(said), -1)
    counts = (by_rater @ cells).reshape(-1, classes, classes) + smoothing
    whole = np.broadcast_to(counts.sum(axis=2, keepdims=True), counts.shape)
    # 0/0 is 0: a class that none of a rater's items can have stays impossible for them.
    rows: Array = np.divide(counts, whole, out=np.zeros_like(counts), where=whole > 0)
    return rows


def one_coin(
    items: Names,
    raters: Names,
    labels: Sequence[bool],
    *,
    known: Mapping[Any, bool] | None = None,
    right: float = 4.0,
    wrong: float = 1.0,
    iterations: int = ITERATIONS,
    tolerance: float = 1e-6,
) -> OneCoin:
    """Dawid and Skene's model of two classes with one number a rater: the chance of being right.

    Fit for preferences between two answers in an item's own, arbitrary order: neither class is the
    special one, so the classes are equally frequent and a rater errs alike on both. That leaves
    one parameter a rater instead of two and a marginal, which some tens of labels a person can
    carry. It is fitted by EM to the posterior mode under a Beta prior: `right` and `wrong` are
    imagined votes, which keep few labels from proving anyone perfect, or useless.

    Two raters who share items with each other alone, none of them known, cannot be told apart: who
    of them is right where they differ would hang on who has a few labels more. They get one
    reliability.

    Args:
        items: the item of each vote.
        raters: the rater of each vote.
        labels: True or False.
        known: the truth of items where it is known (gold items).
        right: imagined right votes of every rater.
        wrong: imagined wrong ones.
        iterations: at most so many steps.
        tolerance: change of any reliability at which to stop.

    Raises:
        ValueError: the lengths differ, there are no votes, or the prior is not above 0.
    """
    if min(right, wrong) <= 0:
        raise ValueError(f"the imagined votes must be above 0, got {right} right, {wrong} wrong")
    votes = _Votes.of(items, raters, labels)
    sign = np.where(np.asarray(labels, dtype=bool), 1.0, -1.0)
    fixed = np.array([_certain(known, name) for name in votes.items])
    alike = _indistinguishable(votes, fixed)
    # A row a parameter: the raters who have it.
    of = sparse.csr_array((np.ones(len(alike)), (alike, np.arange(len(alike)))))
    given, heads = of @ np.bincount(votes.rater), of.sum(axis=1)
    reliability = np.full(len(votes.raters), right / (right + wrong))
    converged, step = False, 0
    while not converged and step < iterations:
        step += 1
        weight = sign * logit(reliability)[votes.rater]
        log_odds = votes.by_item @ weight + fixed
        before = reliability
        agreed = np.bincount(votes.rater, weights=expit(sign * log_odds[votes.item]))
        reliability = ((of @ agreed + heads * right) / (given + heads * (right + wrong)))[alike]
        converged = bool(np.abs(reliability - before).max() < tolerance)
    others = log_odds[votes.item] - weight
    return OneCoin(votes.items, votes.raters, log_odds, reliability, others, step, converged)


def _indistinguishable(votes: _Votes, fixed: Array) -> NDArray[np.int64]:
    """A number each rater, the same for two whom only each other's votes could tell apart."""
    raters, items = len(votes.raters), len(votes.items)
    met = sparse.csr_array(
        (np.ones(len(votes.rater)), (votes.rater, raters + votes.item)),
        shape=(raters + items, raters + items),
    )
    _, part = connected_components(met, directed=False)
    pair = np.bincount(part[:raters], minlength=part.max() + 1) == 2
    pair[part[raters:][fixed != 0]] = False
    own = np.where(pair[part[:raters]], part[:raters], len(pair) + np.arange(raters))
    return np.unique(own, return_inverse=True)[1].astype(np.int64)


def _certain(known: Mapping[Any, bool] | None, item: Hashable) -> float:
    """What knowing an item adds to its log-odds."""
    if known is None or item not in known:
        return 0.0
    return math.inf if known[item] else -math.inf
