"""The parts of the page that stages and measures bring along, in the order of the page."""

from __future__ import annotations

from heed.report.part import ReadPart
from heed.report.parts import costs, gates, hallucination, overoptimisation, values

PARTS: tuple[ReadPart, ...] = (
    values.read,
    costs.read,
    overoptimisation.read,
    gates.read,
    hallucination.read,
)
