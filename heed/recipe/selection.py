"""Settings of the stages that pick answers by a reward: best-of-n and rejection sampling."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from heed.recipe.base import Sampling, SharedLora, Stage, StageName, TrainingStage


class BestOfN(Stage):
    """The best of n answers of a policy by a reward: nothing is trained, an answer costs n."""

    kind: ClassVar[str] = "best_of_n"
    weightless: ClassVar[bool] = True
    carries: ClassVar[bool] = True
    policy: StageName = "sft"
    reward: StageName = "reward"
    n: int = Field(8, ge=2)
    """Answers drawn for each that is given."""

    def inputs(self) -> list[str]:
        return [self.policy, self.reward]


class Rejection(TrainingStage):
    """Rejection sampling: rounds of best-of-n, each then imitated (RAFT, arXiv:2304.06767)."""

    kind: ClassVar[str] = "rejection"
    policy: StageName = "sft"
    reward: StageName = "reward"
    records: StageName = "records"
    families: list[str] = Field([])
    """Families of prompts that are asked, all where empty."""
    rounds: PositiveInt = 6
    """Rounds of sampling and imitating."""
    prompts: PositiveInt = 384
    """Prompts asked a round."""
    candidates: int = Field(4, ge=2)
    """Answers a prompt, of which the best is imitated where it is better than another."""
    epochs: PositiveFloat = 1.0
    """Passes over a round's best answers."""
    batch: PositiveInt = 128
    """Answers an optimiser step."""
    missing_eos: float = -1.0
    """Score of an answer that was cut before its end; such a one is never imitated."""
    lora: SharedLora | None = None
    sampling: Sampling = Sampling()
    keep: Literal["last"] = "last"
    """The final weights: the best proxy is no sign of the best policy."""

    @model_validator(mode="after")
    def _samples_can_teach(self) -> Self:
        if self.sampling.temperature == 0.0:
            raise ValueError(
                "at sampling.temperature 0 all candidates are the same answer and none is better; "
                "set it above 0"
            )
        if self.batch > self.prompts:
            raise ValueError(
                f"{self.prompts} prompts a round do not fill a batch of {self.batch}; raise "
                "prompts or lower batch"
            )
        return self

    def inputs(self) -> list[str]:
        return [self.policy, self.reward, self.records]
