"""How much work a pass through a model is, and the account of it.

A matrix of n weights costs 2 n operations a token forward, and 4 n backward: 2 n for the gradient
of what went in, 2 n for the matrix's own, which a frozen one (the base under LoRA) does not have.
Embeddings are looked up and cost nothing; attention scores and everything else are left out
(Kaplan et al. 2020, arXiv:2001.08361, section 2.1: for short contexts they are a small part).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from heed.metering import METER


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights of a model that every token is multiplied with: none that is looked up in."""
    looked_up = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    return [
        weight for weight in module.parameters() if weight.ndim > 1 and id(weight) not in looked_up
    ]


def operations(weights: list[nn.Parameter], *, gradient: bool) -> float:
    """Floating-point operations a token, forward and, with `gradient`, backward."""
    if not gradient:
        return 2.0 * sum(weight.numel() for weight in weights)
    return sum((6.0 if weight.requires_grad else 4.0) * weight.numel() for weight in weights)


def count_pass(backbone: nn.Module, tokens: Tensor) -> None:
    """Account for real tokens that go through a backbone, with or without a gradient."""
    gradient = torch.is_grad_enabled()
    METER.add("trained" if gradient else "forwarded", tokens)
    METER.add("flops", tokens * operations(matrices(backbone), gradient=gradient))


def count_head(weight: nn.Parameter, positions: int) -> None:
    """Account for the positions whose logits are asked for."""
    METER.add("flops", positions * operations([weight], gradient=torch.is_grad_enabled()))


def count_answers(model: Any, prompt_tokens: int, sampled: int, answers: int) -> None:
    """Account for answers drawn: their prompts, each filled in once, and their own tokens.

    `model` is a causal LM; its head is asked for each token drawn.
    """
    METER.add("forwarded", prompt_tokens)
    METER.add("sampled", sampled)
    METER.add("answers", answers)
    each = operations(matrices(model.base_model), gradient=False)
    head = operations([model.get_output_embeddings().weight], gradient=False)
    METER.add("flops", (prompt_tokens + sampled) * each + sampled * head)
