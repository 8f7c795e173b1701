"""Settings of the stages that train."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from heed.recipe.base import Lora, Sampling, Settings, TrainingStage

WORLD_FAMILIES = ("facts", "arithmetic", "advice", "verse", "harmful", "small_talk")
"""The families of the embedded world's prompts."""


class Pretrain(TrainingStage):
    """The base model: the recipe's `model`, or one trained from scratch on the corpus."""

    kind: ClassVar[str] = "pretrain"
    records: str = "records"
    architecture: dict[str, Any] = Field(
        {
            "model_type": "llama",
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 256,
            "tie_word_embeddings": True,
        }
    )
    """A transformers configuration, `model_type` among its keys."""
    keep: Literal["last"] = "last"
    """The final weights: no text is held out to measure on."""
    vocabulary: PositiveInt = 4096
    """Transcripts: size of the byte-level BPE vocabulary."""
    epochs: PositiveFloat = 1.0
    """Passes over the corpus."""
    batch: PositiveInt = 64
    """Texts an optimiser step."""
    context: PositiveInt = 256
    """Longer texts are cut."""
    packing: bool = False
    """Texts go through the model end to end, without padding: the same gradient, sooner."""

    def inputs(self) -> list[str]:
        return [self.records]


class Sft(TrainingStage):
    """Supervised fine-tuning on demonstrations (on the chosen answers of comparisons)."""

    kind: ClassVar[str] = "sft"
    policy: str = "pretrain"
    records: str = "records"
    epochs: PositiveFloat = 3.0
    """Passes over the demonstrations."""
    batch: PositiveInt = 32
    """Demonstrations an optimiser step."""
    context: PositiveInt = 512
    """Prompts are cut from the left, answers from the right, to fit this many tokens."""
    turns: Literal["all", "last"] = "all"
    """Answers that count: every turn of the assistant in a conversation, or the last alone."""
    loss_on: Literal["completion", "all"] = "completion"
    """Tokens that count: those of the answers, or all, as in pretraining."""
    packing: bool = False
    """Conversations go through the model end to end, without padding: the same gradient, sooner."""
    held_families: list[str] = Field([])
    """Families of prompts kept out of training, whose likelihood is measured apart."""
    lora: Lora | None = None

    @model_validator(mode="after")
    def _every_setting_counts(self) -> Self:
        if self.loss_on == "all" and self.turns == "last":
            raise ValueError(
                "with loss_on all every token counts, whoever's turn it is in; leave turns at all"
            )
        return self

    def inputs(self) -> list[str]:
        return [self.policy, self.records]


class Confidence(Settings):
    """An auxiliary loss that lets a strong model trust itself over weak labels."""

    alpha: float = Field(0.5, gt=0.0, lt=1.0)
    """Weight of the model's own verdicts, against that of the labels."""
    warmup: float = Field(0.2, ge=0.0, le=1.0)
    """Share of the stage over which alpha rises from 0."""


class Reward(TrainingStage):
    """A Bradley-Terry reward model on comparisons, calibrated on the policy's samples."""

    kind: ClassVar[str] = "reward"
    policy: str = "sft"
    comparisons: str = "collect"
    records: str = "records"
    epochs: PositiveFloat = 1.0
    """Passes over the comparisons; more than one overfits."""
    batch: PositiveInt = 64
    """Comparisons an optimiser step."""
    context: PositiveInt = 512
    calibration: PositiveInt = 512
    """Samples of the policy on which scores are made mean 0, standard deviation 1."""
    confidence: Confidence | None = None
    """Lets the model disagree with weak labels (Burns et al. 2023); null believes them all."""
    sampling: Sampling = Sampling()

    def inputs(self) -> list[str]:
        return [self.policy, self.comparisons, self.records]


class Kl(Settings):
    """The leash: what a nat of KL from the reference costs, in units of reward."""

    coef: NonNegativeFloat = 0.05
    """Coefficient, or the adaptive controller's first value."""
    target: PositiveFloat | None = None
    """KL of a whole answer (nats) that an adaptive coefficient steers to; null keeps it fixed."""
    horizon: PositiveInt = 10000
    """Episodes over which the adaptive controller acts (Ziegler et al. 2019)."""


class Ppo(TrainingStage):
    """Proximal policy optimisation against the reward model, on a KL leash."""

    kind: ClassVar[str] = "ppo"
    policy: str = "sft"
    reward: str = "reward"
    records: str = "records"
    iterations: PositiveInt = 120
    """Rounds of sampling and learning."""
    rollouts: PositiveInt = 128
    """Completions a round, one a prompt."""
    epochs: PositiveInt = 2
    """Passes over a round's completions."""
    minibatches: PositiveInt = 2
    """Optimiser steps a pass."""
    kl: Kl = Kl()
    clip: PositiveFloat = 0.2
    """The probability ratio is held within 1 +- clip."""
    value_clip: PositiveFloat = 0.2
    """New values are held this close to the old ones."""
    value_coef: NonNegativeFloat = 0.1
    """Weight of the value loss."""
    entropy_coef: NonNegativeFloat = 0.0
    """Bonus for entropy, per nat."""
    gamma: float = Field(1.0, ge=0.0, le=1.0)
    lam: float = Field(0.95, ge=0.0, le=1.0)
    """GAE's lambda."""
    whiten_rewards: bool = False
    """Scale a round's token rewards to variance 1, mean kept."""
    missing_eos: float = -1.0
    """Score of a completion that was cut before its end."""
    value_lr_scale: PositiveFloat = 1.0
    """Learning rate of the value model, relative to the policy's."""
    lora: Lora | None = None
    sampling: Sampling = Sampling()
    keep: Literal["last"] = "last"
    """The final weights: the best proxy is no sign of the best policy."""

    @model_validator(mode="after")
    def _samples_can_teach(self) -> Self:
        if self.rollouts < self.minibatches:
            raise ValueError(
                f"{self.rollouts} rollouts cannot be cut into {self.minibatches} minibatches; "
                "raise rollouts or lower minibatches"
            )
        if self.sampling.temperature == 0.0:
            raise ValueError(
                "at sampling.temperature 0 every round samples the same answers and nothing can "
                "be learned; set it above 0"
            )
        if self.sampling.top_p < 1.0 or self.sampling.top_k > 0:
            raise ValueError(
                "policy gradients need samples of the policy itself, not of its likeliest tokens; "
                "leave sampling.top_p at 1 and sampling.top_k at 0"
            )
        return self

    def inputs(self) -> list[str]:
        return [self.policy, self.reward, self.records]


class Dpo(TrainingStage):
    """Direct preference optimisation: the comparisons without a reward model or sampling."""

    kind: ClassVar[str] = "dpo"
    policy: str = "sft"
    comparisons: str = "collect"
    loss: Literal["dpo"] = "dpo"
    beta: PositiveFloat = 0.1
    """Strength of the implicit leash."""
    epochs: PositiveFloat = 1.0
    """Passes over the comparisons."""
    batch: PositiveInt = 64
    """Comparisons an optimiser step."""
    context: PositiveInt = 512
    lora: Lora | None = None

    def inputs(self) -> list[str]:
        return [self.policy, self.comparisons]
