"""How far the reward can be trusted: proxy and gold against the distance gone, with Gao's fits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from numpy.typing import NDArray

from heed.report import figures
from heed.report.estimates import estimate
from heed.report.measures import (
    SHARE,
    Measure,
    figure,
    interval,
    number,
    policy_name,
    with_interval,
)
from heed.report.optimised import BEST_OF_N, OFF, ON, Curve, curves_of, tables_in
from heed.report.part import Part
from heed.report.parts.left import left_by
from heed.report.read import RunView
from heed.stats.overoptimisation import basis

GAIN = Measure("Gain in gold", "SDs")
GOLD, PROXY = "Gold", "Proxy"
ALONE = {GOLD: "#d07a2d", PROXY: "#3f7fbf"}
"""Colours where only one proxy is shown; of several, each has its own."""
METHODS = {BEST_OF_N: "#3f7fbf", ON: "#2f9c86", OFF: "#b8505f"}
COLUMNS = (
    ("Peak at √KL", "√nats"),
    ("Highest gain", "SDs of gold"),
    ("Lost after it", "SDs of gold"),
    ("a", "SDs/√nat"),
    ("b", "SDs/√nat or nat"),
)
BOUNDS = ("low", "high")
MOST_FOUND = 3
"""Falls that are told at the top of the page."""


def read(directory: Path, view: RunView) -> Part | None:
    """From what the stages left in overoptimisation.json; of several the first."""
    for found in left_by(directory, view, "overoptimisation", "overoptimisation.json"):
        if curves := curves_of(found):
            return _part(found, curves)
    return None


def _part(found: Mapping[str, Any], curves: Sequence[Curve]) -> Part:
    labels = list(dict.fromkeys(curve.proxy for curve in curves))
    several = len(labels) > 1
    heights = _heights(curves)
    start = policy_name(str(found.get("policy", "the start")))
    return Part(
        name="overoptimisation",
        question="trust",
        title="How far can the reward be trusted?",
        template="parts/overoptimisation.html",
        values={
            "start": start,
            "prompts": found.get("prompts"),
            "samples": found.get("samples"),
            "distinct": _distinct(found),
            "methods": list(METHODS.items()),
            "columns": COLUMNS,
            "legend_of": labels if several else list(ALONE),
            "colours": figures.colours(labels) if several else ALONE,
            "panels": [
                _panel(title, some, _inks(labels), start, heights)
                for title, some in _panels(curves, _made(found, "parameters"))
            ],
            "summary": _ends(curves, labels) if several else None,
            "made": _reward_rows(found, labels),
            "rows": [_row(curve, several=several) for curve in curves],
            "sentences": [_sentence(curve, several=several) for curve in curves if curve.fit],
        },
        json=found,
        findings=tuple(_sentence(curve, several=several) for curve in _worst(curves)[:MOST_FOUND]),
        advice=_advice(curves, several=several),
    )


def _made(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is known of each proxy, by its label."""
    return {label: each.get(key) for label, each in tables_in(found.get("proxies"))}


def _distinct(found: Mapping[str, Any]) -> str:
    share = found.get("distinct")
    return figure(share, SHARE) if isinstance(share, int | float) else ""


