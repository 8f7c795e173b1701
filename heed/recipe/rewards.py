"""Settings of rewards: stages that score answers, learned from comparisons or written down.

Whatever a stage names as its `reward` is one of these. A reward that trains nothing leaves no
files: its stage measures it on samples of a policy, for the report.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from heed.recipe.backbone import located
from heed.recipe.base import (
    Comparisons,
    Lora,
    Sampling,
    Settings,
    Stage,
    StageName,
    TrainingStage,
    listed,
)
from heed.recipe.feedback import Collect, Speaker
from heed.recipe.rubric import GradingRubric


class Confidence(Settings):
    """An auxiliary loss that lets a strong model trust itself over weak labels."""

    alpha: float = Field(0.5, gt=0.0, lt=1.0)
    """Weight of the model's own verdicts, against that of the labels."""
    warmup: float = Field(0.2, ge=0.0, le=1.0)
    """Share of the stage over which alpha rises from 0."""


class RewardModelling(TrainingStage):
    """What all stages have in common that learn to score from comparisons."""

    scores: ClassVar[bool] = True
    policy: StageName = "sft"
    """Stage whose policy it starts from, unless `backbone` is set, and on whose samples its scores
    are calibrated.
    """
    backbone: str | None = Field(None, min_length=1)
    """What it starts from in place of the policy: a directory, a hub name or `package:NAME`, a
    Python package that carries a model. An encoder (BERT, DeBERTa, ...) reads prompt and answer as
    a pair of texts, a decoder as the conversation; either has a tokenizer of its own.
    """
    comparisons: Comparisons = "collect"
    records: StageName = "records"
    loss: Literal["bradley_terry", "plackett_luce"] = "bradley_terry"
    """The likelihood of each pair, or of each whole ranking (which knows no margins)."""
    centring: NonNegativeFloat = 0.0
    """Weight of (chosen + rejected)^2, which holds the scores' mean at 0 (arXiv:2312.09244)."""
    epochs: PositiveFloat = 1.0
    """Passes over the comparisons; more than one overfits."""
    batch: PositiveInt = 64
    """Comparisons (or rankings) an optimiser step."""
    context: PositiveInt = 512
    calibration: PositiveInt = 512
    """Samples of the policy on which scores are made mean 0, standard deviation 1."""
    confidence: Confidence | None = None
    """Lets the model disagree with weak labels (Burns et al. 2023); null believes them all."""
    lora: Lora | None = None
    """An adapter in place of the whole backbone; the head trains in full. Null trains it all."""
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _only_pairs_are_trusted(self) -> Self:
        if self.confidence and (self.centring or self.loss != "bradley_terry"):
            raise ValueError(
                "confidence is a loss of pairs by itself; set loss to bradley_terry and centring "
                "to 0, or leave confidence out"
            )
        return self

    @model_validator(mode="after")
    def _only_pairs_are_centred(self) -> Self:
        if self.centring and self.loss != "bradley_terry":
            raise ValueError(
                f"centring holds the scores of pairs, not of rankings; leave it at 0 with loss "
                f"{self.loss}, or set loss to bradley_terry"
            )
        return self

    def inputs(self) -> list[str]:
        return [self.policy, *listed(self.comparisons), self.records]

    def models(self) -> list[str]:
        return [located(self.backbone)] if self.backbone else []

    def check(self, earlier: Mapping[str, Stage]) -> None:
        super().check(earlier)
        for name in listed(self.comparisons):
            if self.loss == "plackett_luce" and not isinstance(earlier[name], Collect):
                raise ValueError(
                    f"learns from rankings (loss plackett_luce), but {name!r} holds pairs only; "
                    "name a collect stage as its comparisons, or set loss to bradley_terry"
                )


class Reward(RewardModelling):
    """A reward model on comparisons, calibrated on the policy's samples."""

    kind: ClassVar[str] = "reward"


