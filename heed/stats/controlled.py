"""Win rates controlled for length or style: what they would be if the answers did not differ in it.

Length control is Dubois et al. 2024 (arXiv:2404.04475), with the difference in length as the only
one; style control (LMSYS 2024, "Does style matter?", on the arena of arXiv:2403.04132) is the same
regression with more differences (`heed/stats/style.py`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit

from heed.stats.bootstrap import Array
from heed.stats.contests import Contest
from heed.stats.difficulty import WEAK, fit_difficulty
from heed.stats.intervals import Estimate, standard_error
from heed.stats.logistic import Fit, fit_logistic
from heed.stats.win_rates import win_rate

SPREAD = 0.25
"""How far phi of two models lie apart: the standard deviation of phi about what they share.

Answers that are all much shorter than the baseline's (gpt4_gamed: 68 characters) hold no trace of
their own phi. On AlpacaEval's 19 models the controlled rates come within 1.1 points of those
published with this, within 1.3 with .2 and 1.7 with .3; without a prior gpt4_gamed's is 13 off.
"""
MANY = 10
"""From so many models on, difficulties are fitted over all of them, as AlpacaEval's were.

Among few, an item's difficulty would know the model's own luck: of 2 simulated models (200 items, 0
or 1) the rates came out 3.5 points too low and 74% of the intervals covered, of 10 .3 and 93%.
Fitted over the other models they cover 94-95% for 2 to 15.
"""
ALIKE = 1e-9
"""Wins no further apart than this are the same."""


class Anchor(NamedTuple):
    """A normal prior on phi."""

    centre: float
    spread: float


WEAKLY = Anchor(0.0, WEAK)


@dataclass(frozen=True)
class Controlled:
    """A controlled win rate in percent, beside the raw one, and what was controlled for.

    `effects` are phi of each difference, in logits at tanh(d / sd(d)) = 1, and `errors` theirs;
    nan where no two answers differ. `error` is the standard error of `rate`. Beside difficulties
    that were fitted, phi is a little off what it is beside the true ones, and its interval covers
    that in 75-90% of simulated fields only; it covers where there are no difficulties.
    """

    rate: Estimate
    error: float
    raw: Estimate
    effects: Mapping[str, Estimate]
    errors: Mapping[str, float]


def controlled_win_rates(
    contests: Mapping[str, Contest], *, level: float = 0.95
) -> dict[str, Controlled]:
    """The controlled win rate of each model of a field, all against one baseline.

    What a model's regression takes from the field: the items' difficulty (`fit_difficulty`) over
    all models, or where they are fewer than MANY over the others; and the prior on phi, about the
    mean of the others' own phi. A lone model has no field: its items are equally hard, its phi is
    all its own.

        >>> fair = Contest(["a", "b", "c", "d"], np.array([1.0, 0.9, 0.1, 0.0]),
        ...                {"length": np.array([200.0, 100.0, -100.0, -200.0])})
        >>> found = controlled_win_rates({"talker": fair})["talker"]
        >>> round(found.rate.mean), found.effects["length"].mean > 1
        (50, True)

    Raises:
        ValueError: as `fit_difficulty` and, with the model's name, `controlled_win_rate`.
    """
    for name, contest in contests.items():
        try:
            contest.bounded()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if len({frozenset(contest.differences) for contest in contests.values()}) > 1:
        raise ValueError("every contest needs the same differences")
    hardness = _difficulties(contests)
    alone = {
        name: controlled_win_rate(contest, difficulty=hardness[name])
        for name, contest in contests.items()
    }
    found = {}
    for name, contest in contests.items():
        others = [each for other, each in alone.items() if other != name]
        anchors = {effect: _anchor(others, effect) for effect in contest.differences}
        found[name] = controlled_win_rate(
            contest, difficulty=hardness[name], anchors=anchors, level=level
        )
    return found


def _difficulties(
    contests: Mapping[str, Contest],
) -> dict[str, dict[Hashable, float] | None]:
    """For each model those to reckon with."""
    if len(contests) >= MANY:
        return dict.fromkeys(contests, fit_difficulty(contests))
    found = {}
    for name in contests:
        others = {other: each for other, each in contests.items() if other != name}
        found[name] = fit_difficulty(others) if others else None
    return found


def _anchor(others: list[Controlled], effect: str) -> Anchor:
    """N(mean, SPREAD^2 + its error^2) of the others' phi, weighed by 1 / (SPREAD^2 + error^2)."""
    known = [each for each in others if math.isfinite(each.errors[effect])]
    weights = np.array([1 / (SPREAD**2 + each.errors[effect] ** 2) for each in known])
    if not known:
        return WEAKLY
    mean = weights @ [each.effects[effect].mean for each in known] / weights.sum()
    return Anchor(float(mean), math.sqrt(SPREAD**2 + 1 / weights.sum()))