def _reward_rows(found: Mapping[str, Any], labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Label, labels learnt from, parameters, accuracy and its ceiling, as texts."""
    table = dict(tables_in(found.get("proxies")))
    rows = []
    for label in labels:
        each = table.get(label, {})
        whole = [each.get("comparisons"), each.get("parameters")]
        counts = [number(float(n), 0) if isinstance(n, int) else "–" for n in whole]
        known = [estimate(each.get(key)) for key in ("accuracy", "noise_ceiling")]
        rows.append((label, *counts, *(with_interval(e, SHARE) if e else "–" for e in known)))
    return rows


def _panels(curves: Sequence[Curve], sizes: Mapping[str, Any]) -> Iterator[tuple[str, list[Curve]]]:
    """Curves that are drawn together: of one method, and of one size of reward model."""
    several = len({sizes.get(curve.proxy) for curve in curves}) > 1
    for method in METHODS:
        own = [curve for curve in curves if curve.method == method]
        for size in dict.fromkeys(sizes.get(curve.proxy) for curve in own):
            some = [curve for curve in own if sizes.get(curve.proxy) == size]
            told = f", {size / 1e6:.2g}M parameters" if several and isinstance(size, int) else ""
            yield f"{method}{told}", some


def _inks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colours of gold and of the proxy, by proxy."""
    if len(labels) == 1:
        return {labels[0]: (ALONE[GOLD], ALONE[PROXY])}
    return {label: (ink, ink) for label, ink in figures.colours(labels).items()}


def _heights(curves: Sequence[Curve]) -> tuple[float, float]:
    """The vertical range that all panels share, so that they can be compared."""
    values = [y for curve in curves for y in curve.proxy_gains]
    values += [each.mean for curve in curves for each in curve.gold_gains]
    pad = 0.05 * (max(values) - min(values) or 1.0)
    return min(values) - pad, max(values) + pad


def _panel(
    title: str,
    curves: Sequence[Curve],
    inks: Mapping[str, tuple[str, str]],
    start: str,
    heights: tuple[float, float],
) -> Markup:
    """Gold solid (a dot a round of RL), its fit dashed, the proxy dotted, against the distance."""
    with rc_context(figures.STYLE):
        drawing, ax = figures.axes(4.2, 3.1)
        ax.axhline(0.0, color=figures.MUTED, linewidth=0.8)
        for curve in curves:
            ink, proxy_ink = inks[curve.proxy]
            gold = [each.mean for each in curve.gold_gains]
            if curve.method == BEST_OF_N:
                low, high = ([getattr(e, side) for e in curve.gold_gains] for side in BOUNDS)
                ax.fill_between(curve.distance, low, high, color=ink, alpha=0.15, linewidth=0)
                ax.plot(curve.distance, gold, color=ink, linewidth=1.8)
                ax.plot(curve.distance, curve.proxy_gains, ":", color=proxy_ink, linewidth=1.4)
            else:
                pairs = sorted(zip(curve.distance, curve.proxy_gains, strict=True))
                x, y = (figures.smooth(values) for values in zip(*pairs, strict=True))
                ax.scatter(curve.distance, gold, s=7, color=ink, alpha=0.5, linewidths=0)
                ax.plot(x, y, ":", color=proxy_ink, linewidth=1.4)
            if curve.fit:
                at = np.linspace(0.0, curve.farthest, 80)
                ax.plot(at, _fitted(curve, at), "--", color=ink, linewidth=1.4)
        ax.set_xlim(left=0.0)
        ax.set_ylim(*heights)
        ax.set_title(title)
        ax.set_xlabel(f"√KL from {start}, √nats")
        ax.set_ylabel(f"gain, SDs of {start}’s answers")
        return figures.svg(drawing, f"{title}: gold and proxy, {_told(curves)}")


def _fitted(curve: Curve, x: NDArray[np.float64]) -> NDArray[np.float64]:
    assert curve.fit is not None
    y: NDArray[np.float64] = basis(x, curve.form) @ [curve.fit["a"].mean, curve.fit["b"].mean]
    return y


def _told(curves: Sequence[Curve]) -> str:
    return "; ".join(
        f"{curve.proxy} gold {curve.gold_gains[-1].mean:.2f} and proxy {curve.proxy_gains[-1]:.2f}"
        f" at {curve.distance[-1]:.2f}"
        for curve in curves
    )


def _ends(curves: Sequence[Curve], labels: Sequence[str]) -> Markup | None:
    """Gold at the farthest point, a row a proxy, a dot a method."""
    rows = {
        label: {c.method: c.fit["end"] for c in curves if c.fit and c.proxy == label}
        for label in labels
    }
    told = [f"{label} {m} {e.mean:.2f}" for label, row in rows.items() for m, e in row.items()]
    return figures.dots(
        rows,
        METHODS,
        label="gain in gold at the farthest point, SDs",
        description=f"Gold at the end: {', '.join(told)}",
        level=0.0,
    )


def _row(curve: Curve, *, several: bool) -> dict[str, Any]:
    """A row of the table: what was done, and the fit's figures as (figure, interval)."""
    name = ", ".join(filter(None, (curve.method, curve.proxy if several else "", curve.label)))
    if curve.fit is None:
        aside = "; ".join(filter(None, ("too short for a fit", curve.how)))
        return {"name": name, "aside": aside, "cells": [("–", "")] * 5}
    cells = [_peak(curve)]
    for key in ("best", "lost", "a", "b"):
        cells.append((number(curve.fit[key].mean), interval(curve.fit[key], GAIN)))
    explained = "" if math.isnan(curve.r2) else f"R² {number(curve.r2)}"
    aside = "; ".join(filter(None, (explained, curve.how)))
    return {"name": name, "aside": aside, "cells": cells}


def _peak(curve: Curve) -> tuple[str, str]:
    """Where the fit is highest, or that it is beyond what was seen."""
    assert curve.fit is not None
    at = curve.fit["distance"]
    seen = number(at.mean) if curve.passed else f"> {number(curve.farthest)}"
    low, high = (
        number(x)
        if x <= curve.farthest
        else "∞"
        if math.isinf(x)
        else f"> {number(curve.farthest)}"
        for x in (at.low, at.high)
    )
    return seen, f"[{low}, {high}]"


def _who(curve: Curve, *, several: bool) -> str:
    named = f" ({curve.label})" if curve.label else ""
    return f"{curve.method}{named}{f' against {curve.proxy}' if several else ''}"


def _sentence(curve: Curve, *, several: bool) -> str:
    """What happened to gold, no stronger than the fit's intervals are."""
    assert curve.fit is not None
    who = _who(curve, several=several)
    best, lost, end = (with_interval(curve.fit[key], GAIN) for key in ("best", "lost", "end"))
    proxy = number(max(curve.proxy_gains))
    if curve.fell:
        return (
            f"{who}: gold rises by {best} SDs at √KL {_peak(curve)[0]} and then loses {lost} SDs "
            f"up to √KL {number(curve.farthest)}, while the proxy rises to {proxy}."
        )
    return (
        f"{who}: gold gains {end} SDs by √KL {number(curve.farthest)}, the proxy {proxy}; no fall "
        "is shown."
    )


def _worst(curves: Sequence[Curve]) -> list[Curve]:
    """Those that surely fell, the deepest fall first."""
    fell = [curve for curve in curves if curve.fit and curve.fell]
    return sorted(fell, key=lambda curve: -curve.fit["lost"].mean if curve.fit else 0.0)


def _advice(curves: Sequence[Curve], *, several: bool) -> tuple[str, ...]:
    """Where to stop, for the worst fall of each method."""
    advice: dict[str, str] = {}
    for curve in _worst(curves):
        assert curve.fit is not None
        found = curve.fit["distance"]
        seen = [min(x, curve.farthest) for x in (found.mean, found.low, found.high)]
        if curve.method == BEST_OF_N:
            n = int(np.searchsorted(curve.distance, seen[0])) + 1
            says = (
                f"Best of more than about {n} by {curve.proxy} costs gold: draw fewer, or collect "
                "more labels for it."
            )
        else:
            kl, low, high = (number(x**2, 1) for x in seen)
            says = (
                f"{_who(curve, several=several)} went past gold’s peak at a KL of {kl} "
                f"[{low}, {high}] nats: raise kl.coef, or set gates.kl.budget near that."
            )
        advice.setdefault(curve.method, says)
    return tuple(advice.values())
