"""Whether a training's metrics have left the levels that they may have, told at every iteration.

Each is a CUSUM (heed/stats/sequential.py) of the standardised excess over a bound: a known one, or
one relative to the mean of the first rounds, which is raised by what that mean may be wrong by.
Where the level lies on the bound all the time, a gate trips in at most `false_alarms` of runs, half
of it for the bound and half for the CUSUM, if rounds are correlated by up to .5; below the bound
it trips far less often (simulated in tests/gates/test_levels.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from heed.gates.finding import Finding
from heed.stats.sequential import cusum, cusum_limit, round_noise

FIRST = 10
"""Rounds that say what is usual; no gate looks before they are over."""
LATEST = 5
"""Rounds whose mean a finding names."""
SLACK = 0.5
"""Standard deviations beyond the bound from which on the CUSUM grows."""
CORRELATION = 0.5
"""Between successive rounds, as is assumed of their noise."""

Series = Sequence[float]


def kl_budget(kl: Series, *, budget: float, iterations: int, false_alarms: float) -> Finding | None:
    """The KL of a whole answer from the reference stays within a budget, in nats."""
    return _finding(
        "kl",
        _look(kl, budget, 0.0, iterations, false_alarms),
        false_alarms,
        f"KL from the reference is {_latest(kl):.2f} nats an answer, its budget {budget:g}.",
        "Raise kl.coef, or set kl.target below the budget.",
    )


def entropy_collapse(
    entropy: Series, *, share: float, iterations: int, false_alarms: float
) -> Finding | None:
    """The entropy of the next token stays above a share of what it was."""
    return _finding(
        "entropy",
        _relative([-value for value in entropy], share, 0.0, iterations, false_alarms),
        false_alarms,
        f"Entropy is {_latest(entropy):.3f} nats a token and was {_start(entropy):.3f} in the "
        f"first rounds; it may fall to {share:g} of that.",
        "The policy has hardly a choice left: raise entropy_coef or kl.coef, or lower optim.lr.",
    )


def repetition(
    repeated: Series, *, rise: float, iterations: int, false_alarms: float
) -> Finding | None:
    """The share of word pairs that stood in the answer before does not rise."""
    return _finding(
        "repetition",
        _relative(repeated, 1.0, rise, iterations, false_alarms),
        false_alarms,
        f"{_latest(repeated):.1%} of an answer's word pairs stood in it before, "
        f"{_start(repeated):.1%} in the first rounds; the share may rise by {rise:.1%}.",
        "The reward loves repetition: read samples, collect comparisons in which such answers "
        "lose, or raise kl.coef.",
    )


def length_explosion(
    length: Series, *, times: float, iterations: int, false_alarms: float
) -> Finding | None:
    """Answers do not grow beyond a multiple of their first length."""
    return _finding(
        "length",
        _relative(length, times, 0.0, iterations, false_alarms),
        false_alarms,
        f"Answers have {_latest(length):.1f} words and had {_start(length):.1f} in the first "
        f"rounds; they may have {times:g} times as many.",
        "The reward loves length: look at the labels for a bias to long answers, or raise kl.coef.",
    )


def disagreement(
    spread: Series, *, times: float, iterations: int, false_alarms: float
) -> Finding | None:
    """The members of an ensemble agree about as well as at first (Coste et al. 2024)."""
    return _finding(
        "disagreement",
        _relative(spread, times, 0.0, iterations, false_alarms),
        false_alarms,
        f"The ensemble's members differ by a standard deviation of {_latest(spread):.3f} an "
        f"answer and by {_start(spread):.3f} in the first rounds; they may by {times:g} times as "
        "much.",
        "The answers are unlike those that the ensemble learned on: label some of them, or set "
        "its combine to minimum or mean_minus_std.",
    )


def outliers(
    standout: Series, *, times: float, iterations: int, false_alarms: float
) -> Finding | None:
    """No single answers score far beyond all others, more than in the first rounds."""
    return _finding(
        "outliers",
        _relative(standout, times, 0.0, iterations, false_alarms),
        false_alarms,
        f"A round's best answer scores {_latest(standout):.2f} interquartile ranges above the "
        f"median, and did {_start(standout):.2f} in the first rounds; it may {times:g} times as "
        "far.",
        "A few answers have found something that the reward loves: read them.",
    )


def rollout_gap(
    gap: Series, *, budget: float, iterations: int, false_alarms: float
) -> Finding | None:
    """Servers that draw give a token the log-prob that it has here, up to what was learned since
    the weights were sent.
    """
    return _finding(
        "rollout_gap",
        _look(gap, budget, 0.0, iterations, false_alarms),
        false_alarms,
        f"The rollout servers' log-probs lie {_latest(gap):.3g} nats a token from those of the "
        f"policy here on average; {budget:g} is allowed.",
        "Servers compute otherwise (another number format, temperature or model), or the policy "
        "learns too fast for weights so old: lower servers.send_every, leave `ahead` out, or "
        "lower optim.lr.",
    )


def stand_out(scores: Sequence[float]) -> float:
    """How far the best score lies above the median, in interquartile ranges; nan where there is no
    range, as of rewards that are mostly 0 or 1.
    """
    low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
    return float((max(scores) - middle) / (high - low)) if high > low else math.nan


def _relative(
    values: Series, times: float, plus: float, iterations: int, false_alarms: float
) -> tuple[float, float] | None:
    """The look at a series that may go to `times` the mean of its first rounds, and `plus`."""
    return _look(values, times * _start(values) + plus, times, iterations, false_alarms)


def _look(
    values: Series, bound: float, times: float, iterations: int, false_alarms: float
) -> tuple[float, float] | None:
    """The CUSUM over a bound and its limit; `times` of the first rounds' mean is in the bound.

    In the first rounds the limit is infinite, and the statistic of a known bound is the excess of
    the latest: nothing trips on so few, but what lies beyond is not at rest either.
    """
    known = _known(values)
    if len(known) < 2 or (times and len(known) <= FIRST):
        return None
    noise = max(round_noise(known, CORRELATION), 1e-9)
    if len(known) <= FIRST:
        return max(0.0, (known[-1] - bound) / noise), math.inf
    chance = false_alarms / 2 if times else false_alarms
    error = times * float(stats.norm.isf(chance)) * noise / math.sqrt(FIRST)
    excess = [(value - bound - error) / noise for value in known[FIRST if times else 0 :]]
    return cusum(excess, SLACK), cusum_limit(iterations, chance, SLACK)


def _finding(
    gate: str, looked: tuple[float, float] | None, false_alarms: float, says: str, advice: str
) -> Finding | None:
    if looked is None:
        return None
    statistic, limit = looked
    tripped = statistic >= limit
    says = f"{says} {advice}" if tripped else says
    return Finding(gate, statistic, limit, false_alarms, tripped, says)


def _known(values: Series) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _start(values: Series) -> float:
    """The mean of the first rounds."""
    return _mean(_known(values)[:FIRST])


def _latest(values: Series) -> float:
    return _mean(_known(values)[-LATEST:])


def _mean(values: Series) -> float:
    return math.fsum(values) / len(values) if values else math.nan
