"""A strong reward model from a weak one's labels (Burns et al. 2023, arXiv:2312.09390).

    loss = (1 - alpha_i) CE(f, weak labels) + alpha_i CE(f, own verdicts)
    alpha_i = alpha min(1, i / w), at iteration i of a warm-up of w

First the model learns what the weak one means, then it may disagree.
"""

from __future__ import annotations

from collections.abc import Iterator

from heed.losses.confidence import confidence
from heed.losses.term import Term
from heed.models.reward_model import RewardModel
from heed.offline import Offline
from heed.ops.batch import Pairs, joined
from heed.ops.order import Order
from heed.ops.schedule import constant


class Confident(Offline[Pairs]):
    """Reward modelling whose alpha is a function of the iteration, so that nothing is carried."""

    def __init__(
        self, model: RewardModel, data: Pairs, order: Order, *, alpha: float, warmup: float
    ) -> None:
        super().__init__(model.model, data, order, self._loss)
        self.model = model
        self.alpha = alpha
        self.warmup = warmup
        self.iteration = 0

    def batches(self, iteration: int) -> Iterator[Pairs]:
        self.iteration = iteration
        return super().batches(iteration)

    def _loss(self, batch: Pairs) -> list[Term]:
        both = joined(batch.chosen, batch.rejected, pad=self.model.chat.pad_id)
        chosen, rejected = self.model.scores(both).chunk(2)
        alpha = self.alpha * constant(float(self.iteration), self.warmup)
        return confidence(chosen, rejected, batch.margin, batch.weight, alpha=alpha)
