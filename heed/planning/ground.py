"""What counts are made from: the recipe, its data and the sizes of its models; and what every
stage does in like ways: sample, score, train and measure on what is held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from heed.planning.passes import Pass
from heed.planning.sizes import Size
from heed.planning.texts import Data, Rows
from heed.recipe import (
    Collect,
    Comparisons,
    Ensemble,
    JudgeReward,
    Lora,
    Ppo,
    Pretrain,
    ProcessReward,
    Recipe,
    Records,
    Relabel,
    RewardModelling,
    Sampling,
    Stage,
    TrainingStage,
    listed,
)

LearnedReward = RewardModelling | ProcessReward
JUDGED = 150
"""Tokens of a judge's rubric around what it judges."""


@dataclass(frozen=True, slots=True)
class PairsOf:
    """Pairs of answers: to train on, held out, and what their rows are like; beside them, answers
    labelled one by one.
    """

    train: float
    heldout: float
    rows: Rows
    unpaired: float = 0.0
    heldout_unpaired: float = 0.0


@dataclass(frozen=True)
class Ground:
    """The recipe, what its data are, and a size for each stage that begins a model.

    `read`: the data in the tokens of another model than the policy, by the stage that begins it.
    """

    recipe: Recipe
    data: Data
    sizes: Mapping[str, Size]
    read: Mapping[str, Data] = field(default_factory=dict)

    def root(self, policy: str) -> str:
        """The stage from whose model a stage's came."""
        stage = self.recipe.stage(policy)
        before: str | None = getattr(stage, "policy", None)
        return policy if isinstance(stage, Pretrain) or before is None else self.root(before)

    def size(self, policy: str) -> Size:
        return self.sizes[self.root(policy)]

    def begun(self, reward: LearnedReward) -> str:
        """The stage that begins the model of a reward: its own where that has a backbone."""
        return reward.name if reward.models() else self.root(reward.policy)

    def valued(self, stage: Ppo) -> str:
        """The stage that begins the model of a critic: the reward's where that is one model on the
        policy's base, else the policy's.
        """
        reward = self.recipe.stage(stage.reward)
        if isinstance(reward, LearnedReward) and not reward.models():
            return self.begun(reward)
        return self.root(stage.policy)

    def read_by(self, stage: str) -> Ground:
        """The same, the data in the tokens of the model that a stage begins."""
        return replace(self, data=self.read.get(stage, self.data))

    def texts(self, policy: str) -> Rows:
        """What a policy's answers are taken to be like: a base model trained on the corpus writes
        like the corpus, any other like the demonstrations.
        """
        base = isinstance(self.recipe.stage(policy), Pretrain) and self.recipe.model is None
        return self.data.corpus if base else self.data.demonstrations

    def sample(
        self,
        policy: str,
        answers: float,
        sampling: Sampling,
        *,
        group: int = 1,
        families: Sequence[str] = (),
        before: float = 0.0,
    ) -> list[Pass]:
        """Answers of a policy, each group of them to a prompt that is filled in once; `before`:
        tokens that stand before each prompt.
        """
        rows = self.texts(policy).of(families)
        drawn = answers * rows.answer(sampling.max_new_tokens)
        asked = answers / group * (rows.prompt() + before)
        root = self.root(policy)
        return [Pass("forwarded", asked, 0.0, root), Pass("sampled", drawn, drawn, root)]

    def score(self, reward: str, rows: float, tokens: float) -> list[Pass]:
        """So many rows of so many tokens, scored by a reward stage: by each model behind it."""
        stage = self.recipe.stage(reward)
        if isinstance(stage, JudgeReward):
            return self.ask(stage.judge.policy, rows, tokens, stage.max_new_tokens)
        if isinstance(stage, LearnedReward):
            times = stage.members if isinstance(stage, Ensemble) else 1
            begun = self.begun(stage)
            own, policys = self.read_by(begun).data.corpus, self.data.corpus
            ratio = (own.prompt() + own.answer()) / (policys.prompt() + policys.answer())
            return [Pass("forwarded", rows * tokens * ratio * times, 0.0, begun)]
        return [each for name in stage.rewards() for each in self.score(name, rows, tokens)]

    def ask(self, policy: str | None, times: float, tokens: float, most: int) -> list[Pass]:
        """Questions to a model of this run, each answered at most at length; one behind an address
        costs this machine nothing.
        """
        if policy is None:
            return []
        root = self.root(policy)
        drawn = times * most
        return [Pass("forwarded", times * tokens, 0.0, root), Pass("sampled", drawn, drawn, root)]

    def pairs(self, comparisons: Comparisons) -> PairsOf:
        """The comparisons of one stage or several, every label taken to prefer an answer."""
        parts = [self._pairs(self.recipe.stage(name)) for name in listed(comparisons)]
        return PairsOf(
            sum(each.train for each in parts),
            sum(each.heldout for each in parts),
            parts[0].rows,
            sum(each.unpaired for each in parts),
            sum(each.heldout_unpaired for each in parts),
        )

    def _pairs(self, stage: Stage) -> PairsOf:
        if isinstance(stage, Records):
            data = self.data
            return PairsOf(
                data.comparisons, data.heldout, data.corpus, data.unpaired, data.heldout_unpaired
            )
        if isinstance(stage, Relabel):
            under = self._pairs(self.recipe.stage(stage.comparisons))
            ways = 2 if stage.reward else 1  # a soft label is a comparison in each order
            return PairsOf(under.train * ways, under.heldout, under.rows)
        assert isinstance(stage, Collect), f"{stage.kind} stages hold no comparisons"
        ways = stage.answers * (stage.answers - 1) // 2
        rows = self.texts(stage.policies[0])
        return PairsOf(stage.comparisons * ways, stage.heldout * ways, rows)


def steps(rows: float, batch: int, epochs: float) -> int:
    """Optimiser steps of so many passes over the rows."""
    return max(1, round(epochs * rows / batch))


def looks(stage: TrainingStage, iterations: int) -> int:
    """How often what is held out is measured: at checkpoints and at the end."""
    every = stage.checkpoint_every
    return iterations // every + (iterations % every > 0)


def train(root: str, lora: Lora | None, tokens: float, head: float) -> Pass:
    """Tokens that are learned from, by a model or by an adapter on it."""
    return Pass("trained", tokens, head, root, lora.rank if lora else None)
