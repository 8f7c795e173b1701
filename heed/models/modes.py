"""How modules compute and are initialised: dropout, train and eval mode, seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode for a block; every submodule gets its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def disable_dropout(module: nn.Module) -> None:
    """Set every dropout rate in a module to zero, for good.

    Reinforcement learning needs the same log-probs in rollout and in training, so a policy keeps
    no dropout even in train mode. Rates stand in `nn.Dropout.p`, and in plain attributes such as
    `attention_dropout` that attention functions read; both are covered.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
        for name, value in vars(part).items():
            if "drop" in name and isinstance(value, float):
                setattr(part, name, 0.0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator, which libraries initialise weights from, for a block."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA, too
        yield
