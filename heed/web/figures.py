"""What the owner's pages show, worked out of a project's annotations.

Bootstraps take a second on thousands of labels, so they run off the event loop, one at a time, and
are kept until an annotation or an item is added, or other labels are wanted.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from heed.data.labels import ADJUDICATION
from heed.feedback import queue
from heed.feedback.beside import beside
from heed.feedback.quality import (
    AgreementReport,
    AnnotatorReport,
    Cost,
    Disputed,
    agreement_report,
    annotator_reports,
    cost,
    disputed,
)
from heed.feedback.queue import Progress
from heed.feedback.summary import PEOPLE
from heed.stats.intervals import Estimate, mean_interval, proportion_interval
from heed.store import annotations as labels
from heed.store import items
from heed.store.projects import Project
from heed.store.schema import AnnotationRow, ItemRow, ProjectRow, SlotRow
from heed.types import Annotation, Item, Undecided, Verdict
from heed.web.access import Visit

RECENT = 200
"""The pace is that of so many labels, the last ones."""
PAUSE_SECONDS = 600.0
"""A longer gap between two labels is a pause, in which nobody labels."""
UNDECIDED: dict[Undecided, str] = {
    "tie": "Tie",
    "both_bad": "Both bad",
    "cannot_tell": "Cannot tell",
}
Part = TypeVar("Part")
State = tuple[int, ...]
"""Annotations, items and labels wanted of a project."""


@dataclass(frozen=True)
class Pace:
    """How fast labels come in while somebody labels; `hours_left` is nan without two labels.

    gap: mean seconds from one label to the next, pauses left out.
    """

    gap: Estimate
    per_hour: float
    hours_left: Estimate


@dataclass(frozen=True)
class Agreeing:
    """How far one source agrees within itself, and with people where it is not people."""

    source: str
    report: AgreementReport
    with_people: Estimate


@dataclass(frozen=True)
class Data:
    """A project as one transaction saw it, in its `state` of that moment.

    `times` are those of people's first answers to what is wanted, so gold items and repeats are
    not among them; `live` are those of all that people answered on the page.
    """

    state: State
    items: dict[str, Item]
    annotations: list[Annotation]
    times: list[datetime]
    live: list[datetime]
    progress: Progress

    @property
    def left(self) -> int:
        """Labels that are still wanted."""
        return max(0, self.progress.wanted - self.progress.done)

    @property
    def labels(self) -> list[Annotation]:
        """All but adjudications, which are about labels."""
        return [said for said in self.annotations if said.source != ADJUDICATION]

    @property
    def people(self) -> list[Annotation]:
        return [said for said in self.annotations if said.source == PEOPLE]


@dataclass(frozen=True)
class Overview:
    """The numbers of the first page. `seconds` is the mean time of a label, over annotators."""

    data: Data
    pace: Pace
    cost: Cost
    seconds: Estimate
    agreeing: list[Agreeing]
    grades: dict[int, int]
    firsts: dict[int, int]
    undecided: dict[str, tuple[int, Estimate]]


@dataclass(frozen=True)
class Crowd:
    """Everyone who labels, and how machines agree with people."""

    reports: list[AnnotatorReport]
    agreeing: list[Agreeing]


class Figures:
    """One project's figures, each worked out once for every state of the project."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._data: Data | None = None
        self._kept: dict[str, tuple[State, Any]] = {}

    async def overview(self, visit: Visit, pay_per_hour: float) -> Overview:
        data = await self._read(visit)
        agreeing = await self._part(data, "agreeing", agreement_by_source)
        return await run_in_threadpool(overview, data, agreeing, pay_per_hour)

    async def crowd(self, visit: Visit) -> Crowd:
        data = await self._read(visit)
        agreeing = await self._part(data, "agreeing", agreement_by_source)
        reports = await self._part(data, "reports", crowd_reports)
        return Crowd(reports, agreeing)

    async def disputed(self, visit: Visit) -> list[Disputed]:
        """All items that anyone disagrees on, with adjudications."""
        return await self._part(await self._read(visit), "disputed", disputed_items)

    async def _read(self, visit: Visit) -> Data:
        async with self._lock:
            if self._data is None or self._data.state != await run_in_threadpool(state, visit):
                self._data = await run_in_threadpool(read, visit)
            return self._data

    async def _part(self, data: Data, name: str, make: Callable[[Data], Part]) -> Part:
        """A part of the figures of these data, which may be of an older state than the kept one."""
        async with self._lock:
            if name not in self._kept or self._kept[name][0] != data.state:
                self._kept[name] = (data.state, await run_in_threadpool(make, data))
            part: Part = self._kept[name][1]
            return part


def state(visit: Visit) -> State:
    """What changes whenever a figure may: rows are only ever added."""
    with visit.read() as (session, project):
        return _state(session, project)


def _state(session: Session, project: Project) -> State:
    said = (
        select(func.count())
        .select_from(AnnotationRow)
        .join(SlotRow, SlotRow.id == AnnotationRow.slot_id)
        .where(SlotRow.project_id == project.id)
    )
    asked = select(func.count()).where(ItemRow.project_id == project.id)
    wanted = select(ProjectRow.wanted).where(ProjectRow.id == project.id)
    return tuple(session.scalar(each) or 0 for each in (said, asked, wanted))


