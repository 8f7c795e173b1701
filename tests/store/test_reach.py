"""A PostgreSQL server that goes away: how long it is waited for, and what is left afterwards."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cable import Cable
from databases import postgres_url
from labelling import all_said, draw, project, say
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from heed.errors import UserError
from heed.store import reach
from heed.store.database import Store
from heed.store.reach import Reach, connection_settings, unreachable
from heed.store.schema import AnnotationRow

THREADS = 12


@pytest.fixture
def cable() -> Iterator[Cable]:
    with Cable(postgres_url()) as made:
        yield made


@pytest.fixture
def silent() -> Iterator[str]:
    """A server whose packets are lost: its queue is full, so that no connection comes about."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/heed"


def test_what_the_address_says_itself_holds() -> None:
    assert connection_settings({})["connect_timeout"] == reach.CONNECT_SECONDS
    given = connection_settings({"connect_timeout": "60", "tcp_user_timeout": "0"})
    assert sorted(given) == [
        "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    ]  # fmt: skip


def test_both_ends_look_after_a_connection(cable: Cable) -> None:
    with closing(Store.open(cable.url)) as store, store.read() as session:
        raw = session.connection().connection.driver_connection
        assert raw is not None
        with socket.socket(fileno=socket.dup(raw.fileno())) as ours:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            kept = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert kept == 1000 * reach.LOST_SECONDS
        # The server knows all four, though on its Unix socket it has no use for them.
        assert session.scalars(text(reach.TELL)).all() == ["0"] * len(reach.SERVER)


def test_a_server_that_never_answers_is_not_waited_for_long(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "CONNECT_SECONDS", 2)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"Cannot open the store at postgresql.*127\.0\.0\.1"):
        Store.open(silent)
    assert time.monotonic() - began < 6


class Away(Exception):  # noqa: N818
    """What a driver raises."""


def test_one_thread_tries_and_the_others_are_told() -> None:
    one, tries, told = Reach(), [], []
    leave = threading.Event()

    def hang() -> None:
        tries.append(1)
        leave.wait(10)
        raise Away("no route")

    def ask() -> None:
        try:
            one._attempt(hang, Away)
        except Away as error:
            told.append(str(error))

    first = threading.Thread(target=ask)
    leave.set()
    first.start()
    first.join()
    leave.clear()
    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while len(told) < THREADS and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (len(told), len(tries)) == (THREADS, 2)
    leave.set()
    for thread in threads:
        thread.join()
    assert told == ["no route"] * (THREADS + 1)
    assert one._attempt(lambda: "connected", Away) == "connected"
    with pytest.raises(ZeroDivisionError):  # what is no failure to connect passes through
        one._attempt(lambda: 1 / 0, Away)


def test_a_lost_reply_to_a_commit_neither_loses_nor_doubles(cable: Cable) -> None:
    """The answer is in the store and its author was not told: sent again, it is the same one."""
    with closing(Store.open(cable.url)) as store:
        made, (ann, bob) = project(store, 4, per_item=2)
        for person in (ann, bob, ann):
            task = draw(store, made, person)
            cable.losing = 1
            with pytest.raises(OperationalError) as lost:
                say(store, made, person, task, verdict=6)
            assert unreachable(lost.value)
            saved = all_said(store, made)
            assert saved[-1] == say(store, made, person, task, verdict=6)
            assert all_said(store, made) == saved
        assert cable.lost == 3
        with store.read() as session:
            keys = session.scalars(select(AnnotationRow.key)).all()
    assert len(set(keys)) == len(keys) == 3


def test_a_store_whose_server_was_away_goes_on(cable: Cable) -> None:
    with closing(Store.open(cable.url)) as store:
        made, (ann, _) = project(store, 4)
        task = draw(store, made, ann)
        cable.cut()
        for _ in range(2):
            with pytest.raises(OperationalError) as away:
                say(store, made, ann, task)
            assert unreachable(away.value)
        cable.mend()
        assert say(store, made, ann, task) == all_said(store, made)[0]


def test_what_is_not_the_servers_absence(tmp_path: Path, cable: Cable) -> None:
    for place in (str(tmp_path / "own.db"), cable.url):
        with closing(Store.open(place)) as store, store.read() as session:
            with pytest.raises((OperationalError, ProgrammingError)) as wrong:
                session.execute(text("SELECT nothing FROM nowhere"))
            assert not unreachable(wrong.value)
    assert not unreachable(OSError("no route to host"))
