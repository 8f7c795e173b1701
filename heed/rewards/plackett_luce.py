"""Training a reward model on whole rankings.

loss = - sum of weight * log P(ranking), P by Plackett and Luce / sum of weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from heed.losses.ranking import plackett_luce
from heed.losses.term import Term
from heed.models.reward_model import RewardModel
from heed.models.rows import RowFormat, fitted
from heed.offline import Offline
from heed.ops.order import Order
from heed.ops.rankings import Rankings
from heed.types import Prompt, Ranking


@dataclass(frozen=True, slots=True)
class Ranked:
    """Answers to one prompt and the rank of each, 1 for the best; `weight` multiplies the loss."""

    prompt: Prompt
    answers: tuple[str, ...]
    ranks: Ranking
    weight: float = 1.0


def ranking_rows(chat: RowFormat, ranked: Sequence[Ranked], context: int) -> Rankings:
    """The answers of each ranking as tokens."""
    return Rankings.of(
        [[fitted(chat, each.prompt, text, context) for text in each.answers] for each in ranked],
        [each.ranks for each in ranked],
        [each.weight for each in ranked],
        chat.pad_id,
    )


def ranking_modelling(model: RewardModel, data: Rankings, order: Order) -> Offline[Rankings]:
    """The method that scores answers in the order of their ranks."""

    def loss(batch: Rankings) -> list[Term]:
        scores = torch.zeros(batch.ranks.shape, device=model.device)
        scores = scores.masked_scatter(batch.present, model.scores(batch.answers))
        return plackett_luce(scores, batch.ranks, batch.weight)

    return Offline(model.model, data, order, loss)