def controlled_win_rate(
    contest: Contest,
    *,
    difficulty: Mapping[Hashable, float] | None = None,
    anchors: Mapping[str, Anchor] | None = None,
    level: float = 0.95,
) -> Controlled:
    """100 * mean_i sigmoid(theta + psi gamma_i), of the regression

        P(win_i) = sigmoid(theta + sum_k phi_k tanh(d_ik / sd(d_k)) + psi gamma_i)

    that is, the win rate with every difference at 0. theta has no prior, so that with the
    differences in place the mean chance is the raw win rate; psi and, without an anchor, phi have
    a weak one, N(0, WEAK^2).

    The error is the delta method's on the sandwich: with g = d rate / d b, H the Hessian and s_i
    the score of row i, row i moves the rate by p_i(0) - rate + n g' H^-1 s_i, and these are
    averaged like any values, clustered by item; to their variance is added g' H^-1 P H^-1 g, what
    the prior (P its precision) leaves open. The interval is made in logits, with Student's
    quantile. That the difficulties were estimated too is left out of it.

    Where the wins are all alike they show no effect, and the raw rate is returned.

    Args:
        contest: the comparisons.
        difficulty: gamma of each item, 0 where it is missing.
        anchors: the prior on phi of each difference.
        level: coverage of the intervals.

    Raises:
        ValueError: there are too few comparisons, or a difference cannot be told from quality
            (`Contest.bounded`).
    """
    bounded = contest.bounded()
    if np.ptp(contest.wins) < ALIKE:
        raw = win_rate(contest.wins, contest.clusters, level)
        unknown = Estimate(math.nan, math.nan, math.nan, len(contest.wins))
        nothing = dict.fromkeys(contest.differences, unknown)
        return Controlled(raw.rate, raw.error, raw.rate, nothing, dict.fromkeys(nothing, math.nan))
    plain = _plain(contest, difficulty)
    own = plain.shape[1]
    prior = [Anchor(0.0, math.inf), WEAKLY][:own]
    prior += [(anchors or {}).get(name, WEAKLY) for name in contest.differences]
    centre, spread = np.array(prior).T
    fit = fit_logistic(np.concatenate([plain, bounded], axis=1), contest.wins, spread**-2, centre)
    return _without_differences(contest, fit, plain, spread**-2, level)


def _without_differences(
    contest: Contest, fit: Fit, plain: Array, precision: Array, level: float
) -> Controlled:
    """What the regression says once the columns after the plain ones are at 0."""
    n, own = plain.shape
    p = expit(plain @ fit.coefficients[:own])
    slopes = np.eye(len(precision))
    slopes[0, :own] = (p * (1 - p)) @ plain / n  # in theta's place the rate
    values = np.zeros((n, len(precision)))
    values[:, 0] = p
    (error, *others), dof = _errors(values, slopes, fit, precision, contest)
    effects, errors = {}, {}
    fitted = zip(contest.differences, fit.coefficients[own:], others[own - 1 :], strict=True)
    for name, phi, each in fitted:
        known = bool(np.any(contest.differences[name]))
        errors[name] = each if known else math.nan
        mean, half = float(phi) if known else math.nan, _quantile(dof, level) * errors[name]
        effects[name] = Estimate(mean, mean - half, mean + half, n)
    raw = win_rate(contest.wins, contest.clusters, level).rate
    return Controlled(
        _in_logits(float(p.mean()), error, dof, n, level), 100 * error, raw, effects, errors
    )


def _plain(contest: Contest, difficulty: Mapping[Hashable, float] | None) -> Array:
    """What is not controlled for: a column of ones, and the items' difficulty where it is known."""
    ones = np.ones(len(contest.wins))
    if difficulty is None:
        return ones[:, None]
    return np.stack([ones, [difficulty.get(item, 0.0) for item in contest.items]], axis=1)


def _errors(
    values: Array, slopes: Array, fit: Fit, precision: Array, contest: Contest
) -> tuple[list[float], int]:
    """The standard error of mean(v) + g' b for each column v of `values`, which depend on the rows
    drawn, and row g of `slopes`; and the degrees of freedom.
    """
    pulls = slopes @ fit.inverse
    moved = values + len(values) * (fit.scores @ pulls.T)
    sampling = [standard_error(column, contest.clusters) for column in moved.T]
    errors = np.hypot([error for error, _ in sampling], np.sqrt(pulls**2 @ precision))
    return errors.tolist(), sampling[0][1]


def _quantile(dof: int, level: float) -> float:
    """Student's; nan where there is nothing to tell an error from."""
    return float(stats.t.ppf((1 + level) / 2, dof)) if dof else math.nan


def _in_logits(mean: float, error: float, dof: int, n: int, level: float) -> Estimate:
    """A rate and its interval, in percent."""
    inside = min(max(mean, 1e-12), 1 - 1e-12)  # rounding may take it to 0 or 1
    half = _quantile(dof, level) * error / (inside * (1 - inside))
    centre = math.log(inside / (1 - inside))
    low, high = 100 * expit(centre - half), 100 * expit(centre + half)
    return Estimate(100 * mean, float(low), float(high), n)