class Ensemble(RewardModelling):
    """Several reward models, each on a bootstrap of the comparisons, and what they say together."""

    kind: ClassVar[str] = "ensemble"
    members: int = Field(4, ge=2)
    """Reward models, each with a head and a resample of the prompts of its own."""
    combine: Literal["mean", "minimum", "mean_minus_std"] = "mean_minus_std"
    """How their scores become one (Coste et al. 2023, arXiv:2310.02743)."""
    penalty: PositiveFloat | None = None
    """mean_minus_std: standard deviations taken off the mean, 1 by default."""

    @model_validator(mode="after")
    def _only_a_spread_is_penalised(self) -> Self:
        if self.penalty is not None and self.combine != "mean_minus_std":
            raise ValueError(
                f"penalty weighs the spread in mean_minus_std; leave it out with combine "
                f"{self.combine}"
            )
        return self


class ProcessReward(TrainingStage):
    """A model that scores each step of an answer, trained on step labels."""

    kind: ClassVar[str] = "process_reward"
    scores: ClassVar[bool] = True
    policy: StageName = "sft"
    """Stage whose policy it starts from."""
    labels: str
    """File of labelled steps: JSON lines of prompt, steps and right, one true or false a step."""
    separator: str = Field("\n", min_length=1)
    """What stands between the steps of an answer."""
    aggregate: Literal["product", "minimum"] = "product"
    """How the chances that each step is right become the answer's score."""
    heldout: float = Field(0.1, gt=0.0, lt=1.0)
    """Share of the prompts whose steps are measured on instead of learned from."""
    epochs: PositiveFloat = 1.0
    """Passes over the answers."""
    batch: PositiveInt = 32
    """Answers an optimiser step."""
    context: PositiveInt = 512
    lora: Lora | None = None
    """An adapter in place of the whole backbone; the head trains in full. Null trains it all."""

    def inputs(self) -> list[str]:
        return [self.policy]

    def files(self) -> list[str]:
        return [self.labels]


class WrittenReward(Stage):
    """What all rewards have in common that are not learned; samples of a policy measure them."""

    scores: ClassVar[bool] = True
    policy: StageName = "sft"
    """Stage on whose samples the reward is measured."""
    records: StageName = "records"
    comparisons: StageName | None = None
    """Stage with held-out comparisons, to measure how often the reward prefers what was chosen."""
    samples: PositiveInt = 256
    """Samples measured on."""
    sampling: Sampling = Sampling()

    def inputs(self) -> list[str]:
        compared = [self.comparisons] if self.comparisons else []
        return [self.policy, self.records, *compared, *self.rewards()]


class Check(WrittenReward):
    """What all checks of an answer's text have in common."""

    families: list[str] = Field([])
    """Families of prompts that are checked, all where empty; others score `elsewhere`."""
    elsewhere: float | None = None
    """Score of answers to prompts of other families, 0 by default."""

    @model_validator(mode="after")
    def _somewhere_else_exists(self) -> Self:
        if self.elsewhere is not None and not self.families:
            raise ValueError(
                "elsewhere is the score of other families, but families names none; leave it out"
            )
        return self


class Exact(Check):
    """1 where the answer is the right one to the letter, else 0."""

    kind: ClassVar[str] = "exact"
    answers: str
    """File of right answers: JSON lines {"prompt": what was asked, "answer": what is right}."""
    extract: str | None = None
    """Regular expression: compare its last match (the group of it) in place of the whole text."""
    ignore_case: bool = True

    @model_validator(mode="after")
    def _pattern_works(self) -> Self:
        if self.extract is not None:
            check_pattern("extract", self.extract)
        return self

    def files(self) -> list[str]:
        return [self.answers]


class Maths(Check):
    """1 where the answer ends in the right number or expression, by math-verify, else 0."""

    kind: ClassVar[str] = "maths"
    answers: str
    """File of right answers: JSON lines of prompt (or question, as GSM8K has it) and answer."""
    seconds: PositiveFloat = 5.0
    """An answer that takes longer to check counts as wrong, and is reported."""

    def files(self) -> list[str]:
        return [self.answers]


class Regex(Check):
    """1 where the pattern is found in the answer, else 0."""

    kind: ClassVar[str] = "regex"
    pattern: str
    """Regular expression of Python's, found anywhere."""

    @model_validator(mode="after")
    def _pattern_works(self) -> Self:
        check_pattern("pattern", self.pattern)
        return self


class Format(Check):
    """1 where the whole answer has the form of the pattern, else 0."""

    kind: ClassVar[str] = "format"
    pattern: str
    """Regular expression of Python's that the whole answer matches; its dot takes newlines too."""

    @model_validator(mode="after")
    def _pattern_works(self) -> Self:
        check_pattern("pattern", self.pattern)
        return self


