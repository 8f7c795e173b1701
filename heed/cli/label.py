"""`heed label`: the page where people compare answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heed.errors import Interrupted, UserError

if TYPE_CHECKING:
    from socket import socket

    from heed.store.database import Store
    from heed.store.items import Counts
    from heed.store.projects import ProjectSettings
    from heed.types import Sampler

EXAMPLE = '{"prompt": "What is the capital of France?", "answers": ["Paris.", "I do not know."]}'
OWNER_LINK_DAYS = 1


Data = Annotated[
    str | None,
    typer.Argument(help="Items to add first: JSONL, Parquet, CSV ... (see heed prefs import)."),
]
Place = Annotated[
    str,
    typer.Option(
        envvar="HEED_STORE", help="A SQLite file, made if it is not there, or postgresql://..."
    ),
]
Name = Annotated[str, typer.Option(help="The project in that store.")]
PerItem = Annotated[
    int | None, typer.Option(min=1, help="Labels wanted an item, each by somebody else.")
]
GoldRate = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Share of tasks with a known answer.")
]
RepeatRate = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Share of tasks asked a second time.")
]
Order = Annotated[
    Literal["random", "disagreement", "mixed"] | None,
    typer.Option(help="Which items come first."),
]
Pay = Annotated[
    float | None, typer.Option(min=0.0, help="Pay an hour, from which costs are reckoned.")
]
Currency = Annotated[
    str | None, typer.Option(metavar="CODE", help="What --pay is in, such as EUR.")
]
KeepGood = Annotated[
    bool, typer.Option("--keep-good", help="Add the good items though there are bad ones.")
]
Guidelines = Annotated[
    Path | None, typer.Option(metavar="FILE.md", help="Guidelines; a new text is a new version.")
]
Host = Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 lets other machines in.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any that is free.")]
Accounts = Annotated[
    bool | None,
    typer.Option(
        "--accounts/--no-accounts",
        help="Let people in by invitation; always so where other machines can reach it.",
    ),
]
OwnerLink = Annotated[
    bool,
    typer.Option("--owner-link", help="Print a link for an owner who lost theirs; with accounts."),
]
Https = Annotated[
    bool,
    typer.Option(
        "--https",
        help="Behind a proxy with TLS: cookies go over https alone, and X-Forwarded-For is "
        "believed where the proxy runs on this machine.",
    ),
]
Open = Annotated[
    bool, typer.Option("--open/--no-open", help="Open a browser, unless a link lets you in.")
]
Arena = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=MODEL",
        help="Twice: models to ask side by side, each a directory or the URL of an "
        "OpenAI-compatible server (URL#MODEL where NAME is not its name there).",
    ),
]


def label(
    data: Data = None,
    keep_good: KeepGood = False,
    store: Place = "feedback.db",
    project: Name = "default",
    per_item: PerItem = None,
    gold_rate: GoldRate = None,
    repeat_rate: RepeatRate = None,
    order: Order = None,
    pay: Pay = None,
    currency: Currency = None,
    guidelines: Guidelines = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    accounts: Accounts = None,
    owner_link: OwnerLink = False,
    https: Https = False,
    open_: Open = True,
    arena: Arena = None,
) -> None:
    """Compare answers in the browser, alone or with others.

    [dim]Example:[/]  heed label items.jsonl --per-item 3 --guidelines rules.md
    """
    from heed.cli import players
    from heed.web.arena import check_project
    from heed.web.server import address, is_loopback, listen

    check_project(project)
    with_accounts = _with_accounts(accounts, open_to_others=not is_loopback(host))
    if owner_link and not with_accounts:
        raise UserError("Without accounts every visitor is the owner: --owner-link has no use.")
    models = players.sources(arena or [])
    rules = _read(guidelines)
    given = {
        "per_item": per_item, "gold_rate": gold_rate, "repeat_rate": repeat_rate, "order": order,
        "pay_per_hour": pay, "currency": currency,
    }  # fmt: skip
    with closing(listen(host, port)) as sock:
        file = _file_of(store)
        if data is None and not models and file is not None and not file.exists():
            raise _nothing(project)
        with _opened(store) as opened:
            _check_settings(opened, project, given)
            _fill(opened, project, data, keep_good=keep_good, arena=bool(models))
            _check_effect(opened, project, given)
            samplers = {name: players.sampler(name, source) for name, source in models.items()}
            _prepare(opened, project, given, rules)
            _serve(
                opened, project, samplers, sock, place=address(sock, host),
                accounts=with_accounts, owner_link=owner_link, https=https, opens=open_,
            )  # fmt: skip


def _with_accounts(asked: bool | None, *, open_to_others: bool) -> bool:
    if open_to_others and asked is False:
        raise UserError(
            "Without accounts every visitor is the owner, so --no-accounts goes with a loopback "
            "--host only, such as 127.0.0.1. Leave one of the two out."
        )
    return open_to_others or bool(asked)


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot read the guidelines {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The guidelines {path} are no UTF-8 text.") from error


def _file_of(place: str) -> Path | None:
    """The store's file; None where it lives in a server."""
    kind, separator, path = place.partition("://")
    if not separator:
        return Path(place).expanduser()
    return Path(path.removeprefix("/")) if kind == "sqlite" else None


