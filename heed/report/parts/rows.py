"""Rows of the page's tables of policies side by side (`parts/tables.html: table`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heed.report.estimates import Table
from heed.report.measures import Measure, measure_of
from heed.stats.intervals import Estimate

Row = tuple[str, str, Measure, Mapping[str, Estimate]] | str
"""(label, aside, measure, policy -> estimate); a text alone stands over a group of rows."""
DIRECTIONS = {1: "more is better", -1: "less is better"}


def column(table: Table, key: str) -> dict[str, Estimate]:
    """One measure of a table, by policy."""
    return {name: row[key] for name, row in table.items() if key in row}


def row(what: Measure, found: Mapping[str, Estimate]) -> Row:
    """A measure's row: its name, and aside its unit, its meaning and which way is better."""
    aside = "; ".join(filter(None, (what.unit, what.meaning, DIRECTIONS.get(what.better))))
    return what.label, aside, what, found


def rows(table: Table, measures: Mapping[str, Measure]) -> list[Row]:
    """A row a measure."""
    return [row(what, column(table, key)) for key, what in measures.items()]


def by_family(
    families: Mapping[str, Table], key: str, what: Measure, names: Iterable[str] | None = None
) -> list[Row]:
    """A row a family of prompts: one measure of every policy there."""
    found = dict.fromkeys(family for table in families.values() for family in table)
    return [
        (family.replace("_", " "), "", what, within(families, family, key))
        for family in (found if names is None else names)
    ]


def within(tables: Mapping[str, Table], part: str, key: str) -> dict[str, Estimate]:
    """One measure in one part (a family, an exposure), by policy."""
    return {name: t[part][key] for name, t in tables.items() if key in t.get(part, {})}


def grouped(
    tables: Mapping[str, Table], parts: Mapping[str, str], keys: Mapping[str, str], what: Measure
) -> list[Row]:
    """A group of rows a part, a row an outcome in it; both are given with their names."""
    found: list[Row] = []
    for part, title in parts.items():
        found.append(title)
        found += [(label, "", what, within(tables, part, key)) for key, label in keys.items()]
    return found


def known(names: Iterable[str], measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """The measures of these names; an unknown one is called by its key."""
    return {name: measures.get(name) or measure_of(name) for name in names}