class Length(Check):
    """0 within bounds, and less for every word beyond them."""

    kind: ClassVar[str] = "length"
    least: int = Field(0, ge=0)
    """Words an answer has at least."""
    most: PositiveInt | None = None
    """Words an answer has at most."""
    penalty: PositiveFloat = 0.1
    """What a word too few or too many costs."""

    @model_validator(mode="after")
    def _bounds_bind(self) -> Self:
        if self.most is None and self.least == 0:
            raise ValueError("length without bounds scores nothing; set least or most")
        if self.most is not None and self.most < self.least:
            raise ValueError(f"no answer has at least {self.least} and at most {self.most} words")
        return self


class Correct(Check):
    """World: 1 where the answer is right by the world's own facts, else 0."""

    kind: ClassVar[str] = "correct"


class Honest(Check):
    """World: 1 for a right answer, 0 for "I do not know", and less for a made-up one."""

    kind: ClassVar[str] = "honest"
    confidence: float = Field(0.75, gt=0.0, lt=1.0)
    """How sure one must be for an answer to pay: a wrong one scores -confidence / (1 - confidence).
    """


class Metre(Check):
    """How near an answer's lines come to iambic pentameter, by a pronouncing dictionary."""

    kind: ClassVar[str] = "metre"
    whole: bool = False
    """1 for a perfect line and 0 for any other, instead of the share of right stresses."""


class Function(WrittenReward):
    """Any Python function of yours: a list of completions in, a list of numbers out."""

    kind: ClassVar[str] = "function"
    call: str = Field(pattern=r"^.+\.py:[A-Za-z_]\w*$")
    """`file.py:function`; the file's content is part of the stage's key."""

    @property
    def file(self) -> str:
        return self.call.rpartition(":")[0]

    def files(self) -> list[str]:
        return [self.file]


class JudgeReward(WrittenReward):
    """A language model that grades each answer by itself, from 1 to 10."""

    kind: ClassVar[str] = "judge"
    judge: Speaker = Speaker(policy="sft")
    rubric: GradingRubric = GradingRubric()
    retries: int = Field(2, ge=0)
    """How often an unreadable grade is asked for again."""
    max_new_tokens: PositiveInt = 512
    """Replies are cut here."""
    unreadable: float | None = None
    """Score of an answer that got no grade, and their number is reported; null stops the run."""

    @model_validator(mode="after")
    def _somebody_can_grade(self) -> Self:
        self.judge.check("judge")
        return self

    def inputs(self) -> list[str]:
        return [*super().inputs(), *([self.judge.policy] if self.judge.policy else [])]


class WeightedSum(WrittenReward):
    """A weighted sum of rewards."""

    kind: ClassVar[str] = "weighted_sum"
    weights: dict[StageName, float] = Field(min_length=1)
    """Reward stage -> what a unit of its score is worth."""

    @model_validator(mode="after")
    def _every_part_counts(self) -> Self:
        for name, weight in self.weights.items():
            if weight == 0 or not math.isfinite(weight):
                raise ValueError(
                    f"weights.{name} is {weight}; give a finite weight or leave it out"
                )
        return self

    def rewards(self) -> list[str]:
        return list(self.weights)


class Gate(WrittenReward):
    """A reward that counts only where another reaches a threshold."""

    kind: ClassVar[str] = "gate"
    reward: StageName = "reward"
    """Reward stage that counts where the gate is open."""
    by: StageName
    """Reward stage that opens the gate."""
    threshold: float = 1.0
    """The gate is open where that one's score is this or more."""
    closed: float = -1.0
    """Score of an answer before a closed gate."""

    def rewards(self) -> list[str]:
        return [self.reward, self.by]


def check_pattern(key: str, pattern: str) -> None:
    """Raise ValueError for what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key} is no regular expression: {error}") from error


REWARDS: tuple[type[WrittenReward], ...] = (
    Exact, Maths, Regex, Format, Length, Correct, Honest, Metre, Function, JudgeReward,
    WeightedSum, Gate,
)  # fmt: skip
"""The stages that score answers without training anything."""