@contextmanager
def _opened(place: str) -> Iterator[Store]:
    """The store; a file that was made here goes again where no project came into it."""
    from heed.store import projects
    from heed.store.database import Store

    file = _file_of(place)
    made = file is not None and not file.exists()
    store = Store.open(place)
    empty = False
    try:
        yield store
    finally:
        if made:
            with store.read() as session:
                empty = not projects.listing(session)
        store.close()
        if file is not None and empty:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{file}{suffix}").unlink(missing_ok=True)


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _check_settings(store: Store, name: str, given: Mapping[str, Any]) -> ProjectSettings:
    """The settings as they will be.

    Raises UserError where they make no sense.
    """
    from heed.store import projects

    with store.read() as session:
        project = projects.find(session, name)
    before = project.settings if project else projects.ProjectSettings()
    try:
        return replace(before, **_changes(given))
    except ValueError as error:
        raise UserError(f"Project {name!r}: {error}.") from error


def _prepare(store: Store, name: str, given: Mapping[str, Any], rules: str | None) -> None:
    """Make the project, or change what was asked for, and publish new guidelines.

    Settings that were not given stay as the project has them.
    """
    from heed.store import guidelines, projects

    changes = _changes(given)
    try:
        with store.write() as session:
            project = projects.find(session, name)
            if project is None:
                project = projects.create(session, name, projects.ProjectSettings(**changes))
            elif changes:
                projects.change(session, project.id, replace(project.settings, **changes))
            if rules is not None:
                guidelines.publish(session, project.id, rules)
    except ValueError as error:
        raise UserError(f"Project {name!r}: {error}.") from error


def _counts(store: Store, name: str) -> Counts:
    """What the project holds: nothing, where there is none yet."""
    from heed.store import items, projects

    with store.read() as session:
        project = projects.find(session, name)
        return items.count(session, project.id) if project else items.Counts(0, 0, 0)


def _fill(store: Store, name: str, data: str | None, *, keep_good: bool, arena: bool) -> None:
    """Add the data's items; a project without any has nothing to show, an arena aside."""
    from heed.feedback.importing import import_file
    from heed.store import projects

    if data is not None:
        report = import_file(store, name, data, keep_good=keep_good)
        for line in (str(report), *report.warnings):
            typer.echo(line, err=True)
    if arena or _counts(store, name).ordinary:
        return
    with store.read() as session:
        others = [other.name for other in projects.listing(session) if other.name != name]
    raise _nothing(name, others)


def _check_effect(store: Store, name: str, given: Mapping[str, Any]) -> None:
    """Refuse options that would do nothing; of settings that the project has already, warn."""
    settings, found = _check_settings(store, name, given), _counts(store, name)
    idle = {
        "gold_rate": (
            settings.gold_rate > 0 and not found.gold,
            "none of its items has a known answer (`known` in a file of items)",
            "0",
        ),
        "order": (
            settings.order != "random" and found.priorities < 2,
            "its items have no priorities that differ (`priority` in a file of items)",
            "random",
        ),
    }
    for key, (useless, why, off) in idle.items():
        option = f"--{key.replace('_', '-')}"
        said = f"{option} {getattr(settings, key)} has no effect on project {name!r}: {why}."
        if useless and given.get(key) is not None:
            raise UserError(f"{said} Leave it out, or add such items.")
        if useless:
            typer.echo(f"Warning: {said} {option} {off} ends this warning.", err=True)


def _nothing(name: str, others: Sequence[str] = ()) -> UserError:
    known = f" (the store also has: {', '.join(others)})" if others else ""
    return UserError(
        f"Project {name!r} has nothing to compare yet{known}. Give a file of items, "
        f"heed label items.jsonl, one a line, such as {EXAMPLE}"
    )


def _serve(
    store: Store,
    project: str,
    samplers: Mapping[str, Sampler],
    sock: socket,
    *,
    place: str,
    accounts: bool,
    owner_link: bool,
    https: bool,
    opens: bool,
) -> None:
    """Say where to go, serve until Ctrl-C, and say what came of it."""
    from heed.cli import tally
    from heed.web.app import create_app
    from heed.web.server import serve

    app = create_app(store, project, accounts=accounts, samplers=samplers, secure_cookies=https)
    invitation = _owner_invitation(store, again=owner_link) if accounts else None
    before = tally.count(store, project)
    page = f"{place}/label" if before.wanted else f"{place}/arena"
    typer.echo(tally.welcome(place, before, arena=bool(samplers)))
    if invitation:
        typer.echo(
            f"Come in as the owner by this link, which works once: {place}/join/{invitation}"
        )
    # The link is for its reader alone: others on this machine see what a browser is started with.
    serve(app, sock, visit=page if opens and not invitation else "", proxied=https)
    raise Interrupted(tally.farewell(before, tally.count(store, project), arena=bool(samplers)))


def _owner_invitation(store: Store, *, again: bool) -> str | None:
    """A token that lets whoever runs this machine in, as long as no owner has come by one, or
    `again`.
    """
    from heed.store import access, members
    from heed.web.app import machine_user

    with store.write() as session:
        came = any(one.role == "owner" and one.used_by for one in access.invites(session))
        if came and not again:
            return None
        me = machine_user()
        known = members.find(session, me)
        free = known is None or (known.role, known.source) == ("owner", "people")
        return access.invite(session, "owner", name=me if free else "", days=OWNER_LINK_DAYS)
