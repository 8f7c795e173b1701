"""Experience: fresh completions with their log-probs, scores and KL, before any advantage.

Dims: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from heed.models.reference import Reference
from heed.ops.batch import Sequences
from heed.ops.kl import k1
from heed.types import Completion, RewardFn


@dataclass(frozen=True)
class Experience:
    """One round of sampling, on the device of the policy."""

    sequences: Sequences
    logprobs: Float[Tensor, "B T"]
    """Under the policy that sampled, at the sampling temperature."""
    kl: Float[Tensor, "B T"]
    """Per-token log-ratio to the reference (the estimator k1)."""
    scores: Float[Tensor, "B"]
    """The reward of the whole completion, `missing_eos` for those cut before their end."""
    proxy: Float[Tensor, "B"]
    """What the reward function itself said of each completion."""


def experience(
    completions: Sequence[Completion],
    reward: RewardFn,
    reference: Reference,
    *,
    temperature: float,
    missing_eos: float,
    pad: int,
    device: torch.device,
) -> Experience:
    """Score completions and compare them with the reference.

    The sampler's own log-probs stand for the policy's: same weights, same temperature.
    """
    rows = [(completion.prompt_ids, completion.ids) for completion in completions]
    sequences = Sequences.of(rows, pad)
    logprobs = torch.zeros(sequences.ids.shape)
    logprobs[sequences.target] = torch.tensor(
        [value for completion in completions for value in completion.logprobs]
    )
    proxy = torch.tensor(reward(completions))
    finished = torch.tensor([completion.finish == "stop" for completion in completions])
    sequences, logprobs = sequences.to(device), logprobs.to(device)
    ref_logprobs = reference.logprobs(sequences, temperature=temperature)
    return Experience(
        sequences=sequences,
        logprobs=logprobs,
        kl=k1(logprobs, ref_logprobs) * sequences.target,
        scores=torch.where(finished, proxy, torch.tensor(missing_eos)).to(device),
        proxy=proxy.to(device),
    )
