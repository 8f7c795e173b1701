"""What is read of a decoder, and which models are none that we know."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from heed.models.anatomy import anatomy, is_silu

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "vocab_size": 50,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def config(kind: str, **more: Any) -> Any:
    return AutoConfig.for_model(kind, **{**SIZES, **more})


def model(kind: str, **more: Any) -> Any:
    return AutoModelForCausalLM.from_config(config(kind, **more))


@pytest.mark.parametrize(
    ("kind", "more", "windows", "rotary", "normed"),
    [
        ("llama", {}, [None] * 4, [True] * 4, False),
        ("mistral", {"sliding_window": 6}, [6] * 4, [True] * 4, False),
        ("mistral", {"sliding_window": None}, [None] * 4, [True] * 4, False),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3},
            [None, None, None, 5],
            [True] * 4,
            False,
        ),
        ("qwen3", {"head_dim": 8}, [None] * 4, [True] * 4, True),
        ("smollm3", {}, [None] * 4, [True, True, True, False], False),
    ],
)
def test_the_llama_family(kind, more, windows, rotary, normed):
    lm = model(kind, **more)
    seen = anatomy(lm)
    assert seen is not None
    attentions = [layer.attention for layer in seen.layers]
    assert [attention.window for attention in attentions] == windows
    assert [attention.rotary for attention in attentions] == rotary
    assert [attention.query_norm is not None for attention in attentions] == [normed] * 4
    first = attentions[0]
    assert (first.heads, first.key_heads, first.width, first.scale) == (4, 2, 8, 8**-0.5)
    assert first.projections[1] is lm.model.layers[0].self_attn.k_proj
    assert seen.layers[0].mlp_norm.module is lm.model.layers[0].post_attention_layernorm
    assert seen.layers[0].mlp_norm.root_mean_square
    assert (seen.hidden, seen.head, seen.positions) == (32, lm.lm_head, None)
    assert seen.norm.epsilon == lm.config.rms_norm_eps


def test_gpt2():
    lm = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=4, vocab_size=50)
    )
    seen = anatomy(lm)
    assert seen is not None
    assert seen.positions is lm.transformer.wpe
    assert seen.rotary is None
    (fused,) = seen.layers[1].attention.projections
    assert fused is lm.transformer.h[1].attn.c_attn
    assert seen.layers[1].mlp.gate is None
    assert not seen.norm.root_mean_square


def test_adapters_are_part_of_the_handles():
    lm = get_peft_model(model("llama"), LoraConfig(r=2, target_modules="all-linear"))
    seen = anatomy(lm)
    assert seen is not None
    for projection in seen.layers[0].attention.projections:
        assert any("lora_A" in name for name, _ in projection.named_parameters())


def test_a_backbone_has_no_head():
    seen = anatomy(model("llama").model)
    assert seen is not None
    assert seen.head is None
    assert len(seen.layers) == 4


def test_others_are_not_known():
    rotary = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert anatomy(model("gemma", head_dim=8)) is None
    assert anatomy(model("llama", rope_parameters=rotary)) is None
    assert anatomy(torch.nn.Linear(2, 2)) is None
    classifier = AutoModelForSequenceClassification.from_config(config("llama"))
    assert anatomy(classifier) is None
    more = model("llama")
    more.model.layers[2].mlp.gate_norm = torch.nn.LayerNorm(48)
    assert anatomy(more) is None


def test_which_activation_is_compiled() -> None:
    assert is_silu(nn.SiLU())
    assert not is_silu(nn.GELU())
