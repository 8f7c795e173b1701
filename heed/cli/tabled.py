"""What `heed prefs` tells of labels, as tables in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from heed.feedback.quality import AnnotatorReport, agreement_report, annotator_reports
from heed.feedback.summary import Summary, beside_people, fleiss, summarise

if TYPE_CHECKING:
    from heed.stats.intervals import Estimate
    from heed.types import Annotation, Item

WIDE = 200
WORDS = {"both_bad": "both bad", "cannot_tell": "cannot tell"}


def show_counts(items: Mapping[str, Item], annotations: Sequence[Annotation]) -> None:
    """How many labels there are: their verdicts, sources and annotators."""
    found = summarise(annotations, items)
    console = _console()
    console.print(_counts(found))
    if annotations:
        console.print("", _verdicts(found), "", _sources(found), "")
        console.print(_annotators(annotator_reports(annotations, items)))


def show_agreement(items: Mapping[str, Item], annotations: Sequence[Annotation]) -> None:
    """How far annotators agree, by their sources, and machines with people."""
    console = _console()
    console.print(_agreement(items, annotations))
    if machines := beside_people(annotations):
        table = _table("beside people", "says the same", "Cohen's kappa", "people among themselves")
        for one in machines:
            name = f"{one.annotator} ({one.source or 'no source'})"
            figures = (one.with_people, one.kappa, one.among_people)
            table.add_row(_plain(name), *map(_shown, figures))
        console.print("", table)


def _console() -> Console:
    """Whole lines where nobody's window sets a width."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _table(*headers: str | Text) -> Table:
    """The first column holds names, the others figures."""
    table = Table(box=None, padding=(0, 3, 0, 0), show_header=any(headers))
    table.add_column(headers[0], overflow="fold")
    for header in headers[1:]:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _counts(found: Summary) -> Table:
    table = _table("", "")
    rows = {
        "items": f"{found.items:,}",
        "  of them gold": f"{found.gold:,}",
        "  labelled": f"{found.labelled:,}",
        "prompts": f"{found.prompts:,}",
        "labels": f"{found.labels:,}",
        "  planned repeats": f"{found.repeats:,}",
        "superseded": f"{found.revisions:,}",
        "rewrites": f"{found.rewrites:,}",
        "median seconds": _number(found.median_seconds, 1),
        "left preferred": _shown(found.left),
        "longer preferred": _shown(found.longer),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _verdicts(found: Summary) -> Table:
    table = _table("verdict", "labels", "share")
    for word, count in found.verdicts.items():
        table.add_row(WORDS.get(word, word), f"{count:,}", f"{count / found.labels:.1%}")
    return table


def _sources(found: Summary) -> Table:
    table = _table("source", "annotators", "labels")
    for source, (annotators, labels) in found.sources.items():
        table.add_row(_plain(source or "not given"), f"{annotators:,}", f"{labels:,}")
    return table


def _annotators(reports: Sequence[AnnotatorReport]) -> Table:
    headers = ("labels", "seconds", "gold", "left", "same again", "reliability", "flags")
    table = _table("annotator", *headers)
    for one in reports:
        table.add_row(
            _plain(one.annotator),
            f"{one.labels:,}",
            _number(one.median_seconds, 1),
            *(_number(figure.mean, 2) for figure in (one.gold, one.left, one.self_agreement)),
            _number(one.reliability, 2),
            ", ".join(flag.kind for flag in one.flags),
        )
    return table


def _agreement(items: Mapping[str, Item], annotations: Sequence[Annotation]) -> Table:
    """Each source's annotators among themselves, a column a source."""
    sources = sorted({one.source for one in annotations})
    table = _table("", *(_plain(source or "source not given") for source in sources))
    said = [[one for one in annotations if one.source == source] for source in sources]
    reports = [agreement_report(own, items) for own in said]
    rows = {
        "labels": [f"{one.labels:,}" for one in reports],
        "annotators": [f"{one.annotators:,}" for one in reports],
        "items of two or more labels": [f"{one.items:,}" for one in reports],
        "Krippendorff's alpha, side": [_shown(one.side) for one in reports],
        "Krippendorff's alpha, grade": [_shown(one.grade) for one in reports],
        "Fleiss' kappa, side": [_shown(fleiss(own)) for own in said],
        "two say the same": [_shown(one.pairwise) for one in reports],
        "  where both prefer a side": [_shown(one.sided) for one in reports],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _shown(figure: Estimate) -> str:
    """A figure with its interval, or a dash."""
    if math.isnan(figure.mean):
        return "-"
    return f"{figure.mean:.3f} [{_number(figure.low, 3)}, {_number(figure.high, 3)}]"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _plain(text: str) -> Text:
    """A name from a file: its brackets are no markup, what would steer the terminal is shown."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
