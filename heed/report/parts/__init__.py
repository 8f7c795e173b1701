"""The parts of the page that stages and measures bring along, in the order of the page."""

from __future__ import annotations

from heed.report.part import ReadPart
from heed.report.parts import costs, gates, hallucination, turns, values

PARTS: tuple[ReadPart, ...] = (
    turns.read,
    values.read,
    costs.read,
    gates.read,
    hallucination.read,
)
