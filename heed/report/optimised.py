"""Curves of proxies that were optimised, as a stage left them in overoptimisation.json."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heed.report.estimates import estimate, estimates
from heed.stats.intervals import Estimate
from heed.stats.overoptimisation import Form

BEST_OF_N, ON, OFF = "Best of n", "RL on the leash", "RL off the leash"
FIT = ("a", "b", "distance", "best", "end", "lost")


@dataclass(frozen=True)
class Curve:
    """One way of optimising one proxy."""

    method: str
    label: str
    """Empty where method and proxy tell it from all others."""
    proxy: str
    """Label of what is optimised."""
    distance: Sequence[float]
    proxy_gains: Sequence[float]
    gold_gains: Sequence[Estimate]
    """Without intervals where a round is one point."""
    fit: Mapping[str, Estimate] | None
    form: Form
    r2: float
    how: str = ""
    """What a reader must know of how it was done."""

    @property
    def farthest(self) -> float:
        return max(self.distance)

    @property
    def fell(self) -> bool:
        """Whether gold's peak was passed, beyond the interval of what was lost."""
        return self.fit is not None and self.fit["lost"].low > 0

    @property
    def passed(self) -> bool:
        """Whether the fitted peak lies within what was seen."""
        return self.fit is not None and self.fit["distance"].mean <= self.farthest


def curves_of(found: Mapping[str, Any]) -> list[Curve]:
    """Every curve that can be understood; what cannot is left out."""
    return _told_apart([*_best_of_n(found), *_runs(found)])


def _told_apart(curves: Sequence[Curve]) -> list[Curve]:
    """The curves with labels only where they are needed."""
    times = Counter((curve.method, curve.proxy) for curve in curves)
    return [
        replace(curve, label=curve.label if times[curve.method, curve.proxy] > 1 else "")
        for curve in curves
    ]


def _best_of_n(found: Mapping[str, Any]) -> Iterator[Curve]:
    for label, each in tables_in(found.get("best_of_n")):
        gold = [known for row in _list(each.get("gold")) if (known := estimate(row))]
        proxy = [known.mean for row in _list(each.get("proxy")) if (known := estimate(row))]
        distance = _numbers(each.get("distance"))
        if len(distance) > 1 and len(distance) == len(gold) == len(proxy):
            yield Curve(
                BEST_OF_N, BEST_OF_N, label, distance, proxy, gold, _fit(each), "best_of_n",
                _r2(each),
            )  # fmt: skip


def _runs(found: Mapping[str, Any]) -> Iterator[Curve]:
    for label, each in tables_in(found.get("runs")):
        gold, proxy, distance = (_numbers(each.get(key)) for key in ("gold", "proxy", "distance"))
        if len(distance) > 1 and len(distance) == len(gold) == len(proxy):
            yield Curve(
                ON if each.get("kl_coef") else OFF, label, str(each.get("proxy_label", "")),
                distance, proxy, [Estimate(y, math.nan, math.nan, 1) for y in gold], _fit(each),
                "rl", _r2(each), _how(each, len(distance)),
            )  # fmt: skip


def _how(each: Mapping[str, Any], rounds: int) -> str:
    told = [f"{rounds} rounds"]
    for key, label in (("lr", "lr"), ("kl_coef", "KL coefficient")):
        if isinstance(value := each.get(key), int | float):
            told.append(f"{label} {value:g}")
    return ", ".join(told)


def tables_in(found: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries of a mapping that are mappings themselves."""
    rows = found.items() if isinstance(found, Mapping) else ()
    return [(name, table) for name, table in rows if isinstance(table, Mapping)]


def _list(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list) else []


def _numbers(found: Any) -> list[float]:
    """A list of finite numbers, empty where one of them is none."""
    values = _list(found)
    known = all(isinstance(x, int | float) and math.isfinite(x) for x in values)
    return [float(x) for x in values] if known else []


def _fit(each: Mapping[str, Any]) -> dict[str, Estimate] | None:
    """The figures of a fit; a peak that is nowhere is infinitely far."""
    found = estimates(each.get("fit"))
    if not found.keys() >= set(FIT):
        return None
    at = found["distance"]
    mean, low, high = (math.inf if math.isnan(x) else x for x in (at.mean, at.low, at.high))
    return {**found, "distance": Estimate(mean, low, high, at.n)}


def _r2(each: Mapping[str, Any]) -> float:
    fit = each.get("fit")
    known = fit.get("r2") if isinstance(fit, Mapping) else None
    return float(known) if isinstance(known, int | float) else math.nan
