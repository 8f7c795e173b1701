"""Preferences from a file into a project: all of them in one transaction, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from heed.data.aside import SHOWN, write_rejected
from heed.data.entries import IMPORTED
from heed.data.preferences import Gathering, read_preferences
from heed.data.rows import BadRow
from heed.errors import UserError
from heed.store import annotations as labels
from heed.store import items, limits, members, projects, replies
from heed.store.database import Store
from heed.store.items import Added
from heed.types import Annotation, Item

CHUNK = 20_000
MOST_ANSWERS = 9
"""An item's: the keys 1-9 rank them."""

Record = TypeVar("Record", Item, Annotation)
Progress = Callable[[str, int, int], None]
"""Hears what is being done, how far it is, and of how many (0: nobody knows)."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought.

    items, annotations: new ones. known: rows that were there before. duplicates: rows that repeat
    an earlier one of the file, also with the answers the other way round. alike: new items that
    keep an id of their own though another has the same prompt and answers. repeats: verdicts of an
    annotator who had said less, or something else, of the same item; contradictory: those of them
    that prefer otherwise. weighted: rows with a weight other than 1, which a label does not hold.
    opinions: new thumbs on a server's replies.
    set_aside: well-formed rows without a comparison, by reason. errors: place and reason of each
    row that cannot be used. The rows of these two stand in `kept_aside`.
    """

    format: str
    items: int
    annotations: int
    known: int = 0
    duplicates: int = 0
    alike: int = 0
    repeats: int = 0
    contradictory: int = 0
    weighted: int = 0
    opinions: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)
    errors: tuple[tuple[str, str], ...] = ()
    kept_aside: Path | None = None

    def __str__(self) -> str:
        counts = {
            "rows that were there before": self.known,
            "duplicates": self.duplicates,
            "items like another under an id of their own": self.alike,
            "verdicts beside an earlier one of the same annotator": self.repeats,
            **self.set_aside,
            "rows in error": len(self.errors),
        }
        thumbs = f"; thumbs: {self.opinions:,}" if self.opinions else ""
        told = [f"{what}: {count:,}" for what, count in counts.items() if count]
        line = f"Imported ({self.format}): items: {self.items:,}; annotations: {self.annotations:,}"
        line += thumbs
        aside = f" The rows left out stand in {self.kept_aside}." if self.kept_aside else ""
        return f"{'; '.join([line, *told])}.{aside}"

    @property
    def warnings(self) -> list[str]:
        """What the labels do not hold, or hold otherwise than the file may have meant."""
        lost = {
            f"{self.weighted:,} rows carry a weight other than 1, which a label does not hold: "
            "each counts in full. Only the format heed brings a project back as it was.": (
                self.weighted
            ),
            f"{self.contradictory:,} verdicts contradict an earlier one of the same annotator on "
            "the same answers. All are kept; the first is the one that training sets hold, the "
            "others count as repeats.": self.contradictory,
        }
        return [sentence for sentence, count in lost.items() if count]


def import_file(
    store: Store,
    project: str,
    path: str | Path,
    *,
    format: str | None = None,
    annotator: str = IMPORTED,
    companions: Sequence[Path] = (),
    keep_good: bool = False,
    progress: Progress = lambda *_: None,
) -> ImportReport:
    """Add what a file holds to the project of this name, which is made if it is not there.

    Rows without a comparison, or that cannot be used, go with line and reason to
    `NAME.rejected.jsonl` beside the file, or where nobody may write there into the working
    directory. The same file again changes nothing.

    Args:
        store: the preference store.
        project: the name of a project in it, or of a new one.
        path: a file, a directory that `datasets` saved, or a data set's name on the hub.
        format: one of `heed.data.formats.FORMATS`; told by the columns if left out.
        annotator: whose verdicts those are that the file ascribes to nobody.
        companions: files that belong to it, such as llmfao's texts.
        keep_good: import the good rows though there are bad ones.
        progress: hears how far it is.

    Raises:
        UserError: the file cannot be read, or holds no comparisons, or rows that cannot be used
            (without `keep_good`). Nothing is imported then.
    """
    with store.read() as session:
        gathering = Gathering(check=_Keeper.of(members.listing(session)))
        there = projects.find(session, project)
        if there is not None:
            gathering.start_from(
                items.read_all(session, there.id),
                labels.read_all(session, there.id, history=True),
            )
    name, _ = read_preferences(
        path, format=format, annotator=annotator, companions=companions, into=gathering,
        progress=lambda done, total: progress("read", done, total),
    )  # fmt: skip
    aside = _keep_aside(path, [*gathering.errors, *gathering.aside])
    _check(path, gathering, aside, keep_good)
    thumbs = _store(store, project, path, gathering, progress)
    return _report(name, gathering, thumbs, aside)


