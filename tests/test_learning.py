"""Every method learns: the gold reward of the embedded world rises, by a stated amount.

From checkpoints of several architectures, saved locally and given by `model=DIR`, and with LoRA.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from heed.config import load_recipe
from heed.models.language_model import load_language_model
from heed.pipeline import run_recipe
from heed.run import Run
from heed.sampling.local import LocalSampler
from heed.types import Prompt

pytestmark = pytest.mark.slow

SIZES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3,
              "num_attention_heads": 4, "num_key_value_heads": 2},
    "qwen2": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3,
              "num_attention_heads": 4, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 96, "n_layer": 3, "n_head": 4, "n_positions": 128},
}  # fmt: skip
RECIPE = """\
name: learning
description: Small enough for a test, large enough to learn.
stages:
  - records: {corpus: 12000, demonstrations: 1500}
  - pretrain:
      batch: 32
      architecture: ARCHITECTURE
      optim: {lr: 3e-3, schedule: cosine, warmup: 0.05, micro_tokens: 1600}
  - sft: {epochs: 2, batch: 32, optim: {lr: 1e-3, micro_tokens: 1600}}
  - collect: {policies: [sft, pretrain], comparisons: 2500, heldout: 400}
  - reward: {epochs: 2, batch: 64, optim: {lr: 1e-3, micro_tokens: 3200}}
  - ppo: {iterations: 40, kl: {coef: 0.15}, optim: {lr: 3e-4, micro_tokens: 3200},
          value_lr_scale: 3.0}
  - dpo: {epochs: 1, batch: 64, optim: {lr: 3e-4, micro_tokens: 3200}}
  - evaluate: {samples: 800}
  - report
"""


def learn(folder: Path, architecture: dict[str, Any], *overrides: str) -> Path:
    """Run the recipe; returns the run's directory."""
    recipe = folder / "learning.yaml"
    recipe.write_text(RECIPE.replace("ARCHITECTURE", json.dumps(architecture)))
    run = Run(load_recipe(str(recipe), overrides), folder / "run")
    run_recipe(run, say=lambda line: None)
    return run.directory


def measure(run: Path, policy: str, name: str) -> float:
    report = json.loads((run / "report.json").read_text())
    return float(report["policies"][policy][name]["mean"])


@pytest.fixture(scope="module", params=sorted(SIZES))
def from_checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that starts from a local checkpoint of another architecture, given by its path."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = folder / "base.yaml"
    architecture = {"model_type": request.param, **SIZES[request.param]}
    recipe.write_text(RECIPE.replace("ARCHITECTURE", json.dumps(architecture)))
    base = Run(load_recipe(str(recipe)).needed_for("pretrain"), folder / "base")
    run_recipe(base, say=lambda line: None)
    return learn(folder, architecture, f"model={base.directory / 'pretrain' / 'policy'}")


def test_gold_rises_by_every_method(from_checkpoint: Path) -> None:
    base, sft, ppo, dpo = (
        measure(from_checkpoint, policy, "gold") for policy in ("base", "sft", "ppo", "dpo")
    )
    assert sft - base > 0.5
    assert ppo - sft > 0.25
    assert dpo - sft > 0.15


def test_what_was_saved_loads_in_plain_transformers(from_checkpoint: Path) -> None:
    prompt = Prompt.of("Hello there.")
    for stage in ("sft", "ppo", "dpo"):
        folder = from_checkpoint / stage / "policy"
        model = AutoModelForCausalLM.from_pretrained(folder)
        # Not AutoTokenizer: for qwen2 it puts the family's own in place of what was saved.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt.text}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        out = model.generate(ids, max_new_tokens=30, do_sample=False)
        plain = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        sampler = LocalSampler(
            load_language_model(folder, dtype="float32"), max_new_tokens=30, temperature=0.0
        )
        (ours,) = sampler.sample([prompt])
        assert plain == ours.text
        assert len(plain.split()) > 1
    reward = AutoModelForSequenceClassification.from_pretrained(from_checkpoint / "reward/model")
    assert reward.config.num_labels == 1


def test_gold_rises_with_lora(tmp_path: Path) -> None:
    architecture = {"model_type": "llama", **SIZES["llama"]}
    run = learn(
        tmp_path, architecture, "ppo.lora={rank: 8}", "dpo.lora={rank: 8}",
        "ppo.optim.lr=1e-3", "dpo.optim.lr=1e-3",
    )  # fmt: skip
    sft, ppo, dpo = (measure(run, policy, "gold") for policy in ("sft", "ppo", "dpo"))
    assert ppo - sft > 0.2
    assert dpo - sft > 0.1
    assert (run / "ppo/policy/adapter/adapter_config.json").exists()
    AutoModelForCausalLM.from_pretrained(run / "ppo" / "policy")
