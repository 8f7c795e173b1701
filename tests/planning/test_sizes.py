"""A model's size by its configuration, held against the model itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import save_encoder
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from heed.errors import UserError
from heed.models.language_model import attach_lora
from heed.models.work import matrices
from heed.planning.sizes import Size, of_architecture, of_backbone, of_model, size_of

WIDE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
GATED = {**WIDE, "intermediate_size": 96, "num_key_value_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "llama": GATED,
    "mistral": {**GATED, "head_dim": 8},
    "qwen2": {**GATED, "tie_word_embeddings": True},
    "qwen3": {**GATED, "head_dim": 32},
    "gemma": {**GATED, "head_dim": 16},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 100},
    "gpt_neox": {**WIDE, "intermediate_size": 128},
}


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_those_of_the_models(kind: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model(kind, **KINDS[kind])
    model = AutoModelForCausalLM.from_config(config)
    config.save_pretrained(tmp_path)
    size = of_model(str(tmp_path))
    assert size.backbone == sum(weight.numel() for weight in matrices(model.base_model))
    assert size.head == model.get_output_embeddings().weight.numel()
    small = sum(weight.numel() for weight in model.parameters() if weight.ndim < 2)
    assert size.weights == sum(weight.numel() for weight in model.parameters()) - small
    assert of_architecture({"model_type": kind, **KINDS[kind]}, 100) == size


def test_an_adapter_is_as_large_as_peft_makes_it(toy_lm: Any) -> None:
    toy = toy_lm()
    size = size_of(toy.model.config.to_dict())
    lora = attach_lora(toy, rank=3, alpha=4)
    assert size.adapter(3) == sum(w.numel() for w in lora.model.parameters() if w.requires_grad)


def test_hand_numbers() -> None:
    size = Size(
        hidden=10, layers=3, heads=2, attention=10, kv=5, mlp=20, mlp_matrices=3,
        vocabulary=7, positions=0, tied=False,
    )  # fmt: skip
    assert size.backbone == 3 * (2 * 10 * 15 + 3 * 200)
    assert size.head == 70
    assert size.weights == size.backbone + 140
    assert size.adapter(2) == 3 * 2 * ((20 + 15 + 15 + 20) + 3 * 30)


def test_what_no_formula_holds_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mixture of experts"):
        size_of({**GATED, "model_type": "mixtral", "num_local_experts": 8})
    with pytest.raises(UserError, match="has no config"):
        of_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        of_model(str(tmp_path))
    with pytest.raises(UserError, match="no model_type"):
        of_architecture({"model_type": "lama"}, 100)
    with pytest.raises(UserError, match="says no hidden_size"):
        size_of({"model_type": "strange"})


def test_an_adapters_folder_stands_for_its_base(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    AutoConfig.for_model("llama", **GATED).save_pretrained(base)
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert of_model(str(adapter)) == of_model(str(base))


def test_no_weight_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "empty", None)
    size = of_architecture({"model_type": "llama", "hidden_size": 4096}, 32000)
    assert size.weights > 6e9


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert"])
def test_an_encoders_size_is_its_own_but_for_its_pooler(kind: str, tmp_path: Path) -> None:
    source = save_encoder(kind, tmp_path / kind)
    backbone = AutoModel.from_pretrained(source)
    size = of_backbone(str(source))
    pooler = sum(w.numel() for n, w in backbone.named_parameters() if n.startswith("pooler.dense"))
    small = sum(weight.numel() for weight in backbone.parameters() if weight.ndim < 2)
    every = sum(weight.numel() for weight in matrices(backbone))
    assert size.backbone == pytest.approx(every - pooler, rel=0.03)
    assert size.weights == pytest.approx(
        sum(weight.numel() for weight in backbone.parameters()) - small - pooler, rel=0.05
    )
