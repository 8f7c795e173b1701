"""Several processes whose rounds servers draw: the first asks, and all learn from the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import train_on_ranks as toys
from rollout_servers import rollout_server
from toy_ranks import assert_same, rows, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario of this module, in a folder of its name; one server for all."""
    folder = tmp_path_factory.mktemp("elsewhere")
    server = toys.policy(layers=2)
    with torch.no_grad():
        for weight in server.model.parameters():
            weight.mul_(0.5)  # other ones than those that train
    with rollout_server(server) as (address, _):
        common = {"methods": ["far"], "iterations": 4, "servers": [address], "checkpoint_every": 1}
        killed = {**common, "ranks": 2, "folder": str(folder / "killed"), "kills": [
            ["loss", 5, 0], ["loss", 3, 1],
        ]}  # fmt: skip
        ahead = {**common, "ahead": True, "every": 2}
        said = run(
            {**common, "ranks": 1, "folder": str(folder / "one")},
            {**common, "ranks": 2, "folder": str(folder / "two")},
            {**common, "ranks": 2, "shard": True, "folder": str(folder / "sharded")},
            *({**killed, "attempt": attempt} for attempt in range(3)),
            {**ahead, "ranks": 1, "folder": str(folder / "ahead")},
            {**ahead, "ranks": 2, "shard": True, "folder": str(folder / "aheads"),
             "kills": [["loss", 5, 1]]},
            {**ahead, "ranks": 2, "shard": True, "folder": str(folder / "aheads"), "attempt": 1},
        )  # fmt: skip
    assert said.count("killed") == 3
    return folder


@pytest.mark.parametrize("name", ["two", "sharded", "killed"])
def test_as_one_process(place: Path, name: str) -> None:
    """Metrics to 1e-5, also where each of the two was killed."""
    wanted = rows(place / "one", "far")
    assert [row["staleness"] for row in wanted] == [0.0] * 4
    assert all(row["rollout_gap"] < 1e-5 for row in wanted)
    assert_same(place / name, place / "one", "far")


def test_rounds_ahead_are_in_the_checkpoint(place: Path) -> None:
    """Weights are sent every second round; a resumed run sends its own at once."""
    straight, resumed = rows(place / "ahead", "far"), rows(place / "aheads", "far")
    assert [row["staleness"] for row in straight] == [0, 1, 2, 1]
    assert [row["step"] for row in resumed] == [1, 2, 3, 4]
    assert resumed[0] == pytest.approx(straight[0], rel=1e-5, abs=1e-5)


def test_fewer_prompts_than_processes(tmp_path: Path) -> None:
    common = {"methods": ["grouped"], "iterations": 2}
    run(
        {**common, "ranks": 1, "folder": str(tmp_path / "one")},
        {**common, "ranks": 2, "folder": str(tmp_path / "two")},
    )
    assert_same(tmp_path / "two", tmp_path / "one", "grouped")
