"""What a decoder is made of: its live modules and sizes, for code that computes it another way.

Two shapes are known: the Llama family's (RMSNorm before attention and MLP, rotary positions, a
gated MLP) and GPT-2's. The handles are the model's own modules, so that weights which train and
adapters on them count. A description is read, not verified: who computes by it checks the result
against the model's own forward once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

LLAMA_FAMILY = frozenset({"llama", "mistral", "ministral", "qwen2", "qwen3", "smollm3", "seed_oss"})
"""The model types of transformers whose layers are Llama's, but for biases, norms of queries and
keys, windows, and layers without rotary positions."""
FIXED_ROTARY = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary types whose angles depend on the position alone, not on how long the text is."""


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalisation of the last dimension; `root_mean_square` (RMSNorm) subtracts no mean."""

    module: nn.Module
    epsilon: float
    root_mean_square: bool


@dataclass(frozen=True, eq=False)
class Attention:
    """Attention of one layer; query head h attends to key head h // (heads / key_heads).

    `projections` are query, key and value, or one module that gives all three side by side.
    """

    projections: tuple[nn.Module, ...]
    output: nn.Module
    heads: int
    key_heads: int
    width: int
    """Of a head."""
    scale: float
    """What dot products are multiplied with."""
    window: int | None = None
    """How many tokens are seen, one's own included; None: all before it."""
    rotary: bool = False
    query_norm: Norm | None = None
    key_norm: Norm | None = None


@dataclass(frozen=True, eq=False)
class Mlp:
    """down(activation(gate(x)) * up(x)), or down(activation(up(x))) without a gate."""

    gate: nn.Module | None
    up: nn.Module
    down: nn.Module
    activation: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Layer:
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    attention_norm: Norm
    attention: Attention
    mlp_norm: Norm
    mlp: Mlp


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A decoder: head(norm(layers(embedding(ids) [+ positions(at)])))."""

    backbone: nn.Module
    """The transformers model below the head."""
    embedding: nn.Embedding
    positions: nn.Embedding | None
    """Learned positions, where there are some."""
    rotary: nn.Module | None
    """rotary(x, positions) gives cosines and sines [B, T, width] in x's format."""
    layers: tuple[Layer, ...]
    norm: Norm
    head: nn.Module | None
    """None where the model is a backbone."""
    hidden: int

    def rotary_table(self, length: int) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines [length, width] of all positions, in float32, the sines with
        rotate_half's sign; None where nothing is turned.
        """
        if self.rotary is None:
            return None
        device = self.embedding.weight.device
        like = torch.zeros(1, dtype=torch.float32, device=device)
        cosines, sines = self.rotary(like, torch.arange(length, device=device)[None])
        signed = sines[0].clone()
        signed[:, : signed.shape[1] // 2].neg_()
        return cosines[0].contiguous(), signed


def causal_lm(model: Any) -> Any:
    """The transformers model inside a peft wrapper, adapters in place; others as they are."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def anatomy(model: Any) -> Anatomy | None:
    """The anatomy of a transformers model (a causal LM or a backbone, with or without peft).

    None where its type is not one of the known ones, or has modules that those have not.
    """
    inner = causal_lm(model)
    backbone = getattr(inner, "base_model", None)
    kind = getattr(getattr(inner, "config", None), "model_type", None)
    read = _READERS.get(str(kind))
    if read is None or backbone is None:
        return None
    head = None if backbone is inner else inner.get_output_embeddings()
    if backbone is not inner and set(_children(inner)) != {backbone, head}:
        return None
    try:
        return read(backbone, head)
    except _Unlike:
        return None


def hooked(model: nn.Module) -> bool:
    """Whether a module's forward would do more than its class says."""
    return any(
        part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)
        for part in model.modules()
    )


class Probes:
    """What was found out of models by a probe of each: made once, and again when its modules are
    others (an adapter was put on).
    """

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[nn.Module, tuple[tuple[type, ...], bool]] = (
            WeakKeyDictionary()
        )

    def ask(self, model: nn.Module, parts: nn.Module, probe: Callable[[], bool]) -> bool:
        """The probe's answer of a model whose modules are those of `parts`."""
        kinds = tuple(type(part) for part in parts.modules())
        if model not in self._found or self._found[model][0] != kinds:
            self._found[model] = (kinds, probe())
        return self._found[model][1]


def is_silu(activation: Any) -> bool:
    """Whether an MLP's activation is the one that compiled gates compute."""
    return type(activation) in (nn.SiLU, type(_named("silu")))


def is_tanh_gelu(activation: Any) -> bool:
    """Whether an MLP's activation is GELU by tanh, as GPT-2 or torch names it."""
    return type(activation) in {type(_named(name)) for name in ("gelu_new", "gelu_pytorch_tanh")}


@cache
def _named(name: str) -> Any:
    from transformers.activations import ACT2FN

    return ACT2FN[name]


