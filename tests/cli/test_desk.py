"""The labelling page of a run: which server it takes for its own, and what it never prints."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from web.browser import serving

from heed.cli import desk
from heed.errors import UserError
from heed.recipe import People
from heed.store import items, projects
from heed.store.database import Store, masked
from heed.types import Item, Prompt
from heed.web.app import create_app

PROJECT = "feedback-12345678"
SECRET = "postgresql://heed:S3CRET@127.0.0.1:1/none?password=S3CRET"


def store_at(path: Path) -> Path:
    with closing(Store.open(path)) as store, store.write() as session:
        made = projects.create(session, PROJECT)
        items.add(session, made.id, [Item("train-0", Prompt.of("q"), ("a", "b"))])
    return path


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return store_at(tmp_path / "ours.db")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server of a project of the same name, in another store."""
    with (
        closing(Store.open(store_at(tmp_path / "others.db"))) as store,
        serving(create_app(store, PROJECT, accounts=False)) as address,
    ):
        yield int(address.rsplit(":", 1)[1])


def test_a_server_of_the_same_store_is_used(tmp_path: Path, port: int) -> None:
    with desk.open_desk(People(port=port))(str(tmp_path / "others.db"), PROJECT) as page:
        assert page.address == f"http://127.0.0.1:{port}"
        page.keep_alive()
        assert isinstance(page, desk.LabelServer)
        assert page.process is None


def test_a_server_that_lets_anyone_in_is_not_used_where_accounts_are_wanted(
    tmp_path: Path, port: int
) -> None:
    wanted = People(port=port, accounts=True)
    with desk.open_desk(wanted)(str(tmp_path / "others.db"), PROJECT) as page:
        assert page.address != f"http://127.0.0.1:{port}"
        with urlopen(f"{page.address}/health") as reply:
            assert json.load(reply)["accounts"] is True


def test_a_server_of_another_store_is_left_alone(ours: Path, port: int) -> None:
    with closing(Store.open(ours)) as store, store.read() as session:
        found = projects.find(session, PROJECT)
        assert found is not None
    with desk.open_desk(People(port=port))(str(ours), PROJECT) as page:
        assert page.address != f"http://127.0.0.1:{port}"
        with urlopen(f"{page.address}/health") as reply:
            assert json.load(reply)["uid"] == found.uid


def test_no_password_is_printed(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert masked(SECRET) == "postgresql+psycopg://heed:***@127.0.0.1:1/none"
    assert masked("kept/labels.db") == "kept/labels.db"
    with pytest.raises(UserError) as unreachable:
        desk.LabelServer(People(), SECRET, PROJECT)
    server = desk.LabelServer(People(port=1), str(ours), PROJECT)
    server.place = SECRET
    monkeypatch.setattr(desk, "START_SECONDS", 0.0)
    with pytest.raises(UserError, match="did not come up") as silent:
        server._wait(subprocess.Popen([sys.executable, "-c", ""]))
    for raised in (unreachable, silent):
        assert "S3CRET" not in str(raised.value)


def test_a_project_that_is_not_there(ours: Path) -> None:
    with pytest.raises(UserError, match=r"ours\.db has no project 'another'"):
        desk.LabelServer(People(), str(ours), "another")


def test_the_last_port_may_be_taken() -> None:
    with socket.socket() as last:
        last.bind(("127.0.0.1", 65_535))
        last.listen()
        assert 0 < desk._free_port("127.0.0.1", 65_535) < 65_535


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_address_of_all_addresses_can_be_typed(ours: Path, host: str) -> None:
    server = desk.LabelServer(People(host=host), str(ours), PROJECT)
    assert server.address == f"http://{socket.gethostname()}:{server.port}"


def test_an_address_of_version_6(ours: Path) -> None:
    server = desk.LabelServer(People(host="::1"), str(ours), PROJECT)
    assert server.address == f"http://[::1]:{server.port}"
    try:
        with socket.socket(socket.AF_INET6) as there:
            there.bind(("::1", 0))
    except OSError:
        with pytest.raises(UserError, match="No port of ::1 is free"):
            desk._free_port("::1", 8765)
    else:
        assert desk._free_port("::1", 8765) >= 8765