def _check(path: str | Path, gathering: Gathering, aside: Path | None, keep_good: bool) -> None:
    """Raise UserError where nothing may be imported, or nothing is there to be."""
    if gathering.errors and not keep_good:
        raise UserError(_refusal(gathering.errors, aside))
    if gathering.demonstrations:
        raise UserError(
            f"{path} holds {len(gathering.demonstrations):,} demonstrations (single answers); a "
            "project holds comparisons of two or more. Train on demonstrations with the stage sft."
        )
    found = (gathering.items, gathering.annotations, gathering.judged)
    if not (any(found) or gathering.known or gathering.duplicates):
        raise UserError(f"{path} holds no comparison: {_reasons(gathering, aside)}.")


def _report(name: str, gathering: Gathering, thumbs: Added, aside: Path | None) -> ImportReport:
    return ImportReport(
        name, len(gathering.items), len(gathering.annotations), gathering.known + thumbs.known,
        gathering.duplicates, gathering.alike, gathering.repeats, gathering.contradictory,
        gathering.weighted, thumbs.added, dict(gathering.set_aside),
        tuple((row.place, row.why) for row in gathering.errors), aside,
    )  # fmt: skip


def _store(store: Store, name: str, path: str | Path, new: Gathering, progress: Progress) -> Added:
    """Everything in one transaction; thumbs that were new, and replies that brought none."""
    total = len(new.items) + len(new.annotations) + len(new.judged)
    try:
        with store.write() as session:
            project = projects.find(session, name) or projects.create(session, name)
            done = 0
            for some in _chunks(new.items):
                items.add(session, project.id, some)
                done += len(some)
                progress("store", done, total)
            for said in _chunks(new.annotations):
                labels.add(session, project.id, said)
                done += len(said)
                progress("store", done, total)
            thumbs = replies.take_in(session, project.id, new.judged)
            progress("store", total, total)
            return thumbs
    except ValueError as error:
        raise UserError(f"{path}: {error}. Nothing was imported.") from error


def _chunks(records: Sequence[Record]) -> list[Sequence[Record]]:
    return [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]


@dataclass
class _Keeper:
    """Raises ValueError where the store would refuse an item or what is said of it.

    sources: of the annotators known so far, in the store and in the file; each has one.
    """

    sources: dict[str, str]

    @classmethod
    def of(cls, there: Sequence[members.Member]) -> Self:
        return cls({member.name: member.source for member in there})

    def __call__(self, item: Item, said: Sequence[Annotation]) -> None:
        _storable(item, said)
        told: dict[str, str] = {}
        for one in said:
            known = self.sources.get(one.annotator, told.setdefault(one.annotator, one.source))
            if one.source and known and one.source != known:
                raise ValueError(
                    f"{one.annotator!r} is known as source {known!r}, this row says "
                    f"{one.source!r}: write {known!r} in its column source, or give another name"
                )
        for name, source in told.items():
            self.sources.setdefault(name, source)


def _storable(item: Item, said: Sequence[Annotation]) -> None:
    """Raise ValueError where answers are too many to rank, or a text is longer than the store
    takes.
    """
    if len(item.answers) > MOST_ANSWERS:
        raise ValueError(
            f"{len(item.answers)} answers: people rank {MOST_ANSWERS} at most, by the keys "
            f"1-{MOST_ANSWERS}; leave some out"
        )
    limits.checked(item.id, "the item's id", limits.ITEM_ID)
    limits.checked(item.prompt.family, "the family", limits.LABEL)
    limits.checked(item.prompt.id, "the prompt's id", limits.MESSAGE)
    for message in item.prompt.messages:
        limits.checked(message.content, "a message", limits.MESSAGE)
    for answer in item.answers:
        limits.checked(answer, "an answer", limits.ANSWER)
    for model in item.models:
        limits.checked(model, "a model's name", limits.LABEL)
    for one in said:
        labels.checked_annotation(one)


def _keep_aside(path: str | Path, left_out: Sequence[BadRow]) -> Path | None:
    """The rows that bring nothing, as JSON lines with line and reason; no file for none."""
    if not left_out:
        return None
    file = Path(path)
    beside = file.parent if file.exists() and os.access(file.parent, os.W_OK) else Path()
    aside = beside / f"{file.name}.rejected.jsonl"
    write_rejected(aside, left_out)
    return aside


def _refusal(errors: Sequence[BadRow], aside: Path | None) -> str:
    shown = "; ".join(f"{row.place}: {row.why}" for row in errors[:SHOWN])
    more = f"; and {len(errors) - SHOWN:,} more" if len(errors) > SHOWN else ""
    return (
        f"{len(errors):,} {'row' if len(errors) == 1 else 'rows'} cannot be used: {shown}{more}. "
        f"Nothing was imported; the rows and reasons stand in {aside}. Repair them, or import the "
        "others with --keep-good."
    )


def _reasons(gathering: Gathering, aside: Path | None) -> str:
    reasons = [f"{count:,} {reason}" for reason, count in gathering.set_aside.items()]
    reasons += [f"{len(gathering.errors):,} rows in error"] if gathering.errors else []
    kept = f"; the rows stand in {aside}" if aside else ""
    return (", ".join(reasons) or "no rows") + kept
