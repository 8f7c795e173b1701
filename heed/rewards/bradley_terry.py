"""Training a reward model on comparisons.

loss = - sum of weight * log sigmoid(r(chosen) - r(rejected) - margin) / sum of weight
       + coef * sum of weight * (r(chosen) + r(rejected))^2 / sum of weight
"""

from __future__ import annotations

from heed.losses.reward import bradley_terry, centring
from heed.losses.term import Term
from heed.models.reward_model import RewardModel
from heed.offline import Offline
from heed.ops.batch import Pairs, joined
from heed.ops.order import Order


def reward_modelling(
    model: RewardModel, data: Pairs, order: Order, *, centring_coef: float = 0.0
) -> Offline[Pairs]:
    """The method that scores what was chosen above what was rejected."""

    def loss(batch: Pairs) -> list[Term]:
        both = joined(batch.chosen, batch.rejected, pad=model.chat.pad_id)
        chosen, rejected = model.scores(both).chunk(2)
        terms = bradley_terry(chosen, rejected, batch.margin, batch.weight)
        if centring_coef:
            terms.append(centring(chosen, rejected, batch.weight, centring_coef))
        return terms

    return Offline(model.model, data, order, loss)
