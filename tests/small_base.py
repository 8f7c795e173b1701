"""What learning tests begin from: a base, SFT, comparisons and a reward model, trained once.

A test writes a recipe that begins with `RECIPE` and runs it in a copy of `small_base`, where those
stages are done.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from heed.config import load_recipe
from heed.pipeline import run_recipe
from heed.run import Run

RECIPE = """\
name: small
description: Small enough for a test, large enough to learn.
threads: 1
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
"""


def run_stages(stages: str, folder: Path, base: Path | None = None) -> Path:
    """Run `RECIPE` and these stages in a new folder, from a copy of a finished base if there is."""
    recipe, directory = folder / "recipe.yaml", folder / "run"
    recipe.write_text(RECIPE + stages)
    if base:
        shutil.copytree(base, directory)
    run = Run(load_recipe(str(recipe)), directory)
    if base:
        done = {"records", "pretrain", "sft", "collect", "reward"}
        assert not done & set(run.pending()), "the base was trained under other settings"
    run_recipe(run, say=lambda line: None)
    return directory
