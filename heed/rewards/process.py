"""A process reward: a score a step, trained on what is right and wrong step by step.

loss = - sum over steps of log P(label | prompt, steps so far) / number of steps

Lightman et al. 2023 (arXiv:2305.20050), section 2.4. The score of a step is read at its last token,
so a plain sequence classifier gives it for the answer up to there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from heed.errors import UserError
from heed.losses.steps import step_correctness
from heed.losses.term import Term
from heed.models.chat import ChatFormat
from heed.models.packing import packs
from heed.models.reward_model import RewardModel
from heed.models.shares import in_shares
from heed.offline import Offline
from heed.ops.batch import Sequences
from heed.ops.order import Order
from heed.ops.steps import Steps
from heed.types import Completion, Prompt

AGGREGATE: Mapping[str, Callable[[Sequence[float]], float]] = {"product": math.prod, "minimum": min}
"""From the chances that each step is right to the score of the answer."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An answer in steps, with the label of each."""

    prompt: Prompt
    steps: tuple[str, ...]
    right: tuple[bool, ...]


def read_solutions(path: Path) -> list[Solution]:
    """JSON lines {"prompt": ..., "steps": [...], "right": [true, false, ...]}, as solutions.

    Raises UserError with the line that is no such row.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            steps, right = tuple(map(str, row["steps"])), tuple(row["right"])
            good = len(steps) == len(right) > 0 and all(type(label) is bool for label in right)
            if not good or not all(step.strip() for step in steps):
                raise ValueError("one label a step, and no empty step")
            found.append(Solution(Prompt.of(str(row["prompt"])), steps, right))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: not an answer with labelled steps ({error}); write "
                '{"prompt": "...", "steps": ["...", "..."], "right": [true, false]}.'
            ) from error
    return found


def step_ids(
    chat: ChatFormat, prompt: Prompt, steps: Sequence[str], separator: str, context: int
) -> tuple[list[int], list[int], list[int]]:
    """Ids of the prompt and of the steps, at most `context` together, and where each step ends.

    Every step is tokenised by itself, with the separator behind it, so that a step's end never
    falls inside a token. What does not fit is cut: of the prompt its beginning, then late steps.
    """
    prompt_ids, ids, ends = chat.prompt_ids(prompt), [], []
    for step in steps:
        ids += chat.completion_ids(step + separator, finished=False)
        ends.append(len(ids) - 1)
    ids = ids[: max(context - len(prompt_ids), context // 2)]
    return prompt_ids[-(context - len(ids)) :], ids, [end for end in ends if end < len(ids)]


def step_rows(
    chat: ChatFormat, solutions: Sequence[Solution], separator: str, context: int
) -> Steps:
    """Solutions as tokens with their labels."""
    found = [step_ids(chat, each.prompt, each.steps, separator, context) for each in solutions]
    labels = [each.right[: len(ends)] for each, (_, _, ends) in zip(solutions, found, strict=True)]
    rows = [(prompt, ids) for prompt, ids, _ in found]
    return Steps.labelled(rows, [ends for _, _, ends in found], labels, chat.pad_id)


def step_modelling(model: RewardModel, data: Steps, order: Order) -> Offline[Steps]:
    """The method that tells right steps from wrong ones."""

    def loss(batch: Steps) -> list[Term]:
        return step_correctness(model.token_scores(batch), batch.right, batch.ends)

    return Offline(model.model, data, order, loss)


class ProcessReward:
    """A RewardFn: the chances that an answer's steps are right, multiplied or the least of them.

    `separator` stands between steps. An answer without a step has none that is right: 0.
    """

    def __init__(
        self,
        model: RewardModel,
        *,
        separator: str,
        aggregate: str,
        context: int,
        micro_tokens: int = 16384,
    ) -> None:
        self.model = model
        self.separator = separator
        self.aggregate = AGGREGATE[aggregate]
        self.context = context
        self.micro_tokens = micro_tokens

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return [self.aggregate(each) if each else 0.0 for each in self.steps(completions)]

    @torch.no_grad()
    def steps(self, completions: Sequence[Completion]) -> list[list[float]]:
        """The chance that each step of each answer is right."""
        chat, separator = self.model.turns, self.separator
        found = []
        for each in completions:
            pieces = [piece for piece in each.text.split(separator) if piece.strip()]
            found.append(step_ids(chat, each.prompt, pieces, separator, self.context))
        data = Sequences.of([(prompt, ids) for prompt, ids, _ in found], chat.pad_id)
        data, packed = data.to(self.model.device), packs(self.model.model)
        chances = in_shares(data, self.micro_tokens, self._chances, packed=packed).tolist()
        return [
            [chances[row][len(prompt) + end] for end in ends]
            for row, (prompt, _, ends) in enumerate(found)
        ]

    def _chances(self, part: Sequences) -> Tensor:
        return self.model.token_scores(part).sigmoid()
