"""Activations that are computed again in the backward pass, in place of being kept.

A layer keeps its input alone (Chen et al. 2016, arXiv:1604.06174): memory for one layer's
activations and all layers' inputs, for one more forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from heed.errors import UserError


def checkpoint_activations(module: nn.Module) -> None:
    """Let every layer of a module's transformers keep no more than its input, from now on.

    In eval mode, too, as far as dropout goes: the layers alone are told that they train. Whoever
    puts the whole model into eval mode for a block switches it off for that block.

    Raises UserError where a transformer has no layers that can.
    """
    for part in module.modules():
        if not isinstance(part, PreTrainedModel) or part.base_model is not part:
            continue
        layers = [each for each in part.modules() if isinstance(each, GradientCheckpointingLayer)]
        if not layers:
            raise UserError(
                f"checkpoint_activations: a {type(part).__name__} cannot compute its layers again. "
                "Leave checkpoint_activations out."
            )
        for layer in layers:
            layer.gradient_checkpointing = True
            layer._gradient_checkpointing_func = _again(part.config)
            layer.training = True


def _again(config: Any) -> Callable[..., Any]:
    """torch's checkpointing, with the attention of the first time in the second."""

    def call(function: Callable[..., Any], *args: Any) -> Any:
        attention = config._attn_implementation
        return checkpoint(
            function,
            *args,
            use_reentrant=False,
            preserve_rng_state=False,  # nothing draws: dropout is off
            context_fn=lambda: (nullcontext(), _attending(config, attention)),
        )

    return call


@contextmanager
def _attending(config: Any, attention: str) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = attention
    try:
        yield
    finally:
        config._attn_implementation = before
