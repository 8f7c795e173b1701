"""Who asks: API keys, what each may send, and how many answers each has under way.

A file of keys holds a line a key: a name, what it may do (`user`, or `admin`, who may also change
what is served), and the SHA-256 of the key. Keys are 256 random bits, so that a plain hash of one
tells nothing; the key itself is shown once, to whoever makes it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from heed.errors import UserError
from heed.files import write_text
from heed.serving.errors import Refused, answered, count_refusal, too_many
from heed.web.limits import Buckets

Right = Literal["user", "admin"]
PREFIX = "heed-"
OPEN_TO_ALL = frozenset({"/health"})
"""What is told without a key."""
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
NAMES = re.compile(r"[A-Za-z0-9][\w.@-]{0,99}")


@dataclass(frozen=True)
class Key:
    """One line of a file of keys."""

    name: str
    right: Right
    digest: str


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request: the key's name, or the address where there are no keys."""

    name: str
    admin: bool


def read_keys(path: Path) -> list[Key]:
    """The keys of a file.

    Raises:
        UserError: there is no such file, it holds no key, or a line that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"Cannot read the keys in {path}: {error}. heed serve --add-key NAME --keys {path} "
            "makes one."
        ) from error
    keys = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3 or words[1] not in get_args(Right) or not DIGEST.fullmatch(words[2]):
            raise UserError(
                f"{path}, line {number}: a key is a name, `user` or `admin`, and the SHA-256 of "
                f"the key. heed serve --add-key NAME --keys {path} writes such a line."
            )
        keys.append(Key(words[0], words[1], words[2].lower()))  # type: ignore[arg-type]
    if not keys:
        raise UserError(f"{path} holds no key. heed serve --add-key NAME --keys {path} makes one.")
    return keys


def add_key(path: Path, name: str, right: Right) -> str:
    """Make a key and write its line; the key itself, which nobody can find out afterwards.

    Raises:
        UserError: the name is no good or has a key already, or the file cannot be written.
    """
    if not NAMES.fullmatch(name):
        raise UserError(f"A key's name is letters, digits and . _ @ -, not {name!r}.")
    before = read_keys(path) if path.exists() else []
    if any(key.name == name for key in before):
        raise UserError(f"{path} has a key {name!r} already. Delete its line to take it back.")
    key = PREFIX + secrets.token_urlsafe(32)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    text += "" if not text or text.endswith("\n") else "\n"
    try:
        write_text(path, f"{text}{name} {right} {_digest(key)}\n")
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error
    return key


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class Allowance:
    """What one caller may do: requests a minute, answers under way at a time; 0: no limit."""

    a_minute: int = 0
    at_once: int = 0


class Door:
    """Middleware that lets in who has a key (anybody, where there are none), not too often."""

    def __init__(self, app: ASGIApp, keys: Sequence[Key], allowance: Allowance) -> None:
        self.app, self.keys = app, tuple(keys)
        a_minute = allowance.a_minute
        self.buckets = Buckets(a_minute / 60, a_minute) if a_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_TO_ALL:
            await self.app(scope, receive, send)
            return
        try:
            caller = self._caller(Request(scope))
            wait = self.buckets.take(caller.name) if self.buckets else 0.0
            if wait:
                raise too_many(
                    "rate_limit_exceeded", "Too many requests a minute; slow down.", wait
                )
        except Refused as refused:
            count_refusal(Request(scope), refused)
            await answered(refused)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send)

    def _caller(self, request: Request) -> Caller:
        if not self.keys:
            return Caller(request.client.host if request.client else "", admin=True)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        sent = _digest(key.strip() if scheme.lower() == "bearer" else "")
        # All of them are compared, so that the time tells nothing of which one it was.
        found = [each for each in self.keys if hmac.compare_digest(each.digest, sent)]
        if not found:
            raise Refused(
                401, "invalid_api_key", "Send a key of this server as Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        return Caller(found[0].name, found[0].right == "admin")


class Room:
    """Middleware that sends away who comes while `most` requests are under way, of all callers
    together: what is asked is in memory before anybody knows whether it can be answered.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most, self.inside = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_TO_ALL:
            await self.app(scope, receive, send)
            return
        if self.inside >= self.most:
            refused = too_many("too_many_requests", "Too many requests are under way.", 1.0)
            count_refusal(Request(scope), refused)
            await answered(refused)(scope, receive, send)
            return
        self.inside += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.inside -= 1


def caller_of(request: Request) -> Caller:
    """Who was let in."""
    caller: Caller = request.state.caller
    return caller


def check_admin(request: Request) -> None:
    """Raise Refused unless the caller may change what is served."""
    if not caller_of(request).admin:
        raise Refused(403, "forbidden", "This takes a key with the right admin.")


class Places:
    """How many answers each caller has under way; of one event loop."""

    def __init__(self, allowance: Allowance) -> None:
        self.most = allowance.at_once
        self._taken: Counter[str] = Counter()

    def take(self, caller: Caller, answers: int) -> None:
        """Raises Refused (429) where the caller has too many already."""
        if self.most and self._taken[caller.name] + answers > self.most:
            raise too_many(
                "too_many_at_once",
                f"A caller may have {self.most} answers under way; wait until some are finished.",
                1.0,
            )
        self._taken[caller.name] += answers

    def leave(self, caller: Caller, answers: int) -> None:
        """So many are at an end."""
        self._taken[caller.name] -= answers
        if self._taken[caller.name] <= 0:
            del self._taken[caller.name]
