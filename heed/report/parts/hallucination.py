"""What a policy makes up, whether that can be told, and whether it knows itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.ticker import PercentFormatter

from heed.report import figures
from heed.report.estimates import Table, estimate, surely
from heed.report.measures import SHARE, Measure, policy_name, with_interval
from heed.report.part import Part
from heed.report.parts.left import by_policy
from heed.report.parts.rows import Row
from heed.report.read import RunView
from heed.stats.intervals import Estimate

DETECTION = {"disagreement": "Disagreement between answers", "entropy": "Entropy of the words"}
CALIBRATION = {
    "error": Measure("Calibration error", share=True, meaning="mean distance, bins of equal mass"),
    "brier": Measure("Brier score", digits=3, meaning="mean squared distance"),
    "excess": Measure("Confidence above being right", share=True, meaning="0 is calibrated"),
}
AREA = Measure("Area under the curve", digits=2)
OUTCOMES = {"correct": "right", "unknown": "“I do not know”", "wrong": "made up"}
WHISKER: Mapping[str, Any] = {"color": figures.INK, "linewidth": 1.0}
APART = 0.12
"""How far the intervals lie from the middle of their bar, in bars."""
EXPOSURES = {"seen_once": "Seen once", "never": "Never seen"}


def read(directory: Path, view: RunView) -> Part | None:
    """From what the evaluations left in hallucination.json, and the outcomes in measures.json."""
    found = {
        label: parts
        for each in by_policy(directory, view, "hallucination.json")
        for label, parts in each.items()
        if isinstance(parts, Mapping) and "all" in parts
    }
    if not found:
        return None
    parts = dict.fromkeys(part for table in found.values() for part in table)
    calibration = {label: parts["all"].get("calibration") or {} for label, parts in found.items()}
    return Part(
        name="self_knowledge",
        question="cost",
        title="Made up, and can it be told?",
        template="parts/hallucination.html",
        values={
            "policies": list(found),
            "colours": figures.colours(list(found)),
            "outcomes": [
                _outcomes(view.hallucination, exposure)
                for exposure in EXPOSURES
                if any(exposure in table for table in view.hallucination.values())
            ],
            "detection": _detection(found, "all"),
            "by_family": [
                (part.replace("_", " "), rows)
                for part in list(parts)[1:]
                if len(parts) > 2 and (rows := _detection(found, part))
            ],
            "calibrated": [
                (what.label, what.meaning, what, column)
                for key, what in CALIBRATION.items()
                if (column := _column(calibration, key))
            ],
            "reliability": [
                _reliability(label, table["bins"])
                for label, table in calibration.items()
                if table.get("bins")
            ],
        },
        json=found,
        findings=tuple(_knows(calibration)),
        advice=_advice(view.hallucination),
    )


def _column(tables: Mapping[str, Any], key: str) -> dict[str, Estimate]:
    return {
        name: known
        for name, table in tables.items()
        if (known := estimate((table or {}).get(key))) is not None
    }


def _detection(found: Mapping[str, Any], part: str) -> list[Row]:
    """Every signal, over all questions or one family of them."""
    areas = {label: table.get(part, {}).get("detection") for label, table in found.items()}
    return [
        (label, "", AREA, column)
        for key, label in DETECTION.items()
        if (column := _column(areas, key))
    ]


def _outcomes(hallucination: Mapping[str, Table], exposure: str) -> Markup:
    """Stacked shares of the three outcomes, a bar a policy."""
    names = [name for name, table in hallucination.items() if exposure in table]
    inks = dict(zip(OUTCOMES, ("#2f9c86", "#c9ccd1", "#b8505f"), strict=True))
    with rc_context({**figures.STYLE, "axes.grid.axis": "x"}):
        figure, axes = figures.axes(4.2, 0.9 + 0.34 * len(names))
        left = [0.0] * len(names)
        for key, label in OUTCOMES.items():
            shares = [_mean(hallucination[name][exposure].get(key)) for name in names]
            axes.barh(
                range(len(names)), shares, left=left, color=inks[key], height=0.6, label=label
            )
            left = [a + b for a, b in zip(left, shares, strict=True)]
        for row, name in enumerate(names):
            found = hallucination[name][exposure]
            if right := found.get("correct"):
                axes.plot([right.low, right.high], [row - APART, row - APART], **WHISKER)
            if wrong := found.get("wrong"):  # as its bar, from the right
                axes.plot([1 - wrong.high, 1 - wrong.low], [row + APART, row + APART], **WHISKER)
        figures.named(axes, [policy_name(name) for name in names])
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(EXPOSURES[exposure])
        axes.set_xlabel("of the answers")
        figure.legend(loc="outside lower left", ncols=3)
        told = ", ".join(
            f"{policy_name(name)} {_mean(hallucination[name][exposure].get('wrong')):.2f} made up"
            for name in names
        )
        return figures.svg(figure, f"Facts {EXPOSURES[exposure].lower()}: {told}")


def _mean(found: Estimate | None) -> float:
    return found.mean if found else 0.0


def _reliability(label: str, bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Share right against confidence, bin by bin, beside the diagonal."""
    colour = figures.colours([label])[label]
    with rc_context(figures.STYLE):
        figure, axes = figures.axes(3.4, 3.0)
        axes.plot([0, 1], [0, 1], color=figures.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        dots = [(each["confidence"], estimate(each["right"])) for each in bins]
        known = [(x, y) for x, y in dots if y is not None]
        for x, y in known:
            axes.plot([x, x], [y.low, y.high], color=colour, linewidth=1.4, alpha=0.7)
        axes.plot(
            [x for x, _ in known], [y.mean for _, y in known], "-o",
            color=colour, linewidth=1.2, markersize=4.5,
        )  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(policy_name(label))
        axes.set_xlabel("probability of the answer given")
        axes.set_ylabel("share that is right")
        return figures.svg(figure, f"Calibration of {policy_name(label)} in {len(known)} bins")


def _knows(calibration: Mapping[str, Any]) -> list[str]:
    """Who is surer than right, or less sure."""
    found = _column(calibration, "excess")
    words = {1: "surer of its answers than they deserve", -1: "less sure than it could be"}
    return [
        f"{policy_name(name)} is {words[surely(excess)]}: its probability of the answer given lies "
        f"{with_interval(excess, SHARE)} beside the share that is right."
        for name, excess in found.items()
        if surely(excess)
    ][-1:]


def _advice(hallucination: Mapping[str, Table]) -> tuple[str, ...]:
    """Where the last policy makes up most of what it was never told."""
    name = next(iter([*hallucination][::-1]), "")
    wrong = hallucination.get(name, {}).get("never", {}).get("wrong")
    if wrong is None or not wrong.low > 0.25:
        return ()
    return (
        f"{policy_name(name)} makes up {with_interval(wrong, SHARE)} of what it was never told: "
        "reward not knowing above being wrong (see heed recipes honest).",
    )
