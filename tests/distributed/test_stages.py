"""Whole stages on two processes with sharded weights, gates included, beside one process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rollout_servers import rollout_server
from toy_ranks import ENVIRONMENT

from heed.models.language_model import load_language_model

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "stages_on_ranks.py"
SMALL = {"iterations": 2, "rollouts": 16, "sampling": {"max_new_tokens": 12}, "shard": True}
OPTIM = {"lr": 1e-3, "eps": 1e-3}


def ran(run: Path, place: Path, settings: list[str], kind: str, ranks: int, **own: Any) -> Path:
    """A copy of the run after one more stage."""
    copy = shutil.copytree(run, place / str(ranks) / run.name)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    entry = json.dumps({kind: {"name": "more", "optim": OPTIM, **own}})
    words = [str(SCRIPT), str(copy), json.dumps(settings), entry]
    done = subprocess.run(
        [sys.executable, *(torchrun if ranks > 1 else []), *words],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return copy


def rows(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in lines if row.pop("stage") == "more"]


def findings(run: Path) -> dict[str, dict[str, Any]]:
    lines = (run / "more" / "gates.jsonl").read_text().splitlines()
    return {row["gate"]: row for row in map(json.loads, lines)}


def assert_same(two: Path, one: Path, tolerance: float = 2e-5) -> None:
    pairs = list(zip(rows(two), rows(one), strict=True))
    assert len(pairs) >= 2
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_ppo(run_copy: Path, tmp_path: Path, tiny_settings: list[str], elsewhere: bool) -> None:
    """Gates look at sharded models, and at what servers draw, and find the same."""
    server = load_language_model(run_copy / "pretrain/policy", device="cpu")
    with rollout_server(server) as (address, _):
        more = {"servers": {"addresses": [address], "host": "127.0.0.1"}} if elsewhere else {}
        one, two = (
            ran(run_copy, tmp_path, tiny_settings, "ppo", ranks, **SMALL, **more)
            for ranks in (1, 2)
        )
    assert_same(two, one)
    found, wanted = findings(two), findings(one)
    assert found.keys() == wanted.keys() >= {"logprobs", "draws", "step", "leash"}
    for name in ("draws", "step", "leash"):
        assert found[name]["tripped"] == wanted[name]["tripped"]
        assert found[name]["statistic"] == pytest.approx(wanted[name]["statistic"], rel=0.02)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_supervised(run_copy: Path, tmp_path: Path, tiny_settings: list[str], kind: str) -> None:
    own = {"epochs": 1, "batch": 16, "shard": True, "checkpoint_activations": True}
    one, two = (ran(run_copy, tmp_path, tiny_settings, kind, ranks, **own) for ranks in (1, 2))
    if kind == "dpo":  # at first the policy is the reference: all gaps are 0 or rounding
        for run in (one, two):
            file = run / "metrics.jsonl"
            text = [json.loads(line) for line in file.read_text().splitlines()]
            text = [{**row, "accuracy": 0} if row["stage"] == "more" else row for row in text]
            file.write_text("".join(json.dumps(row) + "\n" for row in text))
    assert_same(two, one)
