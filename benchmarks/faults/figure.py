"""Power over strength, one small panel a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.faults.fault import FALSE_ALARMS, POWER

COLUMNS = 3
INK, CLEAN, LEVEL = "#1f4e79", "#b04a2f", "#888888"


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """One SVG or PNG of all panels; an SVG's text stays text."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "heed"}):
        _draw(found, path)


def _draw(found: list[dict[str, Any]], path: Path) -> None:
    rows = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(9.6, 2.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).flat)
    for axis, each in zip(axes, found, strict=False):
        _panel(axis, each)
    for axis in axes[len(found) :]:
        axis.set_axis_off()
    figure.supylabel("Share of replays in which the gate trips", fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(axis: Any, found: dict[str, Any]) -> None:
    """The clean replays as a square, and a line for what is weaker or stronger than clean."""
    axis.axhline(POWER, color=LEVEL, linewidth=0.7, linestyle="--")
    axis.axhline(FALSE_ALARMS, color=LEVEL, linewidth=0.7, linestyle=":")
    clean = found["clean"]["strength"]
    for side in (-1, 1):
        own = [each for each in found["faulty"] if (each["strength"] - clean) * side > 0]
        _points(axis, sorted(own, key=lambda each: each["strength"]), INK, "o", 1)
    _points(axis, [found["clean"]], CLEAN, "s", 0)
    axis.set_title(f"{found['says']}\ngate: {found['gate']}", fontsize=8)
    axis.set_xlabel(found["unit"], fontsize=8)
    axis.set_ylim(-0.04, 1.04)
    axis.tick_params(labelsize=7)


def _points(axis: Any, rows: list[dict[str, Any]], colour: str, marker: str, width: float) -> None:
    rates = [each["tripped"] for each in rows]
    y = [rate["mean"] for rate in rates]
    errors = [[r["mean"] - r["low"] for r in rates], [r["high"] - r["mean"] for r in rates]]
    x = [each["strength"] for each in rows]
    axis.errorbar(
        x, y, errors, color=colour, marker=marker, markersize=3.5, linewidth=width,
        elinewidth=1, capsize=2, zorder=3 - width,
    )  # fmt: skip
