"""KL from a reference, measured on samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from heed.models.reference import Reference
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
    own = torch.tensor([sum(item.logprobs) for item in completions])
    other = torch.zeros(len(data))
    for index in data.partition(micro_tokens):
        batch = data.rows(index).to(reference.lm.device)
        # Greedy answers carry log-probs at temperature 1.
        logprobs = reference.logprobs(batch, temperature=temperature or 1.0)
        other[index] = logprobs.sum(1).float().cpu()
    values: list[float] = (own - other).tolist()
    return values
