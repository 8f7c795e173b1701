"""Annotators at work while the server is killed: nothing lost, nothing doubled, nobody asked twice.

A smaller day than the one of benchmarks/label_load.py, which has the figures.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from databases import KINDS, address

from benchmarks.label_checks import account, both_sides, nobody_twice
from benchmarks.label_load import Load, Outcome, run
from heed.web.server import listen

LOAD = Load(annotators=24, labels=600, kills=3, lease_seconds=4, seed=4)


def test_answers_are_not_held_back() -> None:
    """asyncio turns Nagle's algorithm off where a socket says that it is TCP, and only there."""

    async def served(sock: socket.socket) -> int:
        quick = asyncio.get_running_loop().create_future()

        def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ours: socket.socket = writer.get_extra_info("socket")
            quick.set_result(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(look, sock=sock):
            _, writer = await asyncio.open_connection(*sock.getsockname())
            found: int = await quick
            writer.close()
            await writer.wait_closed()
        return found

    with closing(listen("127.0.0.1", 0)) as sock:
        assert asyncio.run(served(sock))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_label_is_lost_or_doubled(kind: str, tmp_path: Path) -> None:
    outcome = run(address(kind, tmp_path), LOAD, tmp_path / "server.log")
    assert outcome.account.problems == []
    assert outcome.account.labels == outcome.site.wanted == 600
    assert outcome.missing == 0
    day = outcome.day
    assert day.acknowledged == 600
    assert len(outcome.server.down) == LOAD.kills
    assert day.retries["submit"] > 0  # the kills were felt
    assert day.sent_twice > 0
    assert {trouble for trouble in day.troubles if trouble[0] in "45"} <= {"409 lease_lost"}
    whatever_was_wrong_would_be_seen(outcome)


def whatever_was_wrong_would_be_seen(outcome: Outcome) -> None:
    """The same day, remembered otherwise: as if the database had lost or changed something."""
    site, day = outcome.site, outcome.day

    def wrong(**changes: Any) -> list[str]:
        return account(replace(site, **changes), day).problems

    assert any("item 200 has 0 labels, not 3" in problem for problem in wrong(items=201))
    assert sum("has 3 labels, not 2" in problem for problem in wrong(per_item=2)) == 200
    kept = next(said for said in day.said if said.sent)
    kept.body["seconds"] += 0.25
    assert [problem.split(":")[0] for problem in wrong()] == ["changed"]
    kept.body["seconds"] -= 0.25
    kept.shown = kept.shown[::-1]
    assert [problem.split(":")[0] for problem in wrong()] == ["changed"]
    kept.shown = kept.shown[::-1]
    kept.refused = "lease_lost"
    assert [problem.split(" (")[0] for problem in wrong()] == ["refused"]
    kept.refused = ""
    key, kept.body["key"] = kept.body["key"], "another"
    assert sorted(problem.split(":")[0] for problem in wrong()) == ["from nowhere", "lost"]
    kept.body["key"] = key
    assert wrong() == []


def test_doubles_and_fixed_sides_would_be_seen() -> None:
    """The database itself forbids the first, so the rows are made up here."""
    site: Any = None
    row = {"item": "item 1", "member": "Anna", "kind": "wanted", "occasion": 0, "revision": 0,
           "done_at": "now", "slot_id": 1, "shown": [0, 1]}  # fmt: skip

    def rows(*changes: dict[str, Any]) -> Any:
        return {str(at): _Row(**{**row, **change}) for at, change in enumerate(changes)}

    assert not list(nobody_twice(site, [], rows({}, {"member": "Bert", "slot_id": 2})))
    assert len(list(nobody_twice(site, [], rows({}, {"slot_id": 2})))) == 1
    assert len(list(nobody_twice(site, [], rows({}, {"member": "Bert"})))) == 1
    assert len(list(nobody_twice(site, [], rows({"done_at": None})))) == 1
    assert list(both_sides(site, [], rows(*[{}] * 40)))
    assert not list(both_sides(site, [], rows(*[{}, {"shown": [1, 0]}] * 20)))


class _Row(SimpleNamespace):
    """A row of the database, near enough."""

    def __iter__(self) -> Any:
        return iter(vars(self).values())
