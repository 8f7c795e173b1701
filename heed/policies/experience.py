"""Experience: fresh completions with their log-probs, scores and KL, before any advantage.

Dims: B rows, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from heed.errors import UserError
from heed.models.packing import packs
from heed.models.reference import Reference
from heed.models.shares import in_shares
from heed.ops.batch import Sequences
from heed.ops.kl import k1
from heed.types import Completion, RewardFn


@dataclass(frozen=True)
class Experience:
    """One round of sampling, on the device of the policy."""

    sequences: Sequences
    logprobs: Float[Tensor, "B T"]
    """Under the policy that sampled, at the sampling temperature."""
    ref_logprobs: Float[Tensor, "B T"]
    """Under the reference, at the same temperature."""
    kl: Float[Tensor, "B T"]
    """Per-token log-ratio to the reference (the estimator k1)."""
    scores: Float[Tensor, "B"]
    """The reward of the whole completion, `missing_eos` for those cut before their end."""
    proxy: Float[Tensor, "B"]
    """What the reward function itself said of each completion."""

    def under(self, logprobs: Float[Tensor, "B T"]) -> Experience:
        """The same answers with the log-probs of another policy than the one that drew them."""
        kl = k1(logprobs, self.ref_logprobs) * self.sequences.target
        return replace(self, logprobs=logprobs, kl=kl)


def experience(
    completions: Sequence[Completion],
    reward: RewardFn,
    reference: Reference,
    *,
    temperature: float,
    missing_eos: float,
    micro_tokens: int,
    pad: int,
    device: torch.device,
) -> Experience:
    """Score completions and compare them with the reference.

    The sampler's own log-probs stand for the policy's: same weights, same temperature, same
    precision. In float32 they agree with a training forward to 1e-4; in bfloat16 to what
    docs/architecture.md measures, so that the first ratios are not quite 1 there.
    `micro_tokens` bounds a forward pass. Raises UserError for a reward that is no number.
    """
    rows = [(completion.prompt_ids, completion.ids) for completion in completions]
    sequences = Sequences.of(rows, pad)
    logprobs = torch.zeros(sequences.ids.shape)
    logprobs[sequences.target] = torch.tensor(
        [value for completion in completions for value in completion.logprobs]
    )
    proxy = torch.tensor(_finite(reward(completions), completions))
    finished = torch.tensor([completion.finish == "stop" for completion in completions])
    sequences, logprobs = sequences.to(device), logprobs.to(device)
    ref_logprobs = in_shares(
        sequences,
        micro_tokens,
        lambda part: reference.logprobs(part, temperature=temperature),
        packed=packs(reference.lm.model),
    )
    return Experience(
        sequences=sequences,
        logprobs=logprobs,
        ref_logprobs=ref_logprobs,
        kl=k1(logprobs, ref_logprobs) * sequences.target,
        scores=torch.where(finished, proxy, torch.tensor(missing_eos)).to(device),
        proxy=proxy.to(device),
    )


def _finite(scores: Sequence[float], completions: Sequence[Completion]) -> Sequence[float]:
    """The scores, none of which may be nan or infinite: such a one never becomes a reward."""
    for score, completion in zip(scores, completions, strict=True):
        if not math.isfinite(score):
            raise UserError(
                f"The reward of an answer is {score}. Prompt {completion.prompt.id!r}, answer "
                f"{completion.text!r}. Mend the reward function and run the same command again."
            )
    return scores
