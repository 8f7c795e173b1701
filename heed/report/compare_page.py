"""A comparison that stands alone becomes one self-contained page, beside its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heed.files import write_json, write_text
from heed.report.paper import fill
from heed.report.parts.compare import told, values


def write_comparison(
    directory: Path, found: Mapping[str, Any], title: str, notes: Sequence[str] = ()
) -> Path:
    """Write compare.json and compare.html into a directory.

    Args:
        directory: made where it is missing.
        found: what `evaluation.compared.compared` gives.
        title: of the page.
        notes: what a reader has to know beside the figures.

    Returns:
        the path of compare.html.
    """
    write_json(directory / "compare.json", {**found, "notes": list(notes)})
    findings, advice = told(found)
    path = directory / "compare.html"
    write_text(
        path,
        fill(
            "compare_page.html",
            title=title,
            lead=" ".join(findings) or "Too little to say who is better.",
            notes=list(notes),
            advice=advice,
            comparisons=[values(found)],
        ),
    )
    return path