class _Unlike(Exception):  # noqa: N818 - no error: the model is just another one
    """The model is not built as its type usually is."""


def _llama(backbone: Any, head: nn.Module | None) -> Anatomy:
    _expect(backbone, {"embed_tokens", "layers", "norm", "rotary_emb"})
    config = backbone.config
    rotary = backbone.rotary_emb
    if getattr(rotary, "rope_type", None) not in FIXED_ROTARY:
        raise _Unlike
    layers = tuple(_llama_layer(layer, config, at) for at, layer in enumerate(backbone.layers))
    if 2 * rotary.inv_freq.shape[0] != layers[0].attention.width:
        raise _Unlike
    return Anatomy(
        backbone=backbone,
        embedding=_embedding(backbone.embed_tokens),
        positions=None,
        rotary=rotary,
        layers=layers,
        norm=_norm(backbone.norm),
        head=head,
        hidden=config.hidden_size,
    )


def _llama_layer(layer: Any, config: Any, at: int) -> Layer:
    _expect(layer, {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"})
    attention, mlp = layer.self_attn, layer.mlp
    _expect(attention, {"q_proj", "k_proj", "v_proj", "o_proj"}, {"q_norm", "k_norm"})
    _expect(mlp, {"gate_proj", "up_proj", "down_proj"}, {"act_fn"})
    groups = attention.num_key_value_groups
    heads = config.num_attention_heads
    return Layer(
        attention_norm=_norm(layer.input_layernorm),
        attention=Attention(
            projections=(attention.q_proj, attention.k_proj, attention.v_proj),
            output=attention.o_proj,
            heads=heads,
            key_heads=heads // groups,
            width=attention.head_dim,
            scale=attention.scaling,
            window=_window(config, at),
            rotary=bool(getattr(attention, "use_rope", True)),
            query_norm=_optional_norm(attention, "q_norm"),
            key_norm=_optional_norm(attention, "k_norm"),
        ),
        mlp_norm=_norm(layer.post_attention_layernorm),
        mlp=Mlp(mlp.gate_proj, mlp.up_proj, mlp.down_proj, mlp.act_fn),
    )


def _window(config: Any, at: int) -> int | None:
    """The sliding window of a layer: by its type, or one for all where layers have no types."""
    if config.model_type == "llama":
        return None
    types = getattr(config, "layer_types", None)
    if types is not None and types[at] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window


def _gpt2(backbone: Any, head: nn.Module | None) -> Anatomy:
    _expect(backbone, {"wte", "wpe", "drop", "h", "ln_f"})
    return Anatomy(
        backbone=backbone,
        embedding=_embedding(backbone.wte),
        positions=_embedding(backbone.wpe),
        rotary=None,
        layers=tuple(_gpt2_layer(layer) for layer in backbone.h),
        norm=_norm(backbone.ln_f),
        head=head,
        hidden=backbone.config.n_embd,
    )


def _gpt2_layer(layer: Any) -> Layer:
    _expect(layer, {"ln_1", "attn", "ln_2", "mlp"})
    attention, mlp = layer.attn, layer.mlp
    _expect(attention, {"c_attn", "c_proj", "attn_dropout", "resid_dropout"})
    _expect(mlp, {"c_fc", "c_proj", "act", "dropout"})
    return Layer(
        attention_norm=_norm(layer.ln_1),
        attention=Attention(
            projections=(attention.c_attn,),
            output=attention.c_proj,
            heads=attention.num_heads,
            key_heads=attention.num_heads,
            width=attention.head_dim,
            scale=attention.scaling,
        ),
        mlp_norm=_norm(layer.ln_2),
        mlp=Mlp(None, mlp.c_fc, mlp.c_proj, mlp.act),
    )


_READERS: dict[str, Callable[[Any, nn.Module | None], Anatomy]] = {
    **dict.fromkeys(LLAMA_FAMILY, _llama),
    "gpt2": _gpt2,
}


def _norm(module: Any) -> Norm:
    if type(module) is nn.LayerNorm and module.weight is not None:
        return Norm(module, module.eps, root_mean_square=False)
    if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return Norm(module, module.variance_epsilon, root_mean_square=True)
    raise _Unlike


def _optional_norm(module: Any, name: str) -> Norm | None:
    return _norm(getattr(module, name)) if hasattr(module, name) else None


def _embedding(module: Any) -> nn.Embedding:
    if type(module) is not nn.Embedding or module.max_norm is not None:
        raise _Unlike
    return module


def _expect(
    module: Any, required: set[str], allowed: frozenset[str] | set[str] = frozenset()
) -> None:
    """Raise _Unlike unless the module's children are the required ones and some allowed ones."""
    if isinstance(module, BaseTunerLayer):
        raise _Unlike
    names = {name for name, _ in module.named_children()}
    if not required <= names <= required | allowed:
        raise _Unlike


def _children(module: nn.Module) -> list[nn.Module]:
    return [child for _, child in module.named_children()]
