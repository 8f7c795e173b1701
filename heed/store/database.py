"""Opening the store: which database, which schema, which transactions."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from heed.errors import UserError
from heed.store.reach import POOL_SECONDS, Reach, connection_settings, why
from heed.store.schema import REVISION, VERSION_TABLE

BUSY_SECONDS = 120.0
"""How long a SQLite transaction waits for the one writer before it gives up."""
MIGRATION_LOCK = 4_733_201
"""The key of PostgreSQL's advisory lock, held by whoever upgrades the schema."""
CONNECTIONS = 16
SQLITE = b"SQLite format 3\0"
"""How every SQLite database begins."""


class Store:
    """A preference store. Open one a process and share it between threads."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._sqlite = url.get_backend_name() == "sqlite"
        self._queue = _WriterQueue() if self._sqlite else None
        self._reader, self._writer = (
            _sqlite_engines(url) if self._sqlite else _postgres_engines(url)
        )
        self._hasty_writer = self._writer.execution_options(hasty=True)

    @classmethod
    def open(cls, place: str | Path) -> Store:
        """The store at `place`: a path or sqlite:///PATH, or postgresql://...; made where it is
        not there, upgraded where it is older.

        Raises:
            UserError: the place is unreadable, holds something else, or a schema newer than this
                Heed knows.
        """
        store = cls(_url(place))
        try:
            if store._sqlite:
                _switch_to_wal(store._writer)
            # Reading first: it need not wait for an import that is under way.
            with store._reader.connect() as connection:
                found = _version(connection)
            if found != REVISION:
                with store._writer.connect() as connection, connection.begin():
                    _upgrade(connection, store)
        except BaseException as error:
            store.close()
            if isinstance(error, DBAPIError | OSError | sqlite3.Error):
                raise UserError(_cannot_open(store, error)) from error
            raise
        return store

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the store and cannot change it."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises.

        On SQLite there is one writer at a time: threads of this process queue up in order, and
        other processes are waited for. A transaction that is not `durable` may be forgotten in a
        power cut, or when PostgreSQL's server is killed (never when this process is), and need not
        wait for the disk: good for leases and drafts, never for answers.
        """
        turn: AbstractContextManager[Any] = self._queue or nullcontext()
        engine = self._writer if durable else self._hasty_writer
        with turn, Session(engine, expire_on_commit=False) as session, session.begin():
            session.connection()
            yield session

    def close(self) -> None:
        """Let go of all connections."""
        self._reader.dispose()
        self._writer.dispose()

    def __repr__(self) -> str:
        return f"Store({_shown(self._url)!r})"


def masked(place: str | Path) -> str:
    """The store's address as it may be printed: a path as it stands, a server's without password.

    Raises UserError where it is none.
    """
    if isinstance(place, Path) or "://" not in place:
        return str(place)
    return _shown(_url(place))


class _WriterQueue:
    """First come, first served among this process's threads.

    SQLite wakes waiting writers by polling, in no order: of a hundred threads some would starve.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._next = self._serving = 0
        self._holder: int | None = None

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._holder == me:
            raise RuntimeError("write() inside write(): one transaction cannot wait for itself")
        with self._condition:
            ticket = self._next
            self._next += 1
            self._condition.wait_for(lambda: self._serving == ticket)
            self._holder = me

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._holder = None
            self._serving += 1
            self._condition.notify_all()


def _url(place: str | Path) -> URL:
    """The address as SQLAlchemy's; a plain path means SQLite."""
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().absolute()))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise UserError(
            "The store's address is malformed. Give a path, or"
            " postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        ) from error
    kind = url.drivername.split("+")[0]
    if kind == "sqlite" and url.database not in (None, "", ":memory:"):
        return URL.create("sqlite", database=str(Path(str(url.database)).absolute()))
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise UserError(
        f"The store cannot live in {_shown(url)}. Give the path of a SQLite file, or"
        " postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
    )


def _shown(url: URL) -> str:
    """The address without anything secret; options may carry passwords too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _sqlite_engines(url: URL) -> tuple[Engine, Engine]:
    return _sqlite_engine(url, writes=False), _sqlite_engine(url, writes=True)


def _sqlite_engine(url: URL, *, writes: bool) -> Engine:
    """SQLAlchemy begins transactions itself: Python's sqlite3 would begin too late, at the first
    write, where two readers that both want to write can only fail.
    """
    engine = create_engine(
        url, pool_size=CONNECTIONS, max_overflow=-1, connect_args={"timeout": BUSY_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if writes:
            hasty = connection.get_execution_options().get("hasty", False)
            connection.exec_driver_sql(f"PRAGMA synchronous = {'NORMAL' if hasty else 'FULL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engines(url: URL) -> tuple[Engine, Engine]:
    reach = Reach()
    return (_postgres_engine(url, reach, writes=False), _postgres_engine(url, reach, writes=True))


def _postgres_engine(url: URL, reach: Reach, *, writes: bool) -> Engine:
    try:
        engine = create_engine(
            url, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=POOL_SECONDS,
            pool_pre_ping=True, connect_args=connection_settings(url.query),
            isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
        )  # fmt: skip
    except ImportError as error:
        raise UserError(
            "PostgreSQL needs the psycopg package: pip install 'heed[postgres]'."
        ) from error
    reach.watch(engine)
    if not writes:
        return engine.execution_options(postgresql_readonly=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("hasty", False):
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    return engine


def _switch_to_wal(engine: Engine) -> None:
    """Readers beside the writer. The switch itself does not wait for others, so it tries again."""
    path = Path(str(engine.url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            # SQLite itself takes a file of a few bytes for an empty database, and overwrites it.
            if file.read(len(SQLITE)) != SQLITE:
                raise sqlite3.DatabaseError("file is not a database")
    until = time.monotonic() + BUSY_SECONDS
    while True:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def _version(connection: Connection) -> str | None:
    """The migration that a database has; None where Heed has not been."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return cast("str | None", found.scalar())


def _upgrade(connection: Connection, store: Store) -> None:
    """Bring the schema to `REVISION`; whoever else opens the store waits meanwhile."""
    if not store._sqlite:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    found = _version(connection)
    if found is None and (tables := inspect(connection).get_table_names()):
        raise UserError(
            f"{_shown(store._url)} is a database of something else (it holds a table"
            f" {min(tables)!r} and no version of Heed's). Name another place for the store."
        )
    if found == REVISION:
        return

    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    if found is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(found)
        except CommandError as error:
            raise UserError(
                f"The store at {_shown(store._url)} has schema {found}, which this version of Heed"
                f" does not know (it knows {REVISION}): a newer Heed wrote it. Upgrade Heed."
            ) from error
    command.upgrade(config, "head")


def _cannot_open(store: Store, error: BaseException) -> str:
    reason = why(error)
    password = store._url.password
    if isinstance(password, str) and password:
        reason = reason.replace(password, "***")
    return f"Cannot open the store at {_shown(store._url)}: {reason}."
