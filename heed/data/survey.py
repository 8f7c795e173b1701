"""What a person's data hold, before anything is trained on them: every record, and every row that
is none.

The stage `records` trains on what is announced here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from heed.data.comparisons import comparisons, undesirable
from heed.data.entries import IMPORTED
from heed.data.labels import training_votes
from heed.data.preferences import Gathering, read_preferences
from heed.data.rows import BadRow
from heed.types import Comparison, Demonstration, Unpaired

Progress = Callable[[str, int, int], None]
"""Hears which source is read, how many rows (or lines) of it were, and of how many (0: unknown)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in some sources.

    formats: by file or data set, the format it was read in (one of `formats.FORMATS`).
    rows: all there are, those that hold nothing and those that cannot be read among them.
    comparisons, unpaired, demonstrations: what can be trained on, each once; `prompt.split` is
    "heldout" where the data say so themselves.
    ties: verdicts that prefer neither answer; they make no comparison.
    duplicates: rows that say what an earlier one said. contradictory: rows in which the same
    annotator (or nobody) says otherwise than before, of which the first stands.
    set_aside: other rows that hold nothing to train on, by reason.
    broken: rows that cannot be used, each with its place and what is wrong.
    """

    sources: tuple[str, ...]
    formats: Mapping[str, str]
    rows: int
    comparisons: tuple[Comparison, ...]
    unpaired: tuple[Unpaired, ...]
    demonstrations: tuple[Demonstration, ...]
    ties: int
    duplicates: int
    contradictory: int
    set_aside: Mapping[str, int]
    broken: tuple[BadRow, ...]


def survey(sources: Sequence[str], *, progress: Progress = lambda *_: None) -> Survey:
    """Read files, directories and data sets by name, each in the format its columns tell.

    Raises:
        UserError: a source does not exist, is broken as a whole, empty, or of unknown columns.
            Single rows that are broken stand in `broken`.
    """
    gathering, formats, rows = Gathering(), dict[str, str](), 0
    for source in sources:
        count = 0

        def heard(done: int, total: int, source: str = source) -> None:
            nonlocal count
            count += 1
            progress(source, done, total)

        formats[source], _ = read_preferences(source, into=gathering, progress=heard, to_train=True)
        rows += count
    items = {item.id: item for item in gathering.items}
    votes = training_votes(gathering.annotations, items, split="all")
    said = Counter(each.verdict for each in votes.labels if isinstance(each.verdict, str))
    return Survey(
        sources=tuple(sources),
        formats=formats,
        rows=rows,
        comparisons=tuple(map(_unsigned, comparisons(votes.labels, items))),
        unpaired=(*gathering.unpaired, *undesirable(votes.labels, items)),
        demonstrations=tuple(gathering.demonstrations),
        ties=said["tie"],
        duplicates=gathering.duplicates,
        contradictory=gathering.contradictory,
        set_aside=dict(sorted(gathering.set_aside.items())),
        broken=tuple(gathering.errors),
    )


def _unsigned(comparison: Comparison) -> Comparison:
    """Without the name that an import gives to what nobody signed."""
    if IMPORTED not in (comparison.annotator, comparison.source):
        return comparison
    names = (comparison.annotator, comparison.source)
    annotator, source = ("" if name == IMPORTED else name for name in names)
    return replace(comparison, annotator=annotator, source=source)


def describe(survey: Survey) -> list[str]:
    """What was found, in lines for a person."""
    formats = ", ".join(sorted(set(survey.formats.values())))
    lines = [
        f"{survey.rows:,} rows ({formats}): {len(survey.comparisons):,} comparisons, "
        f"{len(survey.unpaired):,} answers labelled by themselves, "
        f"{len(survey.demonstrations):,} demonstrations."
    ]
    counts = {
        "ties": survey.ties,
        "duplicates": survey.duplicates,
        "contradictory": survey.contradictory,
        **survey.set_aside,
        "broken": len(survey.broken),
    }
    left_out = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return [*lines, *([f"Left out: {left_out}."] if left_out else [])]
