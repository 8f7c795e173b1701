"""A smaller load than the one of benchmarks/serve_load.py, and a smaller loop than that of
benchmarks/closed_loop.py, which have the figures.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from own_model import save_model

from benchmarks import closed_loop, serve_load
from benchmarks.serve_load import Outcome


@pytest.mark.slow
def test_under_load_no_reply_is_lost_or_mixed_up(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    day = serve_load.run(str(model), 32, 64, 120, slots=8, waiting=28, folder=tmp_path)
    under, over = day.under, day.over
    assert (under.right, under.statuses) == (64, {"200": 64})
    assert not day.wrong
    assert over.right == over.statuses["200"] >= 36
    assert over.statuses["429"] == 120 - over.statuses["200"] > 0
    assert day.kept == serve_load.WARMING + 64 + over.right
    assert day.status == 0  # SIGTERM ends it in order
    # What would be wrong is seen: a reply that is another's, a refusal that does not say when.
    over.mixed_up.append(0)
    assert over.wrong
    under.without_wait += 1
    assert under.wrong
    assert day.wrong
    assert serve_load.Day(
        Outcome(), Outcome(), 0, serve_load.WARMING - 1
    ).wrong  # one reply is missing


@pytest.mark.slow
def test_users_of_a_server_improve_its_policy(small_base: Path, tmp_path: Path) -> None:
    made, heard = asyncio.run(
        closed_loop.loop(f"{small_base}:sft", tmp_path, rounds=1, exchanges=500, measured=300)
    )
    first, last = (each.gold for each in made)
    assert last.mean > first.mean + 0.05
    assert made[0].said["preferences"] > 300
    assert heard.failed == []
    assert set(heard.versions) == {"weights-1", "weights-2"}
