"""The value model: a backbone, its own or a shared one, and a linear head that starts at zero.

Dims: B rows, T tokens, D hidden width.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from heed.models.adapters import FOLDER, AdaptedBackbone, add_adapter
from heed.models.anatomy import causal_lm
from heed.models.forward import hidden_states_at
from heed.models.language_model import LanguageModel, merged
from heed.models.reward_model import RewardModel
from heed.ops.batch import Sequences

VALUE = "baseline"
"""Its adapter on a shared base, called like the part of a method that its head belongs to."""


class ValueModel(nn.Module):
    """V(state) for every state in which a completion token is emitted.

    The value at [b, t] is read from the hidden state after ids[b, :t], before token t, as
    everything else at [b, t] (see `heed.ops.batch`). The head starts at zero, so every value does
    (Ziegler et al. 2019, arXiv:1909.08593).
    """

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        like = next(backbone.parameters())
        self.head = nn.Linear(width, 1, device=like.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def from_language_model(cls, lm: LanguageModel, *, own: bool = False) -> Self:
        """Start from a copy of a policy's backbone, its adapter merged in; with `own` the policy
        has none and is nobody else's, and its backbone is taken itself.
        """
        model = lm.model if own else copy.deepcopy(causal_lm(merged(lm.model)))
        model.requires_grad_(True)
        return cls(model.base_model, model.get_output_embeddings().weight.shape[1])

    @classmethod
    def from_reward_model(cls, reward_model: RewardModel, *, own: bool = False) -> Self:
        """Start from a copy of a reward model's backbone; with `own` it is nobody else's, and is
        taken itself.
        """
        backbone = reward_model.backbone if own else copy.deepcopy(reward_model.backbone)
        return cls(backbone.requires_grad_(True), reward_model.head.weight.shape[1])

    @classmethod
    def on_shared_base(cls, lm: LanguageModel, start: Path | None, seed: int = 0) -> Self:
        """An adapter beside the policy's own, which trains: a saved reward model's (in its folder
        `start`), or without one a fresh one like the policy's, which is 0 at first.
        """
        folder = None if start is None else start / FOLDER
        add_adapter(lm.model, VALUE, folder, trains=True, seed=seed)
        width = causal_lm(lm.model).get_output_embeddings().weight.shape[1]
        return cls(AdaptedBackbone(lm.model, VALUE), width)

    def forward(self, sequences: Sequences) -> Tensor:
        """Values [B, T] in float32, zero outside `target`."""
        before = pad(sequences.target[:, 1:], (0, 1))  # after token t, before t + 1
        hidden = hidden_states_at(self.backbone, sequences, before)
        with torch.autocast(hidden.device.type, enabled=False):  # half precision is too coarse
            values: Tensor = self.head(hidden.float()).squeeze(-1)
        return values.new_zeros(sequences.ids.shape).masked_scatter(sequences.target, values)
