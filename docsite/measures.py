"""The page of measures and metrics, from what the report calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heed.report.measures import COST, METRICS, QUALITY, Measure

HEAD = """\
# Measures and metrics

What a run writes down, under which name and in which unit. The names are those of `report.json` and
`metrics.jsonl`. This page is made from the table that the report itself uses.

An evaluation's measures have a 95% interval, clustered by prompt: several answers to one prompt are
not independent. A share stands in files as a number from 0 to 1, and in the report in percent.

"""
BETTER = {1: "more is better", -1: "less is better"}


def measures() -> str:
    """The whole page."""
    return HEAD + "\n".join(_page())


def _page() -> Iterator[str]:
    yield "## What answers are worth\n\n" + _table(QUALITY)
    yield "## What they cost\n\n" + _table(COST)
    yield (
        "## While it trains\n\nOne row an iteration in `metrics.jsonl`, and the seconds in "
        "`timing.jsonl`.\n\n" + _table(METRICS)
    )


def _table(found: Mapping[str, Measure]) -> str:
    rows = [f"| `{name}` | {_label(each)} | {_note(each)} |" for name, each in found.items()]
    return "| Name | What | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _label(measure: Measure) -> str:
    unit = "share" if measure.share else measure.unit
    return f"{measure.label} ({unit})" if unit else measure.label


def _note(measure: Measure) -> str:
    return "; ".join(filter(None, (measure.meaning, BETTER.get(measure.better, ""))))
