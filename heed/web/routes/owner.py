"""The owner's pages: how far the labels are, what they are worth, who gave them, what they cost.

Reviewers read the overview. Figures are those of the moment the page was asked for.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response, StreamingResponse

from heed.feedback.contents import annotation_lines
from heed.feedback.summary import PEOPLE
from heed.stats.intervals import Estimate
from heed.store import guidelines
from heed.store.guidelines import Guideline
from heed.store.limits import GUIDELINE
from heed.store.projects import Project
from heed.web import charts, wording
from heed.web.access import ByOwner, ByReviewer, Visit
from heed.web.figures import Agreeing, Figures, Overview
from heed.web.pages import render

router = APIRouter()

PUBLISHED = {
    "InstructGPT": Estimate(0.726, 0.711, 0.741, 0),
    "HH-RLHF, about": Estimate(0.63, math.nan, math.nan, 0),
    "Learning to summarize": Estimate(0.77, 0.75, 0.79, 0),
}
"""Agreement of labellers in published preference data: Ouyang et al. 2022 (72.6 ± 1.5%), Bai et
al. 2022 (about 63%, with the authors), Stiennon et al. 2020 (77 ± 2%, between researchers).
"""


async def figures_of(request: Request) -> Figures:
    """The app's figures, made with the first request; on the event loop, so only once."""
    if not hasattr(request.app.state, "figures"):
        request.app.state.figures = Figures()
    figures: Figures = request.app.state.figures
    return figures


InFigures = Annotated[Figures, Depends(figures_of)]


@router.get("/owner")
async def overview(request: Request, visit: ByReviewer, figures: InFigures) -> Response:
    """Progress, agreement, verdicts, cost, settings."""
    project = project_of(visit)
    found = await figures.overview(visit, project.settings.pay_per_hour)
    return render(
        request, visit, "owner.html", found=found, settings=project.settings, words=wording,
        agreement=_agreement(found.agreeing), **_charts(found),
    )  # fmt: skip


@router.get("/owner/annotators")
async def annotators(request: Request, visit: ByOwner, figures: InFigures) -> Response:
    """Everyone who labels: speed, gold, sides, repeats, reliability, flags."""
    found = await figures.crowd(visit)
    return render(request, visit, "owner_annotators.html", found=found, words=wording)


@router.get("/owner/guidelines")
def read_guidelines(request: Request, visit: ByOwner) -> Response:
    """The guidelines as text to edit, and their versions."""
    return _guidelines(request, visit, text=None, preview=False)


@router.post("/owner/guidelines")
def publish_guidelines(
    request: Request,
    visit: ByOwner,
    text: Annotated[str, Form()],
    preview: Annotated[bool, Form()] = False,
) -> Response:
    """Put a new version in force, or only show how it would look."""
    text = text.replace("\r\n", "\n").strip()
    if preview:
        return _guidelines(request, visit, text=text, preview=True)
    try:
        with visit.write() as (session, project):
            published = guidelines.publish(session, project.id, text)
    except ValueError as error:
        return _guidelines(request, visit, text=text, preview=False, problem=str(error))
    return _guidelines(request, visit, text=None, preview=False, published=published)


@router.get("/owner/export.jsonl")
def export(visit: ByOwner) -> Response:
    """Every item with all that was said of it, as `heed prefs import` reads it back."""
    return StreamingResponse(
        annotation_lines(visit.site.store, project_of(visit)),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="annotations.jsonl"'},
    )


def project_of(visit: Visit) -> Project:
    """The project, with the settings of this moment."""
    with visit.read() as (_, project):
        return project


def _charts(found: Overview) -> dict[str, Any]:
    """The pictures, None where there is nothing to show."""
    grades = {str(grade): count for grade, count in found.grades.items()}
    places = {wording.letter(place - 1): count for place, count in found.firsts.items()}
    return {
        "over_time": charts.labels_over_time(found.data.times, found.data.progress.wanted)
        if found.data.times
        else None,
        "grades": charts.bars(
            grades, "grade, from 1 (left much better) to 8 (right)", "labels",
            "Labels by grade: " + ", ".join(f"{name}: {count}" for name, count in grades.items()),
        )
        if any(grades.values())
        else None,
        "firsts": charts.bars(
            places, "place on the page of the answer ranked first", "labels",
            "Times ranked first by place: " + ", ".join(f"{n}: {c}" for n, c in places.items()),
        )
        if places
        else None,
    }  # fmt: skip


def _agreement(agreeing: list[Agreeing]) -> dict[str, Any] | None:
    """The first source's agreement, its chart and a sentence; None where nothing overlaps."""
    found = next((each for each in agreeing if each.report.items), None)
    if found is None:
        return None
    sided = found.report.sided
    mine = "Here" if found.source == PEOPLE else f"Here ({found.source})"
    rows = [(f"{mine}, ties left out", sided, "ours")]
    rows += [(name, estimate, "theirs") for name, estimate in PUBLISHED.items()]
    chart = charts.intervals(
        rows, "share of pairs of labellers that prefer the same answer, %",
        f"Agreement here {wording.percent(sided.mean)}, beside published preference data",
        span=(0.4, 1.0), form=lambda value: f"{100 * value:.0f}",
    )  # fmt: skip
    return {"source": found.source, "report": found.report, "chart": chart,
            "meaning": agreement_means(sided)}  # fmt: skip


def agreement_means(sided: Estimate) -> str:
    """What an agreement of so much means, beside what others reached."""
    low = min(figure.mean for figure in PUBLISHED.values())
    high = max(figure.mean for figure in PUBLISHED.values())
    band = f"published preference data ({100 * low:.0f} to {100 * high:.0f}%)"
    if not (math.isfinite(sided.low) and math.isfinite(sided.high)):
        return f"Too few items were labelled twice to set it beside {band}."
    if sided.high < low:
        return (
            f"That is below {band}: the guidelines may leave too much open, the answers may be too "
            "alike, or some annotators are guessing."
        )
    if sided.low > high:
        return f"That is above {band}: these comparisons are easier, or the guidelines clearer."
    if sided.low >= low and sided.high <= high:
        return f"That is within the range of {band}."
    return f"The interval overlaps {band}; more items with two labels would narrow it."


def _guidelines(
    request: Request,
    visit: Visit,
    *,
    text: str | None,
    preview: bool,
    problem: str = "",
    published: Guideline | None = None,
) -> Response:
    with visit.read() as (session, project):
        latest = guidelines.latest(session, project.id)
        number = latest.version if latest else 0
        versions = [guidelines.version(session, project.id, v) for v in range(number, 0, -1)]
    if text is None:
        text = latest.text if latest else ""
    return render(
        request, visit, "owner_guidelines.html", status=422 if problem else 200, text=text,
        preview=preview, problem=problem, published=published, versions=versions,
        longest=GUIDELINE,
    )  # fmt: skip
