"""Runs made by hand: a base, SFT and DPO as adapters on it, a reward model; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TOY

from heed.config import load_recipe
from heed.files import write_records
from heed.models.language_model import (
    LanguageModel,
    attach_lora,
    load_language_model,
    new_language_model,
    save_language_model,
)
from heed.models.reward_model import new_reward_model, save_reward_model
from heed.run import Run
from heed.types import Prompt

GPT2 = {
    "model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64,
    "initializer_range": 0.2,
}  # fmt: skip
ARCHITECTURES = {"llama": TOY, "gpt2": GPT2, "qwen2": {**TOY, "model_type": "qwen2"}}
RECIPE = """\
name: toy
description: "DESCRIPTION"
threads: 1
model: MODEL
stages:
  - records: {corpus: 100, demonstrations: 40}
  - pretrain: {}
  - sft: {lora: {rank: 2}}
  - collect: {policies: [sft]}
  - reward: {}
  - dpo: {lora: {rank: 2}}
  - best_of_n: {policy: sft, n: 2}
  - evaluate: {policies: {sft: sft, LABEL: dpo}, samples: 4, sampling: {top_k: 5}}
"""
SAMPLE = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 8}


@pytest.fixture
def toy_run(tmp_path: Path, toy_tokenizer: Any) -> Callable[..., Path]:
    """A finished run; `outside` says that the base is a directory that the recipe names."""

    def make(
        kind: str = "llama",
        *,
        outside: bool = False,
        label: str = "dpo",
        description: str = "A toy.",
        tokenizer: Any = None,
    ) -> Path:
        run = tmp_path / "run"
        base = new_language_model(tokenizer or toy_tokenizer, ARCHITECTURES[kind], seed=1)
        start = tmp_path / "base" if outside else run / "pretrain" / "policy"
        save_language_model(base, start)
        (tmp_path / "toy.yaml").write_text(
            RECIPE.replace("MODEL", str(start) if outside else "null")
            .replace("LABEL", json.dumps(label))
            .replace("DESCRIPTION", description)
        )
        placed = Run(load_recipe(str(tmp_path / "toy.yaml")), run)
        placed.prepare()
        adapted(start, run / "sft" / "policy", 2)
        adapted(run / "sft" / "policy", run / "dpo" / "policy", 3)
        model = new_reward_model(start, device="cpu", dtype="float32", seed=4)
        model.calibrate(0.3, 2.0)
        save_reward_model(model, run / "reward" / "model")
        prompts = [Prompt.of(text, split="heldout") for text in ("good ?", "red one ?")]
        write_records(run / "records" / "prompts.jsonl", prompts)
        finish(placed, {"pretrain": {"source": str(start)}} if outside else {})
        table = {"policies": {label: {"gold": SAMPLE, "length": SAMPLE}, "sft": {"gold": SAMPLE}}}
        gap = {"better": label, "worse": "sft", "measure": "gold", "difference": SAMPLE}
        measures = run / "evaluate" / "measures.json"
        measures.write_text(json.dumps({**table, "gaps": [gap]}))
        return run

    return make


def finish(run: Run, summaries: dict[str, dict[str, Any]]) -> None:
    """Every stage's marker, one a second."""
    own = {
        "records": {"prompts": 2, "heldout_prompts": 2},
        "collect": {"source": "simulated", "comparisons": 7},
        "reward": {"accuracy": SAMPLE, "comparisons": 7},
    }
    for stage in run.recipe.stages:
        run.stage(stage.name).directory.mkdir(parents=True, exist_ok=True)
        run.stage(stage.name).finish(1.0, {**own, **summaries}.get(stage.name, {}))


def adapted(source: Path, target: Path, seed: int) -> LanguageModel:
    """A policy that an adapter moved away from its base, saved as a stage leaves it."""
    lm = attach_lora(load_language_model(source, device="cpu"), rank=2, alpha=4.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in lm.model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=generator)
    save_language_model(lm, target)
    return lm
