"""Kahneman-Tversky optimisation: learn from answers that are good or bad, each by itself.

    loss = lambda_y (1 - sigmoid(+-beta (log(pi / ref)(answer) - z0))), + where desirable
    z0   = max(0, mean log(pi / ref)(answer to another prompt)), over the whole batch

z0 is what the policy has drifted: without gradient, under the policy as it is, before the batch is
split. The reference does not change, so its log-probs are computed once, those of the mismatched
answers among them; hence each row's mismatched answer stays the same.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from heed.losses.kto import kl_baseline
from heed.losses.kto import kto as kto_terms
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.modes import evaluating
from heed.models.packing import packs
from heed.models.reference import Reference
from heed.models.shares import in_shares
from heed.offline import Offline
from heed.ops.batch import Answers
from heed.ops.order import Order
from heed.policies.dpo import summed_logprobs


def kto(
    policy: LanguageModel,
    data: Answers,
    order: Order,
    *,
    beta: float,
    desirable_coef: float,
    undesirable_coef: float,
    micro_tokens: int,
) -> Offline[Answers]:
    """The method that lifts desirable answers above the baseline and pushes others below."""

    @torch.no_grad()
    def prepare(batch: Answers) -> Answers:
        with evaluating(policy.model):
            logprobs = in_shares(
                batch.mismatched,
                micro_tokens,
                lambda part: completion_logprobs(policy.model, part.to(policy.device))[0].sum(1),
                packed=packs(policy.model),
            ).to(batch.weight.device)
        baseline = kl_baseline(logprobs - batch.ref_mismatched, batch.weight)
        return replace(batch, baseline=baseline.expand(len(batch)))

    def loss(batch: Answers) -> list[Term]:
        logprobs, _ = completion_logprobs(policy.model, batch.answer)
        return kto_terms(
            logprobs.sum(1) - batch.ref_answer,
            batch.baseline,
            batch.desirable,
            batch.weight,
            beta=beta,
            desirable_coef=desirable_coef,
            undesirable_coef=undesirable_coef,
        )

    return Offline(policy.model, data, order, loss, prepare)


def with_reference(data: Answers, reference: Reference, micro_tokens: int) -> Answers:
    """The same answers with the reference's summed log-probs."""
    return replace(
        data,
        ref_answer=summed_logprobs(data.answer, reference, micro_tokens),
        ref_mismatched=summed_logprobs(data.mismatched, reference, micro_tokens),
    )
