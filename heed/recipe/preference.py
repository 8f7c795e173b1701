"""Settings of the stages that learn from preferences without a reward model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from heed.recipe.base import Comparisons, Lora, StageName, TrainingStage, listed

LossName = Literal[
    "dpo", "dpo_norm", "cdpo", "robust", "odpo", "ipo", "ipo_norm", "hinge", "slic", "cpo",
    "simpo", "orpo",
]  # fmt: skip


@dataclass(frozen=True)
class LossFacts:
    """What a recipe knows of a preference loss, defaults among it.

    `own`: the settings that this loss takes and others may not. `reference`: whether it looks at a
    reference. `per_token`: whether its implicit rewards are means over an answer's tokens.
    """

    beta: float = 0.1
    own: Mapping[str, float] = field(default_factory=dict)
    sft_coef: float = 0.0
    reference: bool = True
    per_token: bool = False


LOSSES: Mapping[LossName, LossFacts] = {
    "dpo": LossFacts(),
    "dpo_norm": LossFacts(beta=5.0, per_token=True),
    "cdpo": LossFacts(own={"smoothing": 0.1}),
    "robust": LossFacts(own={"smoothing": 0.1}),
    "odpo": LossFacts(own={"offset": 1.0}),
    "ipo": LossFacts(),
    "ipo_norm": LossFacts(beta=1.0, per_token=True),
    "hinge": LossFacts(),
    "slic": LossFacts(beta=0.2, sft_coef=0.1, reference=False),
    "cpo": LossFacts(sft_coef=1.0, reference=False),
    "simpo": LossFacts(beta=2.0, own={"gamma": 1.0}, reference=False, per_token=True),
    "orpo": LossFacts(sft_coef=1.0, reference=False, per_token=True),
}
OWN = ("smoothing", "offset", "gamma")


class Dpo(TrainingStage):
    """Direct preference optimisation and its family: the comparisons without a reward model."""

    kind: ClassVar[str] = "dpo"
    policy: StageName = "sft"
    comparisons: Comparisons = "collect"
    loss: LossName = "dpo"
    """What is asked of a pair; those without a reference are slic, cpo, simpo and orpo."""
    beta: PositiveFloat = 0.1
    """Scale of the implicit rewards: with a reference, the larger, the shorter the leash (ipo: its
    tau; orpo: weight of the odds). By default .1; slic .2, ipo_norm 1, simpo 2, dpo_norm 5."""
    smoothing: float | None = Field(None, ge=0.0, lt=0.5)
    """cdpo, robust: share of the labels that are taken to be wrong; .1 by default."""
    offset: PositiveFloat | None = None
    """odpo: how much more gap a margin of 1 asks for; 1 by default."""
    gamma: NonNegativeFloat | None = None
    """simpo: the gap that is asked for; 1 by default."""
    sft_coef: NonNegativeFloat = 0.0
    """Weight of the chosen answers' cross-entropy (nats a token) beside the loss; cpo and orpo have
    1, slic .1."""
    epochs: PositiveFloat = 1.0
    """Passes over the comparisons."""
    batch: PositiveInt = 64
    """Comparisons an optimiser step."""
    context: PositiveInt = 512
    lora: Lora | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_loss(cls, given: Any) -> Any:
        loss = given.get("loss", "dpo") if isinstance(given, dict) else None
        for name, facts in LOSSES.items():
            if name == loss:
                return {"beta": facts.beta, "sft_coef": facts.sft_coef, **facts.own, **given}
        return given  # what is wrong with it is found by its type

    @model_validator(mode="after")
    def _says_what_the_loss_takes_and_no_more(self) -> Self:
        for name in OWN:
            takers = [loss for loss, facts in LOSSES.items() if name in facts.own]
            wanted, given = self.loss in takers, getattr(self, name) is not None
            if wanted and not given:
                raise ValueError(f"the loss {self.loss} needs {name}; set it, or leave it out")
            if given and not wanted:
                raise ValueError(
                    f"the loss {self.loss} has no {name}; leave it out, or set loss to "
                    f"{' or '.join(takers)}"
                )
        return self

    @property
    def own(self) -> dict[str, float]:
        """The settings that are the loss's own, by keyword."""
        return {name: getattr(self, name) for name in LOSSES[self.loss].own}

    def inputs(self) -> list[str]:
        return [self.policy, *listed(self.comparisons)]


class Kto(TrainingStage):
    """Kahneman-Tversky optimisation: answers that are good or bad, each by itself."""

    kind: ClassVar[str] = "kto"
    policy: StageName = "sft"
    comparisons: Comparisons = "collect"
    beta: PositiveFloat = 0.1
    """Scale of the implicit rewards: the larger, the shorter the leash."""
    desirable_coef: PositiveFloat = 1.0
    """Weight of the answers that were preferred (lambda_D)."""
    undesirable_coef: PositiveFloat = 1.0
    """Weight of the answers that were not, and of those that are all bad (lambda_U)."""
    epochs: PositiveFloat = 1.0
    """Passes over the answers."""
    batch: int = Field(128, ge=2)
    """Answers an optimiser step; over a batch the KL that rewards are measured from is a mean."""
    context: PositiveInt = 512
    lora: Lora | None = None

    def inputs(self) -> list[str]:
        return [self.policy, *listed(self.comparisons)]
