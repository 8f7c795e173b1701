"""Comparing: the page, the guidelines, and the JSON that the page speaks.

The endpoints are plain functions that FastAPI runs in its thread pool, each with one short
transaction; they say "saved" after it is committed. Annotators are shown texts and nothing else:
no item ids, models, known answers, or what others said, and nothing that differs between an
ordinary task, a gold item and a repeat.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from heed.feedback import queue
from heed.feedback.queue import Task
from heed.store import guidelines, limits
from heed.store.projects import Project
from heed.types import Annotation
from heed.web.access import ByAnnotator, ByAnyone
from heed.web.errors import Refused
from heed.web.markdown import to_html
from heed.web.pages import render

router = APIRouter()


def _storable(text: str) -> str:
    """The store's own rules for texts: no NUL, no half of a surrogate pair."""
    return limits.checked(text, "a text", limits.ANSWER)


LEASE = r"[0-9a-f]{16}"
Lease = Annotated[str, Field(pattern=f"^{LEASE}$")]
Tag = Annotated[str, Field(min_length=1, max_length=limits.TAG), AfterValidator(_storable)]
Text = Annotated[str, Field(max_length=limits.REWRITE), AfterValidator(_storable)]
Comment = Annotated[str, Field(max_length=limits.COMMENT), AfterValidator(_storable)]
Ui = Annotated[str, Field(max_length=limits.UI), AfterValidator(_storable)]


class Body(BaseModel):
    """What a request may carry: these fields, of these types, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AnswerBody(Body):
    """An answer to a task; `key` makes sending it twice the same as sending it once."""

    lease: Lease
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]
    verdict: (
        int
        | Literal["tie", "both_bad", "cannot_tell"]
        | Annotated[list[int], Field(max_length=limits.ANSWERS)]
    )
    seconds: Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)] = 0.0
    rewrite: Text = ""
    tags: Annotated[list[Tag], Field(max_length=limits.TAGS)] = []
    comment: Comment = ""
    ui: Ui = ""

    def answer(self) -> queue.Answer:
        verdict = tuple(self.verdict) if isinstance(self.verdict, list) else self.verdict
        return queue.Answer(
            verdict, self.seconds, self.rewrite, tuple(self.tags), self.comment, self.ui
        )


class DraftBody(Body):
    """What somebody has written so far."""

    text: Text


@router.get("/")
def start(visit: ByAnyone) -> Response:
    """Straight to the first comparison; to the arena where that is all there is."""
    with visit.read() as (session, project):
        compares = bool(queue.progress(session, project).wanted)
    return RedirectResponse("/label" if compares or not visit.site.samplers else "/arena", 303)


@router.get("/label")
def page(request: Request, visit: ByAnnotator) -> Response:
    """The comparing page, a shell that label.js fills."""
    with visit.read() as (session, project):
        guideline = guidelines.latest(session, project.id)
    return render(request, visit, "label.html", guideline=guideline)


@router.get("/guidelines")
def read_guidelines(
    request: Request, visit: ByAnnotator, first: Annotated[bool, Query()] = False
) -> Response:
    """The guidelines in force."""
    with visit.read() as (session, project):
        guideline = guidelines.latest(session, project.id)
    html = Markup(to_html(guideline.text)) if guideline else Markup("")
    return render(request, visit, "guidelines.html", guideline=guideline, html=html, first=first)


@router.get("/api/next")
def next_task(
    visit: ByAnnotator,
    beside: Annotated[str, Query(pattern=f"^({LEASE}(,{LEASE}){{0,15}})?$")] = "",
) -> dict[str, Any]:
    """The visitor's open task, or a new one; never one of the leases in `beside`."""
    with visit.write(durable=False) as (session, project):
        task = queue.next_task(session, project, visit.member.id, beside=beside.split(","))
        guideline = guidelines.latest_version(session, project.id)
        progress = _progress(session, project, visit.member.id)
    return {"task": task and _task_json(task, guideline), "progress": progress}


@router.post("/api/answers")
def answer(visit: ByAnnotator, body: AnswerBody) -> dict[str, Any]:
    """Save an answer; 409 if the task went to somebody else meanwhile."""
    try:
        with visit.write() as (session, project):
            said = queue.submit(
                session, project, visit.member.id, body.lease, body.answer(), key=body.key
            )
            progress = _progress(session, project, visit.member.id)
    except ValueError as error:
        raise Refused(422, "invalid", str(error)) from error
    return {"saved": {"lease": body.lease, "key": body.key, **_said(said)}, "progress": progress}


@router.post("/api/undo")
def undo(visit: ByAnnotator) -> dict[str, Any]:
    """Open the visitor's last answered task again."""
    with visit.write() as (session, project):
        task = queue.undo(session, project, visit.member.id)
        guideline = guidelines.latest_version(session, project.id)
    return {"task": task and _task_json(task, guideline)}


@router.put("/api/drafts/{lease}")
def save_draft(
    visit: ByAnnotator, lease: Annotated[str, Path(pattern=f"^{LEASE}$")], body: DraftBody
) -> dict[str, Any]:
    """Keep what somebody has written so far."""
    with visit.write(durable=False) as (session, _):
        queue.save_draft(session, visit.member.id, lease, body.text)
    return {"saved": {"lease": lease}}


def _task_json(task: Task, guideline: int | None) -> dict[str, Any]:
    """A task as its annotator may see it. Rendering takes its time: never in a transaction."""
    shown = [task.item.answers[place] for place in task.order]
    return {
        "lease": task.lease,
        "kind": "pair" if len(shown) == 2 else "ranking",
        "messages": [
            {"role": message.role, "html": to_html(message.content)}
            for message in task.item.prompt.messages
        ],
        "answers": [to_html(text) for text in shown],
        "texts": shown,
        "expires": task.expires.isoformat(),
        "earlier": task.earlier and _said(task.earlier),
        "draft": task.draft,
        "guideline": guideline or 0,
    }


def _said(annotation: Annotation) -> dict[str, Any]:
    """What the visitor said, to the visitor."""
    return {
        "verdict": annotation.verdict,
        "seconds": annotation.seconds,
        "rewrite": annotation.rewrite,
        "tags": annotation.tags,
        "comment": annotation.comment,
        "revision": annotation.revision,
    }


def _progress(session: Session, project: Project, member_id: int) -> dict[str, int]:
    """What the visitor has said and, where every task is an ordinary one, has left to say.

    Gold items and repeats do not count as done or left: where there are such, a count that stands
    still would tell them.
    """
    progress = queue.progress(session, project, member_id)
    if project.settings.gold_rate or project.settings.repeat_rate:
        return {"mine": progress.mine}
    return {"mine": progress.mine, "left": progress.left}
