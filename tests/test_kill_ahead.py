"""Kill -9 where another process draws the next round; what is resumed equals the uninterrupted run.

The kills are those of `test_kill.py`; what they find in the other process depends on its pace. One
Ctrl-C is among them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from killed import ENVIRONMENT, KILLED, Killer, rows

RECIPE = """\
name: ahead
threads: 1
device: cpu
stages:
  - records: {corpus: 300, demonstrations: 60}
  - pretrain:
      architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64,
                     num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2,
                     max_position_embeddings: 128, tie_word_embeddings: true}
      batch: 25
      optim: {lr: 3e-3}
  - sft: {epochs: 1, batch: 8}
  - collect: {comparisons: 60, heldout: 24, sampling: {max_new_tokens: 16}}
  - reward: {epochs: 1, batch: 8, calibration: 32, sampling: {max_new_tokens: 16}}
  - rloo: {name: ahead, ahead: {}, iterations: 12, rollouts: 16, minibatches: 2,
           checkpoint_every: 4, sampling: {max_new_tokens: 16},
           kl: {coef: 0.1, target: 2.0, horizon: 100}}
  - ppo: {name: adapted, ahead: {cap: 1.1}, lora: {rank: 4}, iterations: 8, rollouts: 16,
          checkpoint_every: 3, sampling: {max_new_tokens: 16}, optim: {lr: 1e-2}}
"""
POINTS: list[dict[str, Any]] = [
    {"rows": ("ahead", 1)},
    {"torn": 3, "after": "ahead"},
    {"sync": 2, "after": "ahead"},
    {"rows": ("ahead", 10)},
    {"write": 2, "after": "adapted"},
    {"rows": ("adapted", 5)},
]
"""In the order in which a run comes to them: before the first checkpoint, in a row, in the writing
of a checkpoint, just after one and between two."""


def workers_of(parent: int) -> list[int]:
    """The processes that a process started to draw for it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            of = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if of == parent and b"ahead_worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def press_ctrl_c(recipe: Path, out: Path) -> str:
    """Run until some more rows of `ahead` are there, then interrupt as a terminal does, the whole
    group; returns what was said.
    """
    had = len(rows(out, "ahead"))
    running = subprocess.Popen(
        [sys.executable, "-m", "heed", "run", str(recipe), "--out", str(out)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while len(rows(out, "ahead")) < had + 2 and running.poll() is None:
        time.sleep(0.01)
    (worker,) = workers_of(running.pid)
    os.killpg(running.pid, signal.SIGINT)
    said = running.communicate(timeout=300)[0]
    assert not Path(f"/proc/{worker}").exists()
    return said


@pytest.mark.slow
def test_resuming_after_kill_9_changes_nothing(tmp_path: Path) -> None:
    recipe = tmp_path / "kill.yaml"
    recipe.write_text(RECIPE)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    with Killer() as killer:
        assert killer.run(recipe, whole) == 0
        assert [row["staleness"] for row in rows(whole, "adapted")] == [0.0] + [1.0] * 7
        for point in POINTS:
            assert killer.run(recipe, torn, **point) == KILLED, point
            if point is POINTS[0]:
                said = press_ctrl_c(recipe, torn)
                assert "all is saved" in said, said
        assert killer.run(recipe, torn) == 0
    assert (torn / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    for stage in ("ahead", "adapted"):
        name = f"{stage}/policy/model.safetensors"
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name
