"""What gates ask of a policy gradient before its first step: does it learn from its own answers?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heed.gates.finding import Finding
from heed.gates.rollouts import draws, logprobs
from heed.models.forward import completion_logprobs
from heed.models.modes import evaluating
from heed.models.packing import packs
from heed.models.shares import in_shares
from heed.ops.batch import Sequences
from heed.policies.policy_gradient import PolicyGradient
from heed.recipe import DrawsGate, LogprobsGate, OnPolicy
from heed.recipe.gates import ROUND
from heed.sampling.local import LocalSampler
from heed.stages.workplace import Workplace
from heed.types import Completion


def same_logprobs(
    work: Workplace, _: OnPolicy, method: PolicyGradient, gate: LogprobsGate
) -> Finding:
    """The sampler's log-probs and the training forward's, token by token."""
    answers = _answers(work, method)
    trained, _entropy = _forward(method, answers)
    reported = [value for item in answers for value in item.logprobs]
    tolerance = gate.half if work.dtype == torch.bfloat16 else gate.full
    return logprobs(reported, [v for row in trained for v in row], tolerance=tolerance)


def own_draws(
    work: Workplace, _: OnPolicy, method: PolicyGradient, gate: DrawsGate
) -> Finding | None:
    """The surprise of what was drawn beside the entropy; None where top-p or top-k cut the
    distribution, so that it is another on purpose.
    """
    sampler = method.sampler
    if isinstance(sampler, LocalSampler) and (sampler.top_p < 1 or sampler.top_k):
        return None
    answers = _answers(work, method)
    trained, entropy = _forward(method, answers)
    return draws(
        [-sum(row) for row in trained],
        [sum(row) for row in entropy],
        [item.prompt.id for item in answers],
        false_alarms=gate.false_alarms,
    )


def _answers(work: Workplace, method: PolicyGradient) -> list[Completion]:
    """One answer to each of some prompts, spread evenly over all."""
    few = min(ROUND, len(method.prompts))
    prompts = [method.prompts[at * len(method.prompts) // few] for at in range(few)]
    return method.sampler.sample(prompts, n=1, seed=work.seed("gates", "rollouts"))


def _forward(
    method: PolicyGradient, answers: Sequence[Completion]
) -> tuple[list[list[float]], list[list[float]]]:
    """Log-probs and entropies of every answer's tokens, as the loss would compute them."""
    rows = [(item.prompt_ids, item.ids) for item in answers]
    sequences = Sequences.of(rows, method.policy.chat.pad_id)
    model, surrogate = method.policy.model, method.surrogate

    def both(part: Sequences) -> Tensor:
        found = completion_logprobs(model, part, temperature=surrogate.temperature)
        return torch.stack(found, dim=-1)

    with torch.no_grad(), evaluating(model):
        found = in_shares(
            sequences.to(method.policy.device), surrogate.micro_tokens, both, packed=packs(model)
        ).cpu()
    own = [values[marks] for values, marks in zip(found, sequences.target, strict=True)]
    return [each[:, 0].tolist() for each in own], [each[:, 1].tolist() for each in own]
