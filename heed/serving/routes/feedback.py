"""POST /v1/feedback: what a user says of a reply becomes a row in the preference store."""

from __future__ import annotations

from typing import Any, Literal, Self

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from heed.serving.asking import read
from heed.serving.callers import caller_of
from heed.serving.errors import Refused
from heed.serving.remembering import Said
from heed.serving.site import site_of
from heed.store.limits import ANSWER, COMMENT, ITEM_ID, NAME
from heed.web.aliases import reserved

router = APIRouter()


class FeedbackBody(BaseModel):
    """One of `thumb`, `over` and `edit`, of the reply `id` (its `choice`-th answer).

    `over` names the reply that is worse, `over_choice` its answer: another one of the same reply,
    where `over` is left out.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    id: str = Field(min_length=1, max_length=ITEM_ID)
    choice: int = Field(0, ge=0, lt=1000)
    thumb: Literal["up", "down"] | None = None
    over: str | None = Field(None, min_length=1, max_length=ITEM_ID)
    over_choice: int | None = Field(None, ge=0, lt=1000)
    edit: str | None = Field(None, min_length=1, max_length=ANSWER)
    comment: str = Field("", max_length=COMMENT)
    user: str | None = Field(None, min_length=1, max_length=NAME)

    @field_validator("id", "over", "edit", "comment", "user")
    @classmethod
    def _for_a_database(cls, value: str | None) -> str | None:
        if value is not None and "\x00" in value:
            raise ValueError("a NUL character is no text")
        return value

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        compared = self.over is not None or self.over_choice is not None
        if (self.thumb is not None) + compared + (self.edit is not None) != 1:
            raise ValueError("say one thing: thumb, over (or over_choice), or edit")
        return self

    def said(self, user: str) -> Said:
        """The same, of somebody."""
        over = None
        if self.over is not None or self.over_choice is not None:
            over = self.over or self.id, self.over_choice or 0
        desirable = None if self.thumb is None else self.thumb == "up"
        return Said(user, (self.id, self.choice), desirable, over, self.edit, self.comment)


@router.post("/v1/feedback")
async def feedback(request: Request) -> Response:
    """201 where it is new, 200 where the same was said before; it is in the store by then."""
    site = site_of(request)
    body = await read(request, FeedbackBody)
    if site.memory is None:
        raise Refused(404, "no_store", "This server keeps no feedback: it was started without.")
    user = body.user or caller_of(request).name
    if reserved(user):
        raise Refused(400, "invalid_value", "Nobody can be called so.", param="user")
    said = body.said(user)
    new = await site.memory.hear(said)
    if new:
        site.counts.add("heed_feedback_total", kind=said.kind)
    told: dict[str, Any] = {"object": "feedback", "id": body.id, "kind": said.kind, "new": new}
    return JSONResponse(told, 201 if new else 200)
