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
    figure = Figure(figsize=(9.6, 2.5 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).flat
    for axis, each in zip(axes, found, strict=False):
        _panel(axis, each)
    for axis in list(axes)[len(found) :]:
        axis.set_axis_off()
    figure.supylabel("Share of replays in which the gate trips", fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(axis: Any, found: dict[str, Any]) -> None:
    points = sorted([found["clean"], *found["faulty"]], key=lambda each: each["strength"])
    x = [each["strength"] for each in points]
    y = [each["tripped"]["mean"] for each in points]
    low = [each["tripped"]["mean"] - each["tripped"]["low"] for each in points]
    high = [each["tripped"]["high"] - each["tripped"]["mean"] for each in points]
    axis.axhline(POWER, color=LEVEL, linewidth=0.7, linestyle="--")
    axis.axhline(FALSE_ALARMS, color=LEVEL, linewidth=0.7, linestyle=":")
    axis.errorbar(x, y, [low, high], color=INK, marker="o", markersize=3, linewidth=1, capsize=2)
    clean = found["clean"]
    axis.plot(clean["strength"], clean["tripped"]["mean"], "s", color=CLEAN, markersize=5)
    axis.set_title(f"{found['says']} ({found['gate']})", fontsize=8)
    axis.set_xlabel(found["unit"], fontsize=8)
    axis.set_ylim(-0.04, 1.04)
    axis.tick_params(labelsize=7)
