"""What is learned from rewards of every kind: gold rises beyond SFT by stated amounts.

One small base for all: an ensemble of reward models, PPO against it, the best of n and rejection
sampling by it, and rejection sampling by what can be verified.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.config import load_recipe
from heed.pipeline import run_recipe
from heed.run import Run

pytestmark = pytest.mark.slow

RECIPE = """\
name: learn
threads: 1
device: cpu
stages:
  - records: {corpus: 12000, demonstrations: 1500}
  - pretrain:
      batch: 32
      architecture: {model_type: llama, hidden_size: 96, intermediate_size: 256,
                     num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2,
                     max_position_embeddings: 256, tie_word_embeddings: true}
      optim: {lr: 3e-3, schedule: cosine, warmup: 0.05, micro_tokens: 1600}
  - sft: {epochs: 2, batch: 32, optim: {lr: 1e-3, micro_tokens: 1600}}
  - collect: {policies: [sft, pretrain], comparisons: 2500, heldout: 400}
  - ensemble: {members: 3, epochs: 2, batch: 64, optim: {lr: 1e-3, micro_tokens: 3200}}
  - correct: {comparisons: collect}
  - ppo: {reward: ensemble, iterations: 24, kl: {coef: 0.15}, value_lr_scale: 3.0,
          optim: {lr: 3e-4, micro_tokens: 3200}}
  - best_of_n: {reward: ensemble, n: 8}
  - rejection: {reward: ensemble, rounds: 6, prompts: 384, candidates: 4, batch: 128,
                optim: {lr: 3e-4, schedule: constant, micro_tokens: 3200}}
  - rejection: {name: by-check, reward: correct, rounds: 8, prompts: 96, candidates: 8, batch: 32,
                optim: {lr: 3e-4, schedule: constant, micro_tokens: 3200}}
  - evaluate: {policies: {sft: sft, ppo: ppo, best_of_n: best_of_n, rejection: rejection,
                          by_check: by-check}, reward: ensemble, samples: 800}
  - report
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rewards")
    recipe = folder / "learn.yaml"
    recipe.write_text(RECIPE)
    finished = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(finished, say=lambda line: None)
    return finished.directory


@pytest.fixture
def report(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    return found


def gain(report: dict[str, Any], policy: str, measure: str) -> dict[str, float]:
    """How far a policy lies above SFT, paired by prompt."""
    (gap,) = [
        gap for gap in report["gaps"]
        if (gap["better"], gap["worse"], gap["measure"]) == (policy, "sft", measure)
    ]  # fmt: skip
    difference: dict[str, float] = gap["difference"]
    return difference


@pytest.mark.parametrize(
    ("policy", "least"), [("ppo", 0.25), ("best_of_n", 0.25), ("rejection", 0.15)]
)
def test_gold_rises_by_an_ensemble(report: Any, policy: str, least: float) -> None:
    found = gain(report, policy, "gold")
    assert found["mean"] > least
    assert found["low"] > 0.0


def test_a_verifiable_reward_raises_its_own_measure(report: Any) -> None:
    assert gain(report, "by_check", "correct")["mean"] > 0.03


def test_members_agree_with_people_and_less_with_each_other(run: Path) -> None:
    summary = json.loads((run / "ensemble" / "done.json").read_text())["summary"]
    assert all(member["mean"] > 0.6 for member in summary["member_accuracy"])
    assert summary["accuracy"]["mean"] > 0.6
    assert summary["spread"] > 0.1
