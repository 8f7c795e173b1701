"""KL from a reference, measured on samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heed.models.packing import packs
from heed.models.reference import Reference
from heed.models.shares import in_shares
from heed.ops.batch import Sequences
from heed.types import Completion


def sequence_kl(
    completions: Sequence[Completion],
    reference: Reference,
    *,
    temperature: float,
    micro_tokens: int = 16384,
) -> list[float]:
    """log pi(y | x) - log ref(y | x) of each completion, in nats: k1 summed over its tokens.

    Its mean over samples of pi is an unbiased estimate of KL(pi || ref) (Schulman's note on
    approximating KL). The completions carry pi's log-probs at `temperature`.
    """
    rows = [(item.prompt_ids, item.ids) for item in completions]
    data = Sequences.of(rows, reference.lm.chat.pad_id)
    # Of the distribution that was drawn from, where top-p or top-k cut it.
    own = torch.tensor([sum(item.truncated_logprobs or item.logprobs) for item in completions])

    def reference_sums(part: Sequences) -> Tensor:
        # Greedy answers carry log-probs at temperature 1.
        return reference.logprobs(part, temperature=temperature or 1.0).sum(1)

    data = data.to(reference.lm.device)
    packed = packs(reference.lm.model)
    other = in_shares(data, micro_tokens, reference_sums, packed=packed).float().cpu()
    values: list[float] = (own - other).tolist()
    return values