def read(visit: Visit) -> Data:
    """Everything the figures need."""
    with visit.read() as (session, project):
        # Before the rest: what comes in meanwhile makes the data newer than their state, and they
        # are read again, never older.
        state = _state(session, project)
        first = session.execute(
            select(AnnotationRow.created, AnnotationRow.key, SlotRow.kind)
            .join(SlotRow, SlotRow.id == AnnotationRow.slot_id)
            .where(
                SlotRow.project_id == project.id,
                AnnotationRow.revision == 0,
                AnnotationRow.source == PEOPLE,
            )
            .order_by(AnnotationRow.created)
        ).all()
        return Data(
            state,
            {item.id: item for item in items.read_all(session, project.id)},
            labels.read_all(session, project.id),
            [row.created for row in first if row.kind == "wanted"],
            [row.created for row in first if row.key is not None],
            queue.progress(session, project, visit.member.id),
        )


def overview(data: Data, agreeing: list[Agreeing], pay_per_hour: float) -> Overview:
    """The first page's numbers, the agreement aside all cheap."""
    people = data.people
    timed = [said for said in people if said.seconds > 0]
    verdicts: Counter[Verdict] = Counter(said.verdict for said in people)
    # Gold items and repeats come on top of what is wanted, at the rate they came so far.
    done = data.progress.done
    expected = round(data.left * len(people) / done) if done else data.left
    ranked = [said.verdict for said in people if isinstance(said.verdict, tuple)]
    return Overview(
        data,
        pace(data.live, expected),
        cost(people, expected, pay_per_hour),
        mean_interval([said.seconds for said in timed], [said.annotator for said in timed]),
        agreeing,
        {grade: verdicts[grade] for grade in range(1, 9)},
        _firsts(ranked),
        {
            words: (verdicts[kind], _share([said.verdict == kind for said in people], people))
            for kind, words in UNDECIDED.items()
        },
    )


def _firsts(ranked: Sequence[tuple[int, ...]]) -> dict[int, int]:
    """How often each place on the page was ranked first and alone, also those that never were;
    nothing where none was.
    """
    places = Counter(ranks.index(1) + 1 for ranks in ranked if ranks.count(1) == 1)
    longest = max(map(len, ranked), default=0)
    return {place: places[place] for place in range(1, longest + 1)} if places else {}


def pace(times: Sequence[datetime], left: int) -> Pace:
    """From the last labels' gaps to the hours that `left` more will take."""
    recent = sorted(times)[-RECENT:]
    gaps = [(late - early).total_seconds() for early, late in pairwise(recent)]
    gap = mean_interval([seconds for seconds in gaps if seconds <= PAUSE_SECONDS])
    hours = Estimate(
        gap.mean * left / 3600, max(0.0, gap.low) * left / 3600, gap.high * left / 3600, gap.n
    )
    return Pace(gap, 3600 / gap.mean if gap.mean > 0 else math.nan, hours)


def agreement_by_source(data: Data) -> list[Agreeing]:
    """Every source's agreement within itself and with people; people first."""
    by_source: dict[str, list[Annotation]] = {}
    for said in data.labels:
        by_source.setdefault(said.source, []).append(said)
    people = by_source.get(PEOPLE, [])
    return [
        Agreeing(
            source,
            agreement_report(by_source[source], data.items),
            beside(by_source[source] if source != PEOPLE else [], people).with_people,
        )
        for source in sorted(by_source, key=lambda source: (source != PEOPLE, source))
    ]


def crowd_reports(data: Data) -> list[AnnotatorReport]:
    """Every annotator's report; machines are not held to the speed of people."""
    untimed = [
        said if said.source == PEOPLE else replace(said, seconds=0.0) for said in data.labels
    ]
    machines: dict[str, list[float]] = {}
    for said in data.labels:
        if said.source != PEOPLE and said.seconds > 0:
            machines.setdefault(said.annotator, []).append(said.seconds)
    return [
        replace(report, median_seconds=median(machines[report.annotator]))
        if report.annotator in machines
        else report
        for report in annotator_reports(untimed, data.items)
    ]


def disputed_items(data: Data) -> list[Disputed]:
    """Items that annotators disagree on, the most disputed first, adjudications added."""
    decided: dict[str, list[Annotation]] = {}
    for said in data.annotations:
        if said.source == ADJUDICATION:
            decided.setdefault(said.item, []).append(said)
    return [
        Disputed(each.item, (*each.annotations, *decided.get(each.item.id, [])), each.disagreement)
        for each in disputed(data.labels, data.items, n=len(data.items))
        if each.disagreement > 0
    ]


def _share(hits: Sequence[bool], people: Sequence[Annotation]) -> Estimate:
    """A share with its interval, a person's verdicts being no independent evidence."""
    return proportion_interval([float(hit) for hit in hits], [said.annotator for said in people])
