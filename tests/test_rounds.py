"""Rounds from end to end in miniature: online DPO, each round from the policy of the last one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.files import read_records
from heed.types import Comparison

RECIPE = """\
name: online
threads: 1
stages:
  - records: {corpus: 600, demonstrations: 64}
  - pretrain: {architecture: ARCHITECTURE, batch: 32, epochs: 4, optim: {lr: 0.01}}
  - sft: {epochs: 1, optim: {lr: 0.003}}
  - collect: {name: first, comparisons: 32, heldout: 24, sampling: &short {max_new_tokens: 20}}
  - rounds:
      times: 2
      improved: dpo
      stages:
        - collect: {policies: [sft, pretrain], comparisons: 32, heldout: 24, sampling: *short}
        - reward: {comparisons: [first, collect], batch: 16, epochs: 1, calibration: 32,
                   sampling: *short}
        - dpo: {batch: 16, epochs: 1}
  - evaluate: {policies: {sft: sft, round_1: dpo-1, round_2: dpo-2}, reward: reward-2, samples: 8,
               sampling: *short}
  - report
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str]) -> Path:
    prefix = "pretrain.architecture="
    (sizes,) = (line.removeprefix(prefix) for line in tiny_settings if line.startswith(prefix))
    folder = tmp_path_factory.mktemp("rounds")
    (folder / "online.yaml").write_text(RECIPE.replace("ARCHITECTURE", sizes))
    carry_out(load_recipe(str(folder / "online.yaml")), folder / "run", fresh=False)
    return folder / "run"


def test_every_round_asks_about_the_policy_that_the_last_one_left(run: Path) -> None:
    writers = {
        name: {
            writer
            for line in (run / name / "items.jsonl").read_text().splitlines()
            for writer in json.loads(line)["models"]
        }
        for name in ("collect-1", "collect-2")
    }
    assert writers == {"collect-1": {"sft", "pretrain"}, "collect-2": {"dpo-1", "pretrain"}}


def test_the_reward_model_learns_from_all_comparisons_so_far(run: Path) -> None:
    def count(*stages: str) -> int:
        return sum(len(read_records(run / name / "comparisons.jsonl", Comparison))
                   for name in stages)  # fmt: skip

    def summary(stage: str) -> int:
        done = json.loads((run / stage / "done.json").read_text())
        return int(done["summary"]["comparisons"])

    assert summary("reward-1") == count("first", "collect-1")
    assert summary("reward-2") == count("first", "collect-1", "collect-2")
    assert summary("dpo-1") == count("collect-1")


def test_the_rounds_improve_one_policy_and_stand_in_the_report(run: Path) -> None:
    weights = [(run / name / "policy" / "model.safetensors").read_bytes()
               for name in ("sft", "dpo-1", "dpo-2")]  # fmt: skip
    assert len(set(weights)) == 3
    report = json.loads((run / "report.json").read_text())
    assert list(report["policies"]) == ["sft", "round_1", "round_2"]
    page = (run / "report.html").read_text()
    for stage in ("collect-1", "reward-2", "dpo-2"):
        assert stage in page
