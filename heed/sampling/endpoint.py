"""Requests to one server, and which failures pass by themselves. No torch here."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import httpx2

from heed.errors import UserError

RETRIED = frozenset({408, 429})
"""Refusals that pass by themselves; so do all 5xx."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds before the first retry, and at most before a later one, where the server names none."""
SHOWN = 300
"""Characters of a server's words in a message."""
KEPT = ("content-type", "retry-after")
"""Headers of a reply that are read."""
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of taking a reply for what it is not."""


class Passing(Exception):  # noqa: N818 - a reason to ask again, not yet an error
    """A failure that may pass by itself; `wait` is the pause the server asked for, in seconds, and
    `gone` says that nobody answered, so that the next request would hardly fare better.
    """

    def __init__(self, why: str, *, wait: float | None = None, gone: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.gone = gone


@dataclass(frozen=True)
class Endpoint:
    """One server: its address, the key it wants ("" for none) and who talks to it."""

    address: str
    key: str
    timeout: float
    client: httpx2.Client

    @staticmethod
    def at(address: str, key: str, *, timeout: float, connections: int) -> Endpoint:
        """A server that requests may be sent to, `connections` at a time."""
        client = httpx2.Client(
            headers=_headers(key),
            timeout=timeout,
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            trust_env=not is_loopback(httpx2.URL(address).host),
        )
        return Endpoint(address.rstrip("/"), key, timeout, client)

    def close(self) -> None:
        self.client.close()

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> httpx2.Response:
        """The whole reply, also a refusal; `timeout` instead of the endpoint's own.

        Raises Passing where nobody answers in time, and for what is refused in passing.
        """
        limit = self.timeout if timeout is None else timeout
        try:
            response = self._exchange(method, path, body, limit)
        except httpx2.TimeoutException as error:
            raise Passing(f"did not answer within {limit:g} s", gone=True) from error
        except (httpx2.RequestError, httpx2.StreamError, OSError) as error:
            raise Passing(f"cannot be reached: {self.shown(str(error))}", gone=True) from error
        if response.status_code in RETRIED or response.status_code >= 500:
            said = self.shown(message(response))
            raise Passing(f"answered {response.status_code}: {said}", wait=retry_after(response))
        return response

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, limit: float
    ) -> httpx2.Response:
        """httpx2's own timeout is between two pieces of a reply, so that a server which sends a
        blank now and then (to keep a line open) would never be late.
        """
        late = time.monotonic() + limit
        # Not `json=`: httpx2 would choke on half a surrogate pair, which plain JSON escapes.
        content = None if body is None else json.dumps(body)
        url = f"{self.address}{path}"
        with self.client.stream(method, url, content=content, timeout=limit) as reply:
            pieces = []
            for piece in reply.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > late:
                    raise httpx2.ReadTimeout("the reply goes on and on")
        headers = {name: reply.headers[name] for name in KEPT if name in reply.headers}
        return httpx2.Response(reply.status_code, headers=headers, content=b"".join(pieces))

    def shown(self, text: str) -> str:
        """A server's words: one line, shortened, without the key."""
        text = " ".join(text.replace(self.key, "***").split() if self.key else text.split())
        text = text if len(text) <= SHOWN else text[:SHOWN] + " ..."
        return text.rstrip(".") or "(nothing)"


def message(response: httpx2.Response) -> str:
    """What a server says of an error: the message in its JSON, or the body as it is."""
    try:
        said = response.json()
    except UNREADABLE:
        return response.text
    for name in ("error", "detail", "message"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    return str(said)


def backoff(attempt: int) -> float:
    """Doubling pauses, with jitter so that threads do not come back all at once."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 16)) * (1 - random.random() / 2)


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds to wait by the server's header (a number or a date), if it has a valid one."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year beyond any integer overflows
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, float((when - datetime.now(UTC)).total_seconds()))


def key_in(variable: str) -> str:
    """The key in an environment variable, "" where there is none."""
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"The environment variable {variable} holds no key: it is no plain word.")
    return key


def check_address(address: str) -> None:
    """Raise UserError unless `address` is one of a server, without a password in it."""
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, TypeError) as error:
        raise UserError(f"Endpoint: the address is malformed: {error}.") from error
    if url.userinfo:
        raise UserError(
            "Endpoint: the address holds a user name or a password, which would be shown in "
            "records. Give the key in an environment variable (api_key_variable)."
        )
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UserError(
            f"Endpoint: the address is like http://localhost:8000 or https://host/v1, not "
            f"{address!r}."
        )


def is_loopback(host: str) -> bool:
    """Whether requests stay on this machine, where no proxy has to be asked."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _headers(key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    return {**headers, "Authorization": f"Bearer {key}"} if key else headers
