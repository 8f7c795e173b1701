"""The frozen reference: the policy as it stood when a stage began."""

from __future__ import annotations

import copy

import torch
from peft import PeftModel
from torch import Tensor

from heed.models.adapters import wearing
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.modes import evaluating
from heed.ops.batch import Sequences


def frozen_copy(lm: LanguageModel) -> LanguageModel:
    """A deep copy in eval mode whose weights take no gradient."""
    model = copy.deepcopy(lm.model).eval().requires_grad_(False)
    return LanguageModel(model, lm.tokenizer, lm.chat)


class Reference:
    """Log-probs under the policy as it was when this object was made.

    A policy with a LoRA adapter is its own reference with the adapter switched off, which is exact
    because `attach_lora` merges older adapters first; make the reference right after attaching.
    Any other policy is copied, unless it is the reference's `own`: nobody else's, and frozen.
    """

    def __init__(self, policy: LanguageModel, *, own: bool = False) -> None:
        shared = own or isinstance(policy.model, PeftModel)
        self.lm = policy if shared else frozen_copy(policy)

    @torch.no_grad()
    def logprobs(self, sequences: Sequences, temperature: float = 1.0) -> Tensor:
        """Log-probs of the target tokens, [B, T], zero outside `target`; without gradient."""
        model = self.lm.model
        with evaluating(model), wearing(model, None):  # a copy wears none
            return completion_logprobs(model, sequences, temperature=temperature)[0]
