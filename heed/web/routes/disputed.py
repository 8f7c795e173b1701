"""What annotators disagree on most, and the verdict of whoever looked again.

An adjudication is an annotation with the source "adjudication" by a name of its own, so that a
reviewer who labelled the item before does not overwrite that label. Adjudicating again adds a
revision. In a training export it stands in place of the item's other labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from heed.data.labels import ADJUDICATION
from heed.feedback.quality import Disputed
from heed.store import annotations as labels
from heed.store import guidelines, items
from heed.store.members import Member
from heed.store.projects import Project
from heed.types import Annotation, Item, Verdict
from heed.web import wording
from heed.web.access import ByReviewer
from heed.web.aliases import alias
from heed.web.errors import Refused
from heed.web.pages import render
from heed.web.routes.label import Text
from heed.web.routes.owner import InFigures

router = APIRouter()
SHOWN = 20
CHOICES: dict[str, Verdict] = {
    **{str(grade): grade for grade in range(1, 9)},
    "tie": "tie",
    "both_bad": "both_bad",
    "cannot_tell": "cannot_tell",
}
"""The verdicts of the form; a ranking comes as one rank an answer instead."""
RANKING = "ranking"
"""What the form says for "as ranked here"."""


@dataclass(frozen=True)
class Part:
    """The items of a longer list that one page shows, and where its neighbours start."""

    items: list[Disputed]
    start: int
    total: int

    @property
    def end(self) -> int:
        return self.start + len(self.items)

    @property
    def before(self) -> int:
        return max(0, self.start - SHOWN)


@router.get("/owner/disputed")
async def page(
    request: Request,
    visit: ByReviewer,
    figures: InFigures,
    start: Annotated[int, Query(alias="from", ge=0)] = 0,
    settled: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The most disputed items that nobody has adjudicated, then those that somebody has.

    So many of the former come before those shown as `start` says, of the latter as `settled`.
    """
    found = await figures.disputed(visit)
    return render(
        request, visit, "disputed.html", words=wording, choices=CHOICES, source=ADJUDICATION,
        waiting=_part([each for each in found if not _decisions(each)], start),
        decided=_part([each for each in found if _decisions(each)], settled), ranking=RANKING,
    )  # fmt: skip


@router.post("/owner/disputed/{item:path}/adjudicate")
def adjudicate(
    visit: ByReviewer,
    item: Annotated[str, Path(min_length=1)],
    verdict: Annotated[str, Form(max_length=20)] = "",
    rank: Annotated[list[str] | None, Form(max_length=100)] = None,
    comment: Annotated[Text, Form()] = "",
    start: Annotated[int, Form(alias="from", ge=0)] = 0,
    settled: Annotated[int, Form(ge=0)] = 0,
) -> Response:
    """Record the visitor's verdict; who gave it is part of the record.

    A ranking has a `rank` of each answer, "" where none was chosen. `start` and `settled` are the
    part of the page to come back to.
    """
    try:
        with visit.write() as (session, project):
            asked = items.read_one(session, project.id, item)
            said = _adjudication(
                session, project, asked, visit.member, _verdict(asked, verdict, rank), comment
            )
            labels.add(session, project.id, [said])
    except ValueError as error:
        raise Refused(422, "invalid", str(error)) from error
    where = urlencode({"from": start, "settled": settled} if start or settled else {})
    return RedirectResponse(f"/owner/disputed?{where}" if where else "/owner/disputed", 303)


def _verdict(item: Item, verdict: str, rank: list[str] | None) -> Verdict:
    """Of the form's fields; nothing is taken for said that was not chosen."""
    if rank and verdict in ("", RANKING):
        return _ranking(rank)
    said = CHOICES.get(verdict)
    if said is None or (isinstance(said, int) and len(item.answers) != 2):
        raise ValueError("Choose a verdict first.")
    return said


def _ranking(chosen: list[str]) -> Verdict:
    if not all(value.isdecimal() for value in chosen):
        raise ValueError("Choose a rank for every answer first.")
    ranks = [int(value) for value in chosen]
    # Ranks may leave gaps: 1, 3, 3 is 1, 2, 2.
    places = {value: place for place, value in enumerate(sorted(set(ranks)), start=1)}
    return tuple(places[value] for value in ranks)


def _part(found: list[Disputed], start: int) -> Part:
    """From `start` on, or the last part where the list has become shorter than that."""
    last = max(0, len(found) - 1) // SHOWN * SHOWN
    start = min(start, last)
    return Part(found[start : start + SHOWN], start, len(found))


def _adjudication(
    session: Session, project: Project, item: Item, member: Member, verdict: Verdict, comment: str
) -> Annotation:
    """The next revision of what this reviewer ruled on this item, answers in their own order."""
    annotator = alias(member, ADJUDICATION)
    before = [
        said.revision
        for said in labels.read_all(session, project.id, history=True)
        if said.item == item.id and said.annotator == annotator
    ]
    guideline = guidelines.latest(session, project.id)
    return Annotation(
        item=item.id,
        annotator=annotator,
        verdict=verdict,
        guideline=str(guideline.version) if guideline else "",
        source=ADJUDICATION,
        revision=max(before, default=-1) + 1,
        order=tuple(range(len(item.answers))),
        comment=comment.strip(),
        ui="disputed",
    )


def _decisions(each: Disputed) -> list[Annotation]:
    return [said for said in each.annotations if said.source == ADJUDICATION]
