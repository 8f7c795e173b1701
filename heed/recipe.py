"""What a recipe may say: the run's own settings and one model a stage.

A new stage is one class here and one line in `STAGES`. The text under a field is what `heed recipes
NAME` prints beside its value, so it is written for the reader of a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)


class Settings(BaseModel):
    """Settings refuse unknown keys and wrong types, and never change once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Optimisation(Settings):
    """AdamW, its schedule and its batches."""

    lr: PositiveFloat = 1e-3
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the rate falls from its peak to 0 over the stage."""
    warmup: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of the stage over which the rate rises from 0."""
    betas: list[float] = Field([0.9, 0.95], min_length=2, max_length=2)
    """AdamW's decay rates of the first and second moment."""
    eps: PositiveFloat = 1e-8
    """AdamW's epsilon."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled decay of matrices; vectors (norms, biases) are never decayed."""
    clip_norm: PositiveFloat = 1.0
    """Gradients are scaled down to at most this norm."""
    micro_tokens: PositiveInt = 16384
    """Padded tokens a forward pass; the batch is split to stay below, the gradient is the same."""


class Lora(Settings):
    """Low-rank adapters (Hu et al. 2021) in place of full fine-tuning."""

    rank: PositiveInt = 16
    """Rank of the update."""
    alpha: PositiveFloat = 32.0
    """The update is scaled by alpha / rank."""
    targets: str | list[str] = "all-linear"
    """Names of the modules that get an adapter."""


class Sampling(Settings):
    """How completions are drawn."""

    temperature: NonNegativeFloat = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Keep the likeliest tokens up to this probability."""
    top_k: int = Field(0, ge=0)
    """Keep this many of the likeliest tokens; 0 keeps all."""
    max_new_tokens: PositiveInt = 32
    """Completions are cut here."""
    batch_size: PositiveInt = 256
    """Completions generated side by side."""
    stop: list[str] = []
    """Texts at which a completion ends, beside the end of sequence."""


class Stage(Settings):
    """One step of the pipeline. It reads what the stages named by `inputs` wrote."""

    kind: ClassVar[str]
    trains: ClassVar[bool] = False
    name: str = Field("", pattern=r"^[a-z0-9_-]*$")
    """Folder and label of the stage; its kind by default."""

    def inputs(self) -> list[str]:
        """Names of the stages whose output this one reads."""
        return []


class TrainingStage(Stage):
    """What all stages that train have in common."""

    trains: ClassVar[bool] = True
    optim: Optimisation = Optimisation()
    checkpoint_every: PositiveInt = 50
    """Iterations between checkpoints; a killed run goes on from the last one."""
    keep: Literal["last", "best"] = "last"
    """Which weights become the stage's result: the final ones, or the best measured."""


class Records(Stage):
    """Prompts, corpus, demonstrations (and comparisons, where people made them)."""

    kind: ClassVar[str] = "records"
    corpus: int = Field(24000, ge=100)
    """World: dialogues of the pretraining corpus."""
    demonstrations: int = Field(1500, ge=40)
    """World: demonstrations for supervised fine-tuning."""
    heldout: float = Field(0.1, gt=0.0, lt=1.0)
    """Transcripts: share of the prompts that training never sees."""
    limit: PositiveInt | None = None
    """Transcripts: read at most this many comparisons (all by default)."""


class Pretrain(TrainingStage):
    """The base model: the recipe's `model`, or one trained from scratch on the corpus."""

    kind: ClassVar[str] = "pretrain"
    records: str = "records"
    architecture: dict[str, Any] = {
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
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
    lora: Lora | None = None

    def inputs(self) -> list[str]:
        return [self.policy, self.records]


class Annotators(Settings):
    """Simulated annotators of the embedded world; `null` keeps a person's own habit."""

    temperature: PositiveFloat | None = None
    """Noise of a choice, for all."""
    length_bias: float | None = None
    """Utility of one more word, for all."""


class Collect(Stage):
    """Pairs of the policies' answers, compared by the world's simulated annotators."""

    kind: ClassVar[str] = "collect"
    policies: list[str] = Field(["sft"], min_length=1)
    """The first gives one answer of every pair, all of them in turn the other."""
    records: str = "records"
    comparisons: PositiveInt = 6000
    """Annotations gathered on training prompts."""
    heldout: PositiveInt = 1500
    """Annotations gathered on held-out prompts, to judge the reward model."""
    ties: Literal["drop"] = "drop"
    """Verdicts without a side (tie, both bad, cannot tell) make no comparison."""
    sampling: Sampling = Sampling()
    annotators: Annotators = Annotators()

    def inputs(self) -> list[str]:
        return [*self.policies, self.records]


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


class Evaluate(Stage):
    """Samples of every policy on held-out prompts, measured with intervals."""

    kind: ClassVar[str] = "evaluate"
    policies: dict[str, str] = {"base": "pretrain", "sft": "sft", "dpo": "dpo", "ppo": "ppo"}
    """Label in the report -> stage that made the policy."""
    reference: str = "sft"
    """Stage whose policy KL is measured against."""
    reward: str = "reward"
    records: str = "records"
    samples: PositiveInt = 2400
    """Completions a policy, spread evenly over the held-out prompts."""
    shown: PositiveInt = 18
    """Prompts whose answers stand side by side in the report."""
    sampling: Sampling = Sampling()

    def inputs(self) -> list[str]:
        return list(
            dict.fromkeys([*self.policies.values(), self.reference, self.reward, self.records])
        )


class Report(Stage):
    """One page about the run, in HTML and JSON."""

    kind: ClassVar[str] = "report"
    evaluate: str = "evaluate"

    def inputs(self) -> list[str]:
        return [self.evaluate]


STAGES: Mapping[str, type[Stage]] = {
    stage.kind: stage
    for stage in (Records, Pretrain, Sft, Collect, Reward, Ppo, Dpo, Evaluate, Report)
}


class WorldSettings(Settings):
    """The embedded world."""

    seed: int = 0
    """Changes facts, prompts, corpus, demonstrations and people."""


class Recipe(Settings):
    """A whole run on one page."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = ""
    seed: int = 0
    """Everything random in training and sampling is derived from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the forward passes; weights in training are float32."""
    threads: PositiveInt | None = None
    """CPU threads; null leaves torch's choice."""
    model: str | None = None
    """Directory or hub name of a causal language model; null pretrains one."""
    data: str | list[str] = "world"
    """`world`, or files or a directory of HH-RLHF transcripts (JSON lines, gz or plain)."""
    world: WorldSettings = WorldSettings()
    stages: tuple[Stage, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when the recipe has none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def needed_for(self, name: str) -> Recipe:
        """The same recipe with only that stage and the stages it reads from."""
        needed, queue = set(), [name]
        while queue:
            current = queue.pop()
            if current not in needed:
                needed.add(current)
                queue.extend(self.stage(current).inputs())
        return self.model_copy(
            update={"stages": tuple(stage for stage in self.stages if stage.name in needed)}
        )
