"""Several processes with sharded weights, beside one process."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_ranks import ENVIRONMENT, TOY, assert_same, rows, run

pytestmark = pytest.mark.slow

METHODS = ["sft", "reward", "dpo", "ppo"]


def bytes_held(folder: Path, ranks: int, method: str) -> list[int]:
    files = [folder / f"measured-{rank}.json" for rank in range(ranks)]
    return [json.loads(file.read_text())[method] for file in files]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario of this module, in a folder of its name."""
    place = tmp_path_factory.mktemp("ranks")
    common = {"iterations": 4, "checkpoint_every": 2, "shard": True}
    stopped = {**common, "methods": ["ppo"], "folder": str(place / "resharded")}
    scenarios = [
        {**common, "ranks": 1, "methods": METHODS, "folder": str(place / "one")},
        {**common, "ranks": 2, "methods": METHODS, "folder": str(place / "two")},
        {**stopped, "ranks": 3, "kills": [["loss", 18, 2]]},
        {**stopped, "ranks": 1, "kills": [["file", 30, 0]]},
        {**stopped, "ranks": 2},
        *(
            {
                **common,
                "ranks": n,
                "methods": ["dpo"],
                "lora": True,
                "iterations": 2,
                "folder": str(place / name),
            }
            for n, name in ((1, "adapter"), (2, "adapters"))
        ),
    ]
    run(*scenarios)
    return place


@pytest.mark.parametrize("method", METHODS)
def test_sharded_training_is_that_of_one_process(runs: Path, method: str) -> None:
    assert len(rows(runs / "one", method)) == 4
    assert_same(runs / "two", runs / "one", method)


@pytest.mark.parametrize("method", METHODS)
def test_each_process_holds_its_part(runs: Path, method: str) -> None:
    (whole,) = bytes_held(runs / "one", 1, method)
    parts = bytes_held(runs / "two", 2, method)
    assert sum(parts) == whole
    assert max(parts) <= 0.51 * whole


def test_a_killed_run_goes_on_with_another_number_of_processes(runs: Path) -> None:
    assert_same(runs / "resharded", runs / "one", "ppo")


def test_adapters_train_on_a_sharded_base(runs: Path) -> None:
    assert_same(runs / "adapters", runs / "adapter", "dpo")
    assert max(bytes_held(runs / "adapters", 2, "dpo")) <= (
        0.51 * bytes_held(runs / "adapter", 1, "dpo")[0]
    )
    weights = torch.load(runs / "adapters" / "dpo.pt")
    assert any(bool(w.any()) for name, w in weights.items() if "lora_B" in name)


def test_a_checkpoint_is_a_file_a_process_and_no_pickle(runs: Path) -> None:
    folder = runs / "two" / "ppo" / "sft" / "checkpoints" / "last-000004"
    assert sorted(file.name for file in folder.iterdir()) == [
        "rank-00000.safetensors",
        "rank-00001.safetensors",
        "state.json",
    ]
    whole = runs / "one" / "ppo" / "sft" / "checkpoints" / "last-000004" / "tensors.safetensors"
    sizes = [file.stat().st_size for file in folder.glob("rank-*")]
    assert max(sizes) < 0.65 * whole.stat().st_size
    left = [path for path in (runs / "resharded").rglob("checkpoints/*") if path.name[0] == "."]
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps_on_four_processes(method: str, tmp_path: Path) -> None:
    common = {"iterations": 20, "methods": [method]}
    scenarios = [
        {**common, "ranks": 1, "folder": str(tmp_path / "1")},
        {**common, "ranks": 2, "shard": True, "folder": str(tmp_path / "2")},
        {**common, "ranks": 4, "shard": True, "folder": str(tmp_path / "4")},
    ]
    run(*scenarios)
    for ranks in ("2", "4"):
        assert_same(tmp_path / ranks, tmp_path / "1", method)


def kills(name: str, count: int) -> list[list[Any]]:
    """So many random points at which one of two processes dies: in a pass, in a write."""
    draw = random.Random(name)
    points = [("loss", 8), ("file", 20)] * count
    return [[what, draw.randint(1, most), draw.randrange(2)] for what, most in points][:count]


def assert_same_bits(place: Path, method: str) -> None:
    """What was killed left what was not."""
    assert rows(place / "killed", method) == rows(place / "straight", method)
    weights = [torch.load(place / name / f"{method}.pt") for name in ("killed", "straight")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_at_ten_points_it_goes_on_to_the_same_bits(method: str, tmp_path: Path) -> None:
    common = {"ranks": 2, "methods": [method], "iterations": 16, "shard": True}
    common["checkpoint_every"] = 1
    killed = {**common, "folder": str(tmp_path / "killed"), "kills": kills(method, 10)}
    scenarios = [
        {**common, "folder": str(tmp_path / "straight")},
        *({**killed, "attempt": attempt} for attempt in range(11)),
    ]
    assert run(*scenarios, timeout=300).count("killed") == 10
    assert_same_bits(tmp_path, method)


@pytest.mark.slow
def test_torchrun_restarts_killed_processes(tmp_path: Path) -> None:
    options = {"methods": ["sft"], "iterations": 10, "checkpoint_every": 1, "shard": True}
    for name, plan in (("straight", []), ("killed", kills("torchrun", 4))):
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        words = [str(TOY), str(tmp_path / name), json.dumps({**options, "kills": plan})]
        command = [sys.executable, *torchrun, f"--max-restarts={len(plan)}", *words]
        done = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert_same_bits(tmp_path, "sft")
