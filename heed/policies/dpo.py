"""Direct preference optimisation and its family: learn from pairs, without reward or sampling.

    loss = L(log pi(chosen), log pi(rejected), log ref(chosen), log ref(rejected); beta)
           - sft_coef * mean over the chosen answers' tokens of log pi(token | before)

L is one of `PREFERENCE_LOSSES`. The reference does not change, so its log-probs are computed once;
where L looks at none, they stay zero.
"""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from heed.losses.preference import PairLogprobs, PreferenceLoss, preference_terms
from heed.losses.sft import cross_entropy
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.packing import packs
from heed.models.reference import Reference
from heed.models.shares import in_shares
from heed.offline import Offline
from heed.ops.batch import Pairs, Sequences, joined
from heed.ops.order import Order


def dpo(
    policy: LanguageModel,
    data: Pairs,
    order: Order,
    preference: PreferenceLoss,
    beta: float,
    *,
    sft_coef: float = 0.0,
    per_token: bool = False,
) -> Offline[Pairs]:
    """The method that widens the gap of each pair, measured from the reference where there is one.

    `per_token` says that the loss's implicit rewards, which are logged, are means over tokens.
    """

    def loss(batch: Pairs) -> list[Term]:
        both = joined(batch.chosen, batch.rejected, pad=policy.chat.pad_id)
        logprobs, _ = completion_logprobs(policy.model, both)
        chosen, rejected = logprobs.sum(1).chunk(2)
        pairs = PairLogprobs(
            chosen=chosen,
            rejected=rejected,
            ref_chosen=batch.ref_chosen,
            ref_rejected=batch.ref_rejected,
            chosen_tokens=batch.chosen.target.sum(1).float(),
            rejected_tokens=batch.rejected.target.sum(1).float(),
            margin=batch.margin,
        )
        rewarded = pairs.per_token() if per_token else pairs
        terms = preference_terms(preference(pairs, beta), rewarded, batch.weight, beta)
        if sft_coef:
            wanted = both.target[: len(batch)]
            (nll,) = cross_entropy(logprobs[: len(batch)], wanted, batch.weight)
            terms.append(replace(nll, count="chosen_tokens", weight=sft_coef))
        return terms

    return Offline(policy.model, data, order, loss)


def with_reference(data: Pairs, reference: Reference, micro_tokens: int) -> Pairs:
    """The same pairs with the reference's summed log-probs."""
    return replace(
        data,
        ref_chosen=summed_logprobs(data.chosen, reference, micro_tokens),
        ref_rejected=summed_logprobs(data.rejected, reference, micro_tokens),
    )


def summed_logprobs(data: Sequences, reference: Reference, micro_tokens: int) -> Float[Tensor, "B"]:
    """The reference's log-prob of every row's whole completion, on the CPU."""
    return in_shares(
        data.to(reference.lm.device),
        micro_tokens,
        lambda part: reference.logprobs(part).sum(1),
        packed=packs(reference.lm.model),
    ).cpu()
