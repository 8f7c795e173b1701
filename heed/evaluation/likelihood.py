"""How likely demonstrations are to a policy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.ops.batch import Sequences, in_parts
from heed.stats.intervals import Estimate, ratio_interval


@torch.no_grad()
def target_nll(
    policy: LanguageModel, data: Sequences, prompts: Sequence[str], micro_tokens: int
) -> Estimate:
    """-log p of a target token, in nats, over all of them, its interval clustered by prompt."""

    def sums(part: Sequences) -> Tensor:
        return completion_logprobs(policy.model, part)[0].sum(1)

    logprobs = in_parts(data.to(policy.device), micro_tokens, sums)
    return ratio_interval((-logprobs).tolist(), data.target.sum(1).tolist(), prompts)
