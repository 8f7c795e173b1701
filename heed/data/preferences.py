"""Preferences from outside: read, told apart from what is there already, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from heed.data.entries import IMPORTED, Aside, Entry, Found, Reading, content
from heed.data.formats import FORMATS, named, recognise
from heed.data.rows import BadRow, Row, RowError
from heed.data.tables import length, read_rows
from heed.errors import UserError
from heed.types import Annotation, Demonstration, Item, Judged, Unpaired, Verdict

Key = tuple[str, str, int, int]
LOOKED_AT = 20
"""Rows by whose columns a file's format is told."""


@dataclass
class Gathering:
    """Items and annotations without repeats, beside those that were there before.

    check: raises ValueError where an item with its new annotations cannot be kept.
    items, annotations: what is new, in the order it came. known: rows that add nothing to what
    was there before; duplicates: rows that repeat an earlier row of the file, sides swapped or
    not; alike: items kept under an id of their own though another has the same prompt and answers;
    repeats: annotations that say more than the same annotator's earlier one, or something else;
    contradictory: those of them that prefer otherwise. weighted: rows whose column `weight` is not
    1, which an annotation does not hold. set_aside, aside: rows without a comparison, counted by
    reason and themselves.
    """

    check: Callable[[Item, Sequence[Annotation]], None] = lambda *_: None
    items: list[Item] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    demonstrations: list[Demonstration] = field(default_factory=list)
    unpaired: list[Unpaired] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    known: int = 0
    duplicates: int = 0
    alike: int = 0
    repeats: int = 0
    contradictory: int = 0
    weighted: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    aside: list[BadRow] = field(default_factory=list)
    errors: list[BadRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._by_id: dict[str, Item] = {}
        self._by_content: dict[str, str] = {}
        self._said: dict[Key, Annotation] = {}
        self._occasions: dict[tuple[str, str], list[Annotation]] = {}
        self._before: set[str] = set()
        self._said_before: set[Key] = set()

    def start_from(self, items: Sequence[Item], annotations: Sequence[Annotation]) -> None:
        """Take in what is there already."""
        for item in items:
            self._by_id[item.id] = item
            self._by_content.setdefault(content(item), item.id)
            self._before.add(item.id)
        for annotation in annotations:
            self._remember(annotation)
            self._said_before.add(key(annotation))

    def add(self, found: Found) -> None:
        """Take in what a row says; a row that contradicts what is there becomes an error."""
        if isinstance(found, BadRow):
            self.errors.append(found)
        elif isinstance(found, Aside):
            self.set_aside[found.reason] += 1
            self.aside.append(found.row.bad(found.reason))
        elif isinstance(found, Demonstration):
            self.demonstrations.append(found)
        elif isinstance(found, Unpaired):
            self.unpaired.append(found)
        elif isinstance(found, Judged):
            self.judged.append(found)
        else:
            try:
                self._add(found)
            except ValueError as error:
                self.errors.append(found.row.bad(str(error)))

    def _add(self, entry: Entry) -> None:
        same = content(entry.item)
        there = self._there(entry.item, same)
        item = there or entry.item
        if not item.id:
            item = replace(item, id=f"h-{same}")
        places = _places(entry.item, item)
        said = [
            replace(one, item=item.id, order=tuple(places[place] for place in one.order))
            for one in entry.annotations
        ]
        new = [one for one in map(self._keyed if entry.keyed else self._free, said) if one]
        self.check(item, new)
        if there is None:
            self._take(item, same)
        elif not new:
            old = all(key(one) in self._said_before for one in map(self._spoken, said) if one)
            if item.id in self._before and old:
                self.known += 1
            else:
                self.duplicates += 1
        for one in new:
            if not entry.keyed:
                self._count_repeat(one)
            self.annotations.append(one)
            self._remember(one)

    def _there(self, item: Item, same: str) -> Item | None:
        """The item that this one is. Raises RowError where it is that one, but otherwise."""
        id = item.id or self._by_content.get(same, "")
        there = self._by_id.get(id)
        if there is None:
            return None
        if item.id and content(there) != same:
            raise RowError(f"the id {id!r} belongs to another prompt or other answers")
        placed = _placed(item, _places(item, there))
        if item.known is not None and placed.known != there.known:
            raise RowError(f"the item {id!r} is there already, its known verdict {there.known!r}")
        if item.id and item.models and there.models and placed.models != there.models:
            raise RowError(f"the item {id!r} is there already, of the models {there.models}")
        return there

    def _take(self, item: Item, same: str) -> None:
        self.alike += same in self._by_content
        self._by_content.setdefault(same, item.id)
        self._by_id[item.id] = item
        self.items.append(item)

    def _remember(self, annotation: Annotation) -> None:
        self._said[key(annotation)] = annotation
        said = self._occasions.setdefault((annotation.item, annotation.annotator), [])
        said.append(annotation)

    def _keyed(self, annotation: Annotation) -> Annotation | None:
        """The annotation, or None where it is there already."""
        there = self._said.get(key(annotation))
        if there is None:
            return annotation
        if there != annotation:
            raise RowError(
                f"{annotation.annotator!r} is on record with another verdict on "
                f"{annotation.item!r} at occasion {annotation.occasion}"
            )
        return None

    def _free(self, annotation: Annotation) -> Annotation | None:
        """The annotation at its annotator's next occasion, or None where it repeats one."""
        if self._spoken(annotation):
            return None
        earlier = self._occasions.get((annotation.item, annotation.annotator), [])
        occasion = max((one.occasion for one in earlier), default=-1) + 1
        return replace(annotation, occasion=occasion)

    def _count_repeat(self, annotation: Annotation) -> None:
        earlier = self._occasions.get((annotation.item, annotation.annotator), [])
        self.repeats += bool(earlier)
        self.contradictory += any(_verdict(annotation) != _verdict(one) for one in earlier)

    def _spoken(self, annotation: Annotation) -> Annotation | None:
        """The same annotator's annotation of the same item, to which this one adds nothing."""
        for one in self._occasions.get((annotation.item, annotation.annotator), []):
            if _adds_nothing(annotation, one):
                return one
        return None


def key(annotation: Annotation) -> Key:
    """Who said it of what, at which occasion, in which revision."""
    return (annotation.item, annotation.annotator, annotation.occasion, annotation.revision)


def _adds_nothing(new: Annotation, old: Annotation) -> bool:
    """Whether both say the same, whichever way round the answers were shown, and the new one
    gives no detail that the old one lacks.
    """
    details = zip(_details(new), _details(old), strict=True)
    same = _verdict(new) == _verdict(old)
    return same and all(detail in ("", there) for detail, there in details)


def _verdict(annotation: Annotation) -> tuple[tuple[int, ...] | None, str]:
    """What is said, without strength, in the item's own order of answers."""
    return annotation.ranks, annotation.verdict if isinstance(annotation.verdict, str) else ""


def _details(annotation: Annotation) -> tuple[str, str, str]:
    verdict = annotation.verdict
    strength = str(min(verdict, 9 - verdict)) if isinstance(verdict, int) else ""
    return (strength, annotation.rewrite, annotation.comment)


def _places(item: Item, there: Item) -> tuple[int, ...]:
    """Where each answer of `item` stands in `there`, which has the same ones."""
    free = list(range(len(there.answers)))
    places = []
    for answer in item.answers:
        place = next(place for place in free if there.answers[place] == answer)
        free.remove(place)
        places.append(place)
    return tuple(places)


def _placed(item: Item, places: tuple[int, ...]) -> Item:
    """The item with each answer, its model and the known verdict moved to its place."""
    back = sorted(range(len(places)), key=places.__getitem__)
    known: Verdict | None = item.known
    if isinstance(known, tuple):
        known = tuple(known[place] for place in back)
    elif isinstance(known, int) and places == (1, 0):
        known = 9 - known
    models = tuple(item.models[place] for place in back) if item.models else ()
    return replace(
        item, answers=tuple(item.answers[place] for place in back), models=models, known=known
    )


def read_preferences(
    source: str | Path,
    *,
    format: str | None = None,
    annotator: str = IMPORTED,
    companions: Sequence[Path] = (),
    into: Gathering | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[str, Gathering]:
    """The format of a file, and what it holds. Rows that cannot be used stand in `errors`.

    Args:
        source: a file, a directory that `datasets` saved, or a data set's name on the hub.
        format: one of `FORMATS`; told by the columns where it is left out.
        annotator: whose verdicts those are that the file ascribes to nobody.
        companions: files that belong to it, where the format has any.
        into: what was there before.
        progress: hears how many rows (or lines) were read, and of how many; 0: not known.

    Raises:
        UserError: there is no such file, it is broken as a whole, empty, or of unknown columns;
            or its format has no companions, but some are named.
    """
    gathering = into or Gathering()
    name, rows = found_in(
        source, gathering, format=format, annotator=annotator, companions=companions,
        progress=progress,
    )  # fmt: skip
    for found in rows:
        gathering.add(found)
    return name, gathering


def found_in(
    source: str | Path,
    gathering: Gathering,
    *,
    format: str | None = None,
    annotator: str = IMPORTED,
    companions: Sequence[Path] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
    to_train: bool = False,
    most: int | None = None,
) -> tuple[str, Iterator[Found]]:
    """The format of a file, and what its rows say, one by one, for who looks at each before
    `gathering` takes it; rows of no form at all it has already in its `errors`.

    `to_train`: as training records, in which answers that are labelled one by one stay so.
    `most`: so many rows at most.

    Raises UserError as `read_preferences`.
    """
    first, rows = _peek(source)
    name = format or recognise(first)
    if companions and not named(name).companions:
        raise UserError(
            f"{source} is read as {name!r}, a format that no other file belongs to: leave out "
            f"{', '.join(str(file) for file in companions)}."
        )
    reading = Reading(Path(source), annotator, tuple(companions), to_train)
    read = (named(name).alone if to_train else None) or named(name).read
    good = _good(islice(rows, most), gathering, progress, length(source))
    return name, (
        _of_another_shape(found, name) if isinstance(found, BadRow) else found
        for found in read(good, reading)
    )


def _peek(source: str | Path) -> tuple[list[Row], Iterator[Row | BadRow]]:
    """The first rows that can be read, to tell the format by, and all rows from the first on."""
    rows = read_rows(source)
    bad: BadRow | None = None
    first: list[Row | BadRow] = []
    good: list[Row] = []
    for row in rows:
        first.append(row)
        if isinstance(row, Row):
            good.append(row)
        else:
            bad = bad or row
        if good and len(first) >= LOOKED_AT:
            break
    if good:
        return good, chain(first, rows)
    if bad is None:
        raise UserError(f"{source} holds no rows.")
    raise UserError(f"{bad.place}: {bad.why}. Not one row of the file can be read.")


def _good(
    rows: Iterator[Row | BadRow],
    gathering: Gathering,
    progress: Callable[[int, int], None],
    total: int,
) -> Iterator[Row]:
    for count, row in enumerate(rows, start=1):
        progress(row.number if total else count, total)
        if isinstance(row, Row):
            gathering.weighted += _is_weighted(row)
            yield row
        else:
            gathering.errors.append(row)


def _is_weighted(row: Row) -> bool:
    """Whether the row counts for more or less than one label."""
    return row.values.get("weight") not in (None, "") and not _is_one(row.values["weight"])


def _is_one(weight: object) -> bool:
    try:
        return float(str(weight)) == 1.0
    except ValueError:
        return False


def _of_another_shape(bad: BadRow, name: str) -> BadRow:
    """The bad row; one that does not look like the format at all says so."""
    if not isinstance(bad.row, dict) or FORMATS[name].fits(bad.row):
        return bad
    columns = ", ".join(bad.row) or "none"
    return replace(
        bad,
        why=f"{bad.why}; the file is read as {name!r} ({FORMATS[name].accepts}), but this row's "
        f"columns are {columns}",
    )


__all__ = ["FORMATS", "Gathering", "read_preferences"]
