"""A reward model as a reward function: completions in, floats out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from heed.models.packing import packs
from heed.models.reward_model import RewardModel
from heed.models.rows import fitted
from heed.models.shares import in_shares
from heed.ops.batch import Sequences
from heed.types import Completion


class LearnedReward:
    """A RewardFn that scores the text of completions with a reward model.

    The text is tokenised for the reward model, whose tokenizer need not be the policy's. `context`
    and `micro_tokens` bound a row and a forward pass, in tokens.
    """

    def __init__(self, model: RewardModel, *, context: int, micro_tokens: int = 16384) -> None:
        self.model = model
        self.context = context
        self.micro_tokens = micro_tokens

    @torch.no_grad()
    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        chat = self.model.chat
        rows = [fitted(chat, item.prompt, item.text, self.context) for item in completions]
        data = Sequences.of(rows, chat.pad_id).to(self.model.device)
        scores = in_shares(
            data, self.micro_tokens, self.model.scores, packed=packs(self.model.model)
        )
        values: list[float] = scores.tolist()
        return values
