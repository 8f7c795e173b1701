"""A run whose rollout servers are killed and begun anew, and one whose trainer is."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killed import ENVIRONMENT, KILLED, Killer, rows
from small_base import run_stages
from test_kill_ahead import RECIPE

from benchmarks.rollout_servers import KEY, Rounds, Served, killing, served

ITERATIONS = 16
FAR = """\
  - ppo: {{name: {name}, iterations: 16, kl: {{coef: 0.15}}, value_lr_scale: 3.0, {more}
          optim: {{lr: 3e-4, schedule: constant, micro_tokens: 3200}}}}
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(ENVIRONMENT, name, value)


@pytest.fixture
def two(small_base: Path) -> Iterator[list[Served]]:
    """Two servers that began with the pretrained policy, not with the one that trains."""
    with served(small_base / "pretrain/policy", 2) as servers:
        yield servers


def logged(run: Path, stage: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in lines if row["stage"] == stage]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_servers_killed_three_times_each_cost_neither_answers_nor_gold(
    small_base: Path, two: list[Served], tmp_path: Path
) -> None:
    """PPO, beside the same in one process: every answer once, and as much gold an iteration."""
    addresses = ", ".join(server.address for server in two)
    stages = FAR.format(name="here", more="")
    stages += FAR.format(name="far", more=f"servers: {{addresses: [{addresses}]}},")
    with Rounds().listening() as rounds, killing(two, rounds, times=3, every=2):
        run = run_stages(stages, tmp_path, small_base)
    assert [server.kills for server in two] == [3, 3]
    assert rounds.failures >= 6
    assert rounds.wrong == []
    here, far = logged(run, "here"), logged(run, "far")
    assert [row["step"] for row in far] == list(range(1, ITERATIONS + 1))
    assert all(row["rollout_gap"] < 1e-4 for row in far)
    assert all(row["staleness"] == 0 for row in far)

    def gold(found: list[dict[str, Any]], part: slice) -> float:
        return statistics.mean(row["gold"] for row in found[part])

    first, last = slice(0, 3), slice(-5, None)
    assert gold(far, last) - gold(far, first) > 0.1
    assert abs(gold(far, last) - gold(here, last)) < 0.2


@pytest.mark.slow
def test_a_trainer_that_is_killed_goes_on(tmp_path: Path) -> None:
    """It sends its weights anew; a round that was drawn ahead is in the checkpoint."""
    recipe, out = tmp_path / "far.yaml", tmp_path / "run"
    base = RECIPE.partition("  - rloo:")[0]
    recipe.write_text(base)
    with Killer() as killer:
        assert killer.run(recipe, out) == 0
        with served(out / "pretrain/policy", 2) as servers:
            addresses = ", ".join(server.address for server in servers)
            far = "iterations: 8, rollouts: 16, checkpoint_every: 3, "
            far += f"servers: {{addresses: [{addresses}]}}"
            short = "sampling: {max_new_tokens: 16}"
            recipe.write_text(
                f"{base}  - rloo: {{name: far, {far}, {short}}}\n"
                f"  - rloo: {{name: ahead, ahead: {{}}, {far}, {short}}}\n"
            )
            for stage in ("far", "ahead"):
                assert killer.run(recipe, out, rows=(stage, 5)) == KILLED
            assert killer.run(recipe, out) == 0
    for stage, behind in (("far", 0), ("ahead", 1)):
        found = rows(out, stage)
        assert [row["step"] for row in found] == list(range(1, 9))
        assert [row["staleness"] for row in found] == [0] + [behind] * 7
        assert max(float(str(row["rollout_gap"])) for row in found) < 0.1


def test_a_server_that_others_can_reach_wants_a_key(tmp_path: Path) -> None:
    words = ["rollouts", str(tmp_path), "--host", "0.0.0.0"]
    for more, said in (([], "give --key"), (["--key", "NO_SUCH_KEY"], "NO_SUCH_KEY is empty")):
        done = subprocess.run(
            [sys.executable, "-m", "heed", *words, *more],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert said in " ".join(done.stderr.split())
