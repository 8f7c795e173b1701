"""Sharded models, of which each process reads its own part alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import train_on_ranks as toys
from toy_ranks import ENVIRONMENT
from transformers import AutoModelForCausalLM

from heed.models.awaited import Awaited, awaiting
from heed.models.language_model import LanguageModel, new_language_model, save_language_model
from heed.models.reward_model import new_reward_model, save_reward_model

SCRIPT = Path(__file__).parent / "load_on_ranks.py"
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
LLAMA = {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.2}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **LLAMA},
    "tied": {"model_type": "llama", **LLAMA, "tie_word_embeddings": True},
    "qwen2": {"model_type": "qwen2", **LLAMA},
    "gpt2": {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
}


def made(kind: str) -> LanguageModel:
    return new_language_model(toys.policy().tokenizer, KINDS[kind], seed=3)


@pytest.mark.slow
def test_split_loading_gives_the_same_bits(tmp_path: Path) -> None:
    """Weights, ties, buffers, adapters, losses, gradients and answers, on three processes, which do
    not divide the rows evenly; in bfloat16 losses and gradients up to its rounding.
    """
    for kind in KINDS:
        save_language_model(made(kind), tmp_path / kind)
    reward = new_reward_model(tmp_path / "llama", device="cpu", dtype="float32", seed=1)
    save_reward_model(reward, tmp_path / "reward")
    broken = made("llama")
    with torch.no_grad():
        broken.model.model.layers[1].mlp.up_proj.weight[-1, -1] = torch.nan
    save_language_model(broken, tmp_path / "broken")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    command = [sys.executable, *torchrun, str(SCRIPT), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(3):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(found) == 3 * len(KINDS) + 2
        assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize("kind", KINDS)
def test_awaited_weights_have_no_memory(tmp_path: Path, kind: str) -> None:
    save_language_model(made(kind), tmp_path / kind)
    model = awaiting(AutoModelForCausalLM, tmp_path / kind, torch.float32)
    assert model is not None
    real = AutoModelForCausalLM.from_pretrained(tmp_path / kind)
    buffers = dict(real.named_buffers())
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, buffers[name])
    places = dict(real.named_parameters())
    for name, weight in model.named_parameters():
        assert isinstance(weight, Awaited)
        assert weight.untyped_storage().nbytes() == 4
        assert torch.equal(weight.stored.rows(1, 3), places[name].detach()[1:3])
    assert model.generation_config.eos_token_id == real.generation_config.eos_token_id
    assert not model.training


def test_what_is_not_surely_the_same_is_loaded_whole(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_language_model(made("llama"), tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)

    def found() -> Any:
        return awaiting(AutoModelForCausalLM, tmp_path / "m", torch.float32)

    assert found() is not None
    save_file({f"other.{name}": weight for name, weight in weights.items()}, file)
    assert found() is None
    save_file({**weights, "model.norm.weight": torch.ones(3)}, file)
    assert found() is None
    file.write_bytes(b"torn")
    assert found() is None
    assert awaiting(AutoModelForCausalLM, "some/hub-name", torch.float32) is None
