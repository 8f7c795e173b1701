"""How likely demonstrations are to a policy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.packing import packs
from heed.models.shares import in_shares
from heed.ops.batch import Sequences
from heed.stats.intervals import Estimate, ratio_interval


@torch.no_grad()
def nll(policy: LanguageModel, data: Sequences, micro_tokens: int) -> list[float]:
    """-log p of each row's target tokens, summed, in nats."""

    def sums(part: Sequences) -> Tensor:
        return -completion_logprobs(policy.model, part)[0].sum(1)

    data, packed = data.to(policy.device), packs(policy.model)
    values: list[float] = in_shares(data, micro_tokens, sums, packed=packed).tolist()
    return values


def per_token(values: Sequence[float], data: Sequences, prompts: Sequence[str]) -> Estimate:
    """What rows amount to a target token, over all of them; the interval is clustered by prompt."""
    return ratio_interval(values, data.target.sum(1).tolist(), prompts)
