"""A model's weights under the names that it has without adapters, its own adapter added to them."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from heed.models.adapters import OWN
from heed.models.anatomy import causal_lm

BASE = ".base_layer"
"""What peft puts into the name of a weight under an adapter."""


@torch.no_grad()
def plain_weights(model: Any, *, copies: bool) -> dict[str, Tensor]:
    """The weights as a checkpoint of the model holds them, a tied one once; without `copies` those
    that no adapter changes are the live ones.

    A LoRA adapter of the model's own is merged into what is returned, W + scale * B A, and nothing
    live is touched; adapters that stand beside it (of a reward, a value) are left out.
    """
    plain = causal_lm(model)
    layers = {
        f"{name}.weight": layer
        for name, layer in plain.named_modules()
        if isinstance(layer, BaseTunerLayer)
    }
    found: dict[str, Tensor] = {}
    for name, weight in plain.named_parameters():
        if ".lora_" in name:
            continue
        plain_name = name.replace(BASE, "")
        layer = layers.get(plain_name)
        value = weight.detach()
        if layer is not None and OWN in getattr(layer, "lora_A", ()):
            value = value + layer.get_delta_weight(OWN).to(value.dtype)
        elif copies:
            value = value.clone()
        found[plain_name] = value
    return found
