"""Supervised fine-tuning: imitate demonstrations; over whole texts, this is pretraining.

loss = - sum over target tokens of log pi(token | before) / number of target tokens
"""

from __future__ import annotations

from heed.losses.sft import cross_entropy
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.offline import Offline
from heed.ops.batch import Sequences
from heed.ops.order import Order


def sft(policy: LanguageModel, data: Sequences, order: Order) -> Offline[Sequences]:
    """The method that raises the likelihood of the data's target tokens."""

    def loss(batch: Sequences) -> list[Term]:
        logprobs, _ = completion_logprobs(policy.model, batch)
        return cross_entropy(logprobs, batch.target)

    return Offline(policy.model, data, order, loss)
