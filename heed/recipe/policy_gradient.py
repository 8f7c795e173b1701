"""Settings of the stages that sample from the policy and follow the gradient of its reward."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from heed.recipe.base import Sampling, Settings, SharedLora, StageName, TrainingStage


class Kl(Settings):
    """The leash: what a nat of KL from the reference costs, in units of reward."""

    coef: NonNegativeFloat = 0.05
    """Coefficient, or the adaptive controller's first value."""
    target: PositiveFloat | None = None
    """KL of a whole answer (nats) that an adaptive coefficient steers to; null keeps it fixed."""
    horizon: PositiveInt = 10000
    """Episodes over which the adaptive controller acts (Ziegler et al. 2019)."""
    loss: Literal["k2_sequence", "k3_sequence", "k2", "k3"] | None = None
    """Null: a cost in the reward, with rewards to go. Otherwise a loss: k2_sequence (exact on
    policy), k3_sequence (exact, importance-weighted), k2 or k3 (of tokens, nearly KL's gradient).
    """

    @field_validator("loss", mode="before")
    @classmethod
    def _has_a_gradient(cls, value: Any) -> Any:
        if value == "k1":
            raise ValueError(
                "k1 as a loss has a gradient of zero on average and holds nothing; leave kl.loss "
                "at null, which puts k1 into the reward, or set it to k2_sequence"
            )
        return value

    @model_validator(mode="after")
    def _all_of_it_acts(self) -> Self:
        if self.coef == 0.0 and (self.loss or self.target):
            key = "loss" if self.loss else "target"
            raise ValueError(
                f"kl.{key} does nothing at kl.coef 0; raise kl.coef or set kl.{key} to null"
            )
        if self.target is None and self.horizon != type(self).model_fields["horizon"].default:
            raise ValueError("kl.horizon does nothing without kl.target; set both or neither")
        return self


class GrpoKl(Kl):
    """GRPO's leash: k3 of tokens as a loss, as in the paper."""

    coef: NonNegativeFloat = 0.04
    """Coefficient, or the adaptive controller's first value."""
    loss: Literal["k2_sequence", "k3_sequence", "k2", "k3"] | None = "k3"
    """Null: a cost in the reward, with rewards to go. Otherwise a loss: k2_sequence (exact on
    policy), k3_sequence (exact, importance-weighted), k2 or k3 (of tokens, nearly KL's gradient).
    """


class Ahead(Settings):
    """Rounds drawn in a process of their own while the round before is learned from."""

    cap: float = Field(2.0, ge=1.0)
    """A token drawn by the policy of a step before counts by how much likelier it has become, this
    many times at most."""


class RolloutServers(Settings):
    """Servers elsewhere that draw the rounds, by weights that are sent to them: `heed rollouts`,
    or vLLM.
    """

    apart: ClassVar[frozenset[str]] = frozenset(
        {"addresses", "model", "key", "transfer", "host", "timeout", "tries_again", "concurrency"}
    )

    addresses: list[str] = Field(min_length=1)
    """Of the servers, such as http://10.0.0.2:8000."""
    model: str = ""
    """The policy's name there; empty asks each server for the first that it has."""
    key: str = "HEED_ROLLOUT_KEY"
    """Environment variable that holds the servers' key, where they want one."""
    transfer: Literal["gloo", "nccl", "vllm"] = "gloo"
    """How weights get there: gloo (TCP) or nccl (GPUs) to `heed rollouts`, vllm to vLLM, which has
    to be installed here, too."""
    host: str = ""
    """This machine's address as the servers reach it; empty finds it out."""
    send_every: PositiveInt = 1
    """Rounds between two sendings of the weights; above 1, rounds are drawn by weights up to so
    many rounds old, less one."""
    cap: float = Field(2.0, ge=1.0)
    """A token counts by how much likelier it is here than where it was drawn, so many times at
    most."""
    timeout: PositiveFloat = 120.0
    """Seconds a request, and a sending of the weights, may take."""
    tries_again: NonNegativeInt = 12
    """How often a request is sent again, and all servers may fail in a row, before the stage
    stops."""
    concurrency: PositiveInt = 64
    """Requests under way at a time, at each server."""

    @model_validator(mode="after")
    def _addresses_can_be_asked(self) -> Self:
        for address in self.addresses:
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(
                    f"servers.addresses are like http://10.0.0.2:8000, not {address!r}"
                )
            if "@" in parts.netloc:
                raise ValueError(
                    "servers.addresses hold a user or a password, and recipes are copied and "
                    "shared; put the key into an environment variable, its name into servers.key"
                )
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError("servers.addresses names a server twice")
        return self


