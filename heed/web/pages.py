"""The pages: one Jinja environment, and what every template is given.

Every template gets `project` (the name), `uid` (its random id), `member` (None before joining),
`csrf`, `accounts`, `arena` (whether there is one) and `here` (the path); the filter `markdown`
turns text into sanitised HTML. Undefined names are errors, everything is escaped.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from heed.web.markdown import to_html

if TYPE_CHECKING:
    from heed.web.access import Guest


@cache
def environment() -> Environment:
    """The templates of this package."""
    made = Environment(
        loader=PackageLoader("heed.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["markdown"] = lambda text: Markup(to_html(text))
    return made


def render(
    request: Request, guest: Guest, template: str, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page of the app for whoever asks; `context` is what the template wants besides."""
    shared = {
        "project": guest.site.project,
        "uid": guest.site.uid,
        "member": guest.member,
        "csrf": guest.csrf,
        "accounts": guest.site.accounts,
        "arena": bool(guest.site.samplers),
        "here": request.url.path,
    }
    return HTMLResponse(environment().get_template(template).render(**shared, **context), status)


def error_page(
    request: Request,
    status: int,
    title: str,
    message: str,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    """A refusal as a page; it knows nobody, so it can be shown to anyone."""
    page = environment().get_template("error.html").render(
        project="", uid="", member=None, csrf="", accounts=False, arena=False,
        here=request.url.path, status=status, title=title, message=message,
    )  # fmt: skip
    return HTMLResponse(page, status, headers)
