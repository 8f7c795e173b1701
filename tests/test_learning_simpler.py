"""What comes before reinforcement learning: to imitate what people chose, or all answers with their
level of reward, raises gold beyond SFT by stated amounts.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from heed.config import load_recipe
from heed.pipeline import run_recipe
from heed.run import Run

# One run for all of them, which the first test waits for.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

RECIPE = """\
name: simpler
threads: 1
device: cpu
stages:
  - records: {corpus: 12000, demonstrations: 1500, documents: 4000}
  - pretrain:
      batch: 32
      architecture: {model_type: llama, hidden_size: 96, intermediate_size: 256,
                     num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2,
                     max_position_embeddings: 256, tie_word_embeddings: true}
      optim: {lr: 3e-3, schedule: cosine, warmup: 0.05, micro_tokens: 1600}
  - sft: {epochs: 2, batch: 32, optim: {lr: 1e-3, micro_tokens: 1600}}
  - collect: {policies: [sft, pretrain], comparisons: 2500, heldout: 400}
  - reward: {epochs: 2, batch: 64, optim: {lr: 1e-3, micro_tokens: 3200}}
  - sft: {name: chosen, policy: sft, comparisons: collect, epochs: 2, batch: 64,
          optim: {lr: 1e-3, micro_tokens: 3200}}
  - reward_conditioned: {samples: 6000, among: prompt, epochs: 3, batch: 64,
                         optim: {lr: 1e-3, micro_tokens: 3200}}
  - evaluate: {policies: {sft: sft, chosen: chosen, conditioned: reward_conditioned},
               samples: 800}
  - report
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("simpler")
    recipe = folder / "learn.yaml"
    recipe.write_text(RECIPE)
    run = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(run, say=lambda line: None)
    found: dict[str, Any] = json.loads((run.directory / "report.json").read_text())
    return found


@pytest.mark.parametrize(("policy", "least"), [("chosen", 0.06), ("conditioned", 0.12)])
def test_gold_rises(report: dict[str, Any], policy: str, least: float) -> None:
    """Measured: .17 and .26."""
    (gap,) = [
        gap["difference"] for gap in report["gaps"]
        if (gap["better"], gap["worse"], gap["measure"]) == (policy, "sft", "gold")
    ]  # fmt: skip
    assert gap["mean"] > least
    assert gap["low"] > 0.0