class OnPolicy(TrainingStage):
    """What all policy gradients have in common."""

    policy: StageName = "sft"
    reward: StageName = "reward"
    records: StageName = "records"
    families: list[str] = Field([])
    """Families of prompts that are asked, all where empty."""
    iterations: PositiveInt = 120
    """Rounds of sampling and learning."""
    rollouts: PositiveInt = 128
    """Completions a round."""
    epochs: PositiveInt = 1
    """Passes over a round's completions."""
    minibatches: PositiveInt = 1
    """Optimiser steps a pass."""
    kl: Kl = Kl()
    clip_low: PositiveFloat = 0.2
    """The probability ratio gains nothing by falling below 1 - clip_low ..."""
    clip_high: PositiveFloat = 0.2
    """... or by rising above 1 + clip_high; DAPO sets this one higher, to .28."""
    entropy_coef: NonNegativeFloat = 0.0
    """Bonus for entropy, per nat."""
    missing_eos: float = -1.0
    """Score of a completion that was cut before its end."""
    lora: SharedLora | None = None
    sampling: Sampling = Sampling()
    ahead: Ahead | None = None
    """Draw the next round while this one is learned from, one step off policy, with half of the
    threads; `{}` does so with the defaults."""
    servers: RolloutServers | None = None
    """Draw the rounds on rollout servers instead of here; with `ahead`, while the round before is
    learned from."""
    keep: Literal["last"] = "last"
    """The final weights: the best proxy is no sign of the best policy."""

    def inputs(self) -> list[str]:
        return [self.policy, self.reward, self.records]

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

    @model_validator(mode="after")
    def _there_is_a_next_round(self) -> Self:
        if self.ahead and self.iterations == 1:
            raise ValueError(
                "ahead does nothing where there is one round only; raise iterations or set ahead "
                "to null"
            )
        return self

    @model_validator(mode="after")
    def _one_cap(self) -> Self:
        if self.ahead and self.servers and self.ahead.cap != Ahead().cap:
            raise ValueError(
                "with servers it is servers.cap that bounds the weights of tokens; set that, and "
                "leave ahead.cap out"
            )
        return self

    @model_validator(mode="after")
    def _ratios_move(self) -> Self:
        """With one step a round every ratio is 1: nothing is clipped, and no ratio matters."""
        if self.epochs * self.minibatches > 1:
            return self
        for key in ("clip_low", "clip_high", "value_clip", "ratio"):
            field = type(self).model_fields.get(key)
            if field and getattr(self, key) != field.default:
                raise ValueError(
                    f"{key} does nothing where a round is one optimiser step on the policy that "
                    f"sampled it; raise epochs or minibatches, or leave {key} at {field.default}"
                )
        return self


class Ppo(OnPolicy):
    """Proximal policy optimisation against the reward model, on a KL leash."""

    kind: ClassVar[str] = "ppo"
    epochs: PositiveInt = 2
    """Passes over a round's completions."""
    minibatches: PositiveInt = 2
    """Optimiser steps a pass."""
    value_clip: PositiveFloat = 0.2
    """New values are held this close to the old ones."""
    value_coef: NonNegativeFloat = 0.1
    """Weight of the value loss."""
    gamma: float = Field(1.0, ge=0.0, le=1.0)
    lam: float = Field(0.95, ge=0.0, le=1.0)
    """GAE's lambda."""
    whiten_rewards: bool = False
    """Scale a round's token rewards to variance 1, mean kept."""
    value_lr_scale: PositiveFloat = 1.0
    """Learning rate of the value model, relative to the policy's."""


class CriticFree(OnPolicy):
    """Policy gradients whose baseline is the other answers."""

    group: PositiveInt = 4
    """Samples a prompt."""
    ratio: Literal["token", "sequence"] = "token"
    """What is clipped: the ratio of each token, or of the whole answer per token (GSPO, with
    clip_low 3e-4 and clip_high 4e-4).
    """
    aggregation: Literal["token", "sequence", "constant"] = "token"
    """The loss is averaged over tokens, over answers, or over the most tokens answers may have."""

    least_group: ClassVar[int] = 2
    """Samples a prompt below which the advantage is always 0, or not defined."""

    @model_validator(mode="after")
    def _groups_can_teach(self) -> Self:
        if self.group < self.least_group:
            raise ValueError(
                f"group {self.group} leaves an answer nothing to be compared with, so that every "
                f"advantage is 0; set group to {self.least_group} or more, or use reinforce"
            )
        if self.rollouts % self.group:
            raise ValueError(
                f"{self.rollouts} rollouts are no whole number of groups of {self.group}; make "
                "rollouts a multiple of group"
            )
        if self.rollouts < 2:
            raise ValueError(
                "a round of one answer has nothing to be compared with; raise rollouts"
            )
        return self


class Rloo(CriticFree):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024)."""

    kind: ClassVar[str] = "rloo"


class Grpo(CriticFree):
    """Group-relative policy optimisation (Shao et al. 2024); `std: false, aggregation: constant` is
    Dr. GRPO, `ratio: sequence` GSPO.
    """

    kind: ClassVar[str] = "grpo"
    group: PositiveInt = 8
    """Samples a prompt."""
    kl: GrpoKl = GrpoKl()
    aggregation: Literal["token", "sequence", "constant"] = "sequence"
    """The loss is averaged over tokens, over answers, or over the most tokens answers may have."""
    std: bool = True
    """Divide by the standard deviation of the group's scores."""


class Reinforce(CriticFree):
    """REINFORCE++ (Hu et al. 2025): advantages whitened over the round, a group's mean taken off
    first where it has more than one sample.
    """

    kind: ClassVar[str] = "reinforce"
    least_group: ClassVar[int] = 1
    group: PositiveInt = 1
    """Samples a prompt; above 1, REINFORCE++-baseline."""
