"""Every preference loss, and KTO, learns: gold rises beyond SFT's, from one run that they share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heed.config import load_recipe
from heed.pipeline import run_recipe
from heed.recipe import LOSSES
from heed.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first test waits for all

OPTIM = "{lr: 3e-4, micro_tokens: 3200}"
MORE = {"orpo": "beta: 1.0, "}
"""ORPO's own .1 leaves most of the step to imitation."""
RECIPE = """\
name: preference_learning
description: Small enough for a test, large enough to learn.
stages:
  - records: {corpus: 12000, demonstrations: 1500}
  - pretrain:
      batch: 32
      architecture: {model_type: llama, hidden_size: 96, intermediate_size: 256,
                     num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2}
      optim: {lr: 3e-3, schedule: cosine, warmup: 0.05, micro_tokens: 1600}
  - sft: {epochs: 2, batch: 32, optim: {lr: 1e-3, micro_tokens: 1600}}
  - collect: {policies: [sft, pretrain], comparisons: 2500, heldout: 400}
  - reward: {epochs: 2, batch: 64, optim: {lr: 1e-3, micro_tokens: 3200}}
METHODS
  - evaluate: {policies: {POLICIES}, samples: 800}
"""
LORA = "lora: {rank: 8}, optim: {lr: 2e-3, micro_tokens: 3200}"
STAGES = {
    **{name: f"dpo: {{name: {name}, loss: {name}, {MORE.get(name, '')}optim: {OPTIM}}}"
       for name in LOSSES},
    "kto": f"kto: {{optim: {OPTIM}}}",
    "simpo_lora": f"dpo: {{name: simpo_lora, loss: simpo, {LORA}}}",
    "kto_lora": f"kto: {{name: kto_lora, {LORA}}}",
}  # fmt: skip
RISES = {"slic": 0.1, "orpo": 0.1, "cpo": 0.1, "kto_lora": 0.1}
"""By how much gold rises at least; .15 where nothing is said. The first three also imitate the
chosen answers, some of which the base wrote."""


@pytest.fixture(scope="module")
def gaps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By method, the difference of gold from SFT's on held-out prompts."""
    folder = tmp_path_factory.mktemp("preference")
    labels = {"sft": "sft", **{name: name for name in STAGES}}
    text = RECIPE.replace("METHODS", "\n".join(f"  - {stage}" for stage in STAGES.values()))
    recipe = folder / "recipe.yaml"
    recipe.write_text(text.replace("{POLICIES}", json.dumps(labels)))
    run = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(run, say=lambda line: None)
    measures = json.loads((run.directory / "evaluate" / "measures.json").read_text())
    return {
        gap["better"]: gap["difference"]
        for gap in measures["gaps"]
        if gap["worse"] == "sft" and gap["measure"] == "gold"
    }


@pytest.mark.parametrize("name", STAGES)
def test_gold_rises(gaps: dict[str, dict[str, Any]], name: str) -> None:
    assert gaps[name]["mean"] > RISES.get(name, 0.15)
    assert gaps[name]["low"] > 0
