"""The blind arena: a prompt, two answers without names, a vote, then the names.

Any member may play. The board is the owner's: who has seen it votes no longer blindly.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from markupsafe import Markup
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from heed.errors import UserError
from heed.stats.intervals import Estimate
from heed.store import annotations as labels
from heed.store import items, projects
from heed.store.projects import Project, ProjectSettings
from heed.types import Prompt
from heed.web import charts
from heed.web.access import ByAnnotator, Visit
from heed.web.arena import PROJECT, Arena, Board, Round, board
from heed.web.errors import Refused
from heed.web.markdown import to_html
from heed.web.pages import render
from heed.web.routes.label import Body, Text

router = APIRouter()
log = logging.getLogger("heed.web")
RoundId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$")]
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What a database cannot hold: NUL, and halves of characters."""
NOT_RECORDED = "Your vote could not be recorded. Ask the owner: the server's log says why."


async def arena_if_any(request: Request) -> Arena | None:
    """The app's arena, made with the first request; on the event loop, so only once. None where
    there are fewer than two models.
    """
    samplers = request.app.state.site.samplers
    if len(samplers) < 2:
        return None
    if not hasattr(request.app.state, "arena"):
        request.app.state.arena = Arena(samplers)
    arena: Arena = request.app.state.arena
    return arena


async def arena_of(arena: Annotated[Arena | None, Depends(arena_if_any)]) -> Arena:
    """The app's arena.

    Raises Refused where there is none.
    """
    if arena is None:
        raise Refused(404, "no_arena", "The arena needs two models; this server has none to ask.")
    return arena


InArena = Annotated[Arena, Depends(arena_of)]


class PromptBody(Body):
    """A prompt; `after` goes on from a round that the visitor voted on."""

    prompt: Annotated[Text, Field(min_length=1)]
    after: Annotated[str, Field(pattern=r"^([0-9a-f]{24})?$")] = ""


class VoteBody(Body):
    """Which answer is better."""

    verdict: Literal["left", "right", "tie", "both_bad"]


@router.get("/arena")
def page(
    request: Request, visit: ByAnnotator, arena: Annotated[Arena | None, Depends(arena_if_any)]
) -> Response:
    """The arena, and the board for owners; or how to start one."""
    if arena is None:
        return render(request, visit, "no_arena.html", status=404)
    standings = _board(visit) if visit.member.role == "owner" else None
    return render(
        request, visit, "arena.html", board=standings, longest=arena.limits.prompt,
        seconds=arena.limits.seconds, chart=standings and _chart(standings),
    )  # fmt: skip


@router.post("/api/arena")
async def ask(visit: ByAnnotator, arena: InArena, body: PromptBody) -> dict[str, Any]:
    """Two answers to a prompt, on sides drawn at random, without names."""
    if not body.prompt.strip():
        raise Refused(422, "empty", "Write a prompt first.")
    before = arena.round(body.after, visit.member.id) if body.after else None
    prompt = arena.prompt(body.prompt, before)
    opened = arena.open(visit.member.id, prompt, await _answers(arena, prompt))
    return {"id": opened.item.id, "answers": await run_in_threadpool(_shown, opened)}


@router.post("/api/arena/{id}/vote")
def vote(visit: ByAnnotator, arena: InArena, id: RoundId, body: VoteBody) -> dict[str, Any]:
    """Record a vote, then tell the names; the same vote again is told the same."""
    opened = arena.round(id, visit.member.id)
    with arena.recording:
        if opened.vote is None:
            try:
                _record(visit, opened, body.verdict)
            except ValueError as error:
                log.error("a vote could not be recorded: %s", error)
                raise Refused(409, "not_recorded", NOT_RECORDED) from error
            opened.vote = body.verdict
    if opened.vote != body.verdict:
        raise Refused(409, "voted", "You have voted on these answers already.")
    return {"models": opened.names, "verdict": opened.vote}


async def _answers(arena: Arena, prompt: Prompt) -> dict[str, str]:
    """Both answers, or a refusal that says what became of them."""
    coming = arena.ask(prompt)
    try:
        async with asyncio.timeout(arena.limits.seconds):
            # All exceptions are waited for, so that none is left unread when the first is told.
            said = await asyncio.gather(
                *map(asyncio.wrap_future, coming.values()), return_exceptions=True
            )
    except TimeoutError:
        raise Refused(
            504, "too_slow", f"The models did not answer within {arena.limits.seconds:g} seconds. "
            "Nothing was saved; try again, or ask for less."
        ) from None  # fmt: skip
    failed = {name: one for name, one in zip(coming, said, strict=True) if not isinstance(one, str)}
    if failed:
        raise _failure(failed)
    return {
        name: UNSTORABLE.sub("\ufffd", one)
        for name, one in zip(coming, said, strict=True)
        if isinstance(one, str)
    }


def _failure(failed: Mapping[str, BaseException]) -> Refused:
    """The refusal, and the log's lines for whoever runs the server.

    Our own errors are written to be read; others may quote prompts, so only their kind is logged.
    """
    for name, error in failed.items():
        told = str(error) if isinstance(error, UserError) else type(error).__name__
        log.error("the arena's model %s failed: %s", name, told)
    if any(isinstance(error, UserError) for error in failed.values()):
        return Refused(
            502, "cannot_answer", "A model cannot answer this: it may be too long for the model, "
            "or the model's server said no. Nothing was saved. Try a shorter prompt or a new "
            "conversation; the server's log says what is wrong."
        )  # fmt: skip
    return Refused(502, "model_failed", "A model failed to answer. Nothing was saved; try again.")


def _shown(opened: Round) -> list[str]:
    return [to_html(text) for text in opened.shown]


def _record(visit: Visit, opened: Round, verdict: str) -> None:
    with visit.write() as (session, _):
        project = _project(session)
        items.add(session, project.id, [opened.item])
        labels.add(session, project.id, [opened.annotation(visit.member, verdict)])


def _project(session: Session) -> Project:
    """The arena's own project, made with the first vote."""
    return projects.find(session, PROJECT) or projects.create(session, PROJECT, ProjectSettings())


def _chart(standings: Board) -> Markup | None:
    """The ratings with their intervals, None before there are any."""
    rows = [
        (
            each.name,
            Estimate(each.rating.rating, each.rating.low, each.rating.high, each.votes),
            "ours",
        )
        for each in standings.standings
        if each.rating
    ]
    return (
        charts.intervals(
            rows,
            "Bradley-Terry rating, Elo points",
            f"Ratings of {len(rows)} models with intervals",
        )
        if rows
        else None
    )


def _board(visit: Visit) -> Board:
    with visit.read() as (session, _):
        project = projects.find(session, PROJECT)
        if project is None:
            return board([], {})
        votes = labels.read_all(session, project.id)
        asked = {item.id: item for item in items.read_all(session, project.id)}
    return board(votes, asked)
