"""Reaching a PostgreSQL server: how long it is waited for, and what says that it is away.

A network that is cut closes no connection: packets are lost, and who waits for a reply waits on,
for a quarter of an hour or for two hours as systems are set up. So both ends of every connection
ask whether the other is there. The server's end has to, since it holds the locks of a transaction
that will never end, and a place among its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

CONNECT_SECONDS = 5
"""How long a new connection may take, its sign-in included."""
LOST_SECONDS = 6
"""A connection on which nothing came back for so long is given up, a look later at most."""
FIRST_LOOK, LOOKS = 3, 2
"""Seconds of silence before the first look whether the other end is there, and between two."""
POOL_SECONDS = 15.0
"""How long a thread waits for a connection that others hold: longer than it takes to find out that
the server is away, so that it is told that."""
CUT = ("08", "57P")
"""Classes of PostgreSQL's error codes: connections that failed, a server that stops or starts."""
FULL = "53300"
"""PostgreSQL's error code of a server that has no place for one connection more."""


def connection_settings(given: Mapping[str, Any]) -> dict[str, int]:
    """What libpq is told of this end of every connection, less what the address says itself."""
    ours = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": FIRST_LOOK,
        "keepalives_interval": LOOKS,
        "keepalives_count": LOST_SECONDS // LOOKS,
        "tcp_user_timeout": 1000 * LOST_SECONDS,
    }
    return {name: value for name, value in ours.items() if name not in given}


SERVER = {
    "tcp_keepalives_idle": FIRST_LOOK,
    "tcp_keepalives_interval": LOOKS,
    "tcp_keepalives_count": LOST_SECONDS // LOOKS,
    "tcp_user_timeout": 1000 * LOST_SECONDS,
}
"""What the server is told of its end; on a Unix socket it ignores this."""
TELL = " UNION ALL ".join(
    f"SELECT set_config(name, '{value}', false) FROM pg_settings WHERE name = '{name}'"
    for name, value in SERVER.items()
)
"""Sets those of `SERVER` that this version of PostgreSQL knows."""


class Reach:
    """Whether the server answered when a connection was last tried; shared by a store's engines.

    While it does not, one thread at a time tries, and all others are told so at once: else the
    threads of a page would wait for it by turns, and people for all of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed = ""
        """Why the last attempt failed; empty where it did not."""
        self._trying = 0

    def watch(self, engine: Engine) -> None:
        """Let an engine connect through this."""

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, _record: object, words: Any, settings: Any) -> Any:
            away = dialect.loaded_dbapi.OperationalError
            return self._attempt(lambda: dialect.connect(*words, **settings), away)

        @event.listens_for(engine, "connect")
        def tell(connection: Any, _record: object) -> None:
            connection.autocommit = True
            connection.execute(TELL)
            connection.autocommit = False

    def _attempt(self, connect: Callable[[], Any], away: type[Exception]) -> Any:
        with self._lock:
            if self._failed and self._trying:
                raise away(self._failed)
            self._trying += 1
        failed = "the server was not reached"
        try:
            made = connect()
            failed = ""
            return made
        except away as error:
            failed = str(error)
            raise
        finally:
            with self._lock:
                self._trying -= 1
                self._failed = failed


def unreachable(error: Exception) -> bool:
    """Whether a store's server could not be asked or was lost under way, so that asking again is
    right. Whether it did what it was asked is then unknown.
    """
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # psycopg's errors have a code or None; of SQLite, which has no server, none has the attribute.
    code = getattr(error.orig, "sqlstate", "")
    if code is None:
        return isinstance(error, OperationalError | InterfaceError)
    return error.connection_invalidated or code.startswith(CUT) or code == FULL


def why(error: BaseException) -> str:
    """An error of the database in one line."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0] if said else type(error).__name__
