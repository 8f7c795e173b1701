"""What may stop a run: one settings class a gate, its action, its thresholds.

A gate warns, or it stops the training that it watches, or stages that read from where it tripped
refuse to start. `false_alarms` is how often it trips where nothing is wrong, over a whole run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from heed.recipe.base import Settings, StageName

ROUND = 256
"""Answers that each check of a policy gradient's rollouts draws, at most."""
PAIRS, PROMPTS = 256, 64
"""Comparisons, and prompts, that a first step is tried on, at most."""
CHOOSE = 16
"""Answers on which the word is chosen that buys most of a reward model."""


class GateSettings(Settings):
    """What every gate's settings have: an action."""

    action: Literal["warn", "stop", "refuse", "off"] = "warn"

    @field_validator("action", mode="before")
    @classmethod
    def _off_is_no_number(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare off as false

    @model_validator(mode="after")
    def _every_setting_counts(self) -> Self:
        if self.action == "off":
            for name, field in type(self).model_fields.items():
                if name != "action" and getattr(self, name) != field.default:
                    raise ValueError(f"{name} does nothing with action off; leave it out")
        return self

    @property
    def asked(self) -> bool:
        """Whether the gate asks anything at all."""
        return self.action != "off"

    @property
    def stops(self) -> bool:
        """Whether it may end a training, and so decides what the stage leaves."""
        return self.asked and self.action == "stop"


class Admission(GateSettings):
    """A gate that looks at what a stage left, or at what it is about to begin with."""

    action: Literal["warn", "refuse", "off"] = "warn"
    """warn, or refuse: what reads from there does not start; off does not ask."""


class Watch(GateSettings):
    """A gate that looks at every iteration of a policy gradient."""

    action: Literal["warn", "stop", "off"] = "warn"
    """warn, or stop: training ends, and the best policy until then is kept; off does not ask."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often the gate may trip over a whole run in which nothing is wrong."""


class SignGate(Admission):
    """Held-out chosen answers score above rejected ones."""

    action: Literal["warn", "refuse", "off"] = "refuse"
    """warn, or refuse: what reads from there does not start; off does not ask."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often a reward trips that knows nothing of what people prefer."""


class LeakageGate(Admission):
    """Held-out prompts stand in the training data."""

    similarity: float = Field(0.9, gt=0.0, le=1.0)
    """Jaccard index of the runs of three words from which on two prompts are the same."""
    share: float = Field(0.01, ge=0.0, lt=1.0)
    """Of the held-out prompts, which may have leaked."""


class SidesGate(Admission):
    """Annotators choose the left answer, or the right one, whatever stands there."""

    margin: float = Field(0.05, gt=0.0, lt=0.5)
    """How far the share of choices for the left may lie from a half."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often labels trip it whose share lies on the margin."""


class LengthsGate(Admission):
    """Annotators choose the longer answer, or the shorter one."""

    margin: float = Field(0.15, gt=0.0, lt=0.5)
    """How far the share of choices for the longer answer may lie from a half."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often labels trip it whose share lies on the margin."""


class AgreementGate(Admission):
    """Annotators hardly agree on the items that several of them labelled."""

    least: float = Field(0.15, ge=0.0, lt=1.0)
    """Krippendorff's alpha (nominal) that labels must not surely lie below; 0 is chance."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often labels trip it whose alpha is `least`."""


class SpammersGate(Admission):
    """Many labels come from annotators who look as if they clicked at random."""

    share: float = Field(0.25, ge=0.0, lt=1.0)
    """Of the labels, which may come from such people."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often labels trip it of which just this share is from such people."""


class SwappedGate(Admission):
    """The labels of one source contradict the others'."""

    share: float = Field(0.15, ge=0.0, lt=0.5)
    """Of a source's rows, which may seem to stand the wrong way round."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often it trips where each source has just this share swapped."""


class FooledGate(Admission):
    """A judge prefers an answer that answers nothing."""

    prompts: PositiveInt = 32
    """Prompts at which each decoy stands against a real answer."""
    share: float = Field(0.1, ge=0.0, lt=1.0)
    """Of these, at which a decoy may win."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often a judge trips whom decoys fool at just this share."""


class ExploitsGate(Admission):
    """A word that buys score, whatever the answer says besides."""

    words: PositiveInt = 40
    """Words tried: frequent ones, and those that stand in chosen answers more than in rejected."""
    answers: PositiveInt = 96
    """Held-out chosen answers on which the dearest of them is tested."""
    margin: PositiveFloat = 2.0
    """Standard deviations of the scores of held-out chosen answers that it may buy on average."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often a word trips it that buys just that."""


class LogprobsGate(Admission):
    """The sampler's log-probs are those of the training forward."""

    action: Literal["warn", "refuse", "off"] = "refuse"
    """warn, or refuse: the training does not start; off does not ask."""
    full: PositiveFloat = 1e-3
    """Nats a token that they may differ on average in float32."""
    half: PositiveFloat = 0.02
    """Nats a token that they may differ on average in bfloat16."""


class DrawsGate(Admission):
    """Answers are drawn from the policy that trains, at its temperature."""

    false_alarms: float = Field(0.001, gt=0.0, lt=0.5)
    """How often the gate may trip at the start of a training in which nothing is wrong."""


class StepGate(Admission):
    """The method's own update raises the likelihood of better answers."""

    action: Literal["warn", "refuse", "off"] = "refuse"
    """warn, or refuse: the training does not start; off does not ask."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often a reward trips that knows nothing of what people prefer."""


class LeashGate(Admission):
    """The KL term pulls back a policy that has moved."""

    action: Literal["warn", "refuse", "off"] = "refuse"
    """warn, or refuse: the training does not start; off does not ask."""
    false_alarms: float = Field(0.01, gt=0.0, lt=0.5)
    """How often a term trips that leads nowhere."""


class KlGate(Watch):
    """The policy has gone further from its reference than it may."""

    budget: PositiveFloat = 10.0
    """KL of a whole answer, in nats."""


class EntropyGate(Watch):
    """The policy has hardly a choice left in what it writes."""

    share: float = Field(0.25, gt=0.0, lt=1.0)
    """Of the entropy of the first rounds, which it may not fall below."""


class RepetitionGate(Watch):
    """The policy says the same words again and again."""

    rise: PositiveFloat = 0.1
    """Of the share of an answer's word pairs that stood in it before, since the first rounds."""


class LengthGate(Watch):
    """Answers grow without end."""

    times: float = Field(2.0, gt=1.0)
    """The length of the first rounds, in words, which answers may not go beyond."""


class DisagreementGate(Watch):
    """The members of an ensemble no longer agree: its answers are unlike those they learned on."""

    times: float = Field(2.0, gt=1.0)
    """The members' standard deviation in the first rounds, which it may not go beyond."""


class OutlierGate(Watch):
    """Single answers score far beyond all others: something was found that the reward loves."""

    times: float = Field(2.0, gt=1.0)
    """How far a round's best answer stands above its median, in interquartile ranges, relative to
    the first rounds."""


class RolloutGapGate(Watch):
    """Rollout servers give tokens other log-probs than the policy here."""

    budget: PositiveFloat = 0.1
    """Mean difference of a token's log-probs, in nats; what the policy learned since it was sent is
    part of it."""


class OveroptimisationGate(Watch):
    """Another reward falls on held-out prompts while the one that is trained on rises."""

    action: Literal["warn", "stop", "off"] = "stop"
    """warn, or stop: training ends, and the best policy until then is kept; off does not ask."""
    reward: StageName | None = None
    """Reward stage that nothing is trained on (a reward model, a judge), in rounds each round's
    own; null asks nobody."""
    every: PositiveInt = 5
    """Iterations between two looks."""
    prompts: PositiveInt = 128
    """Held-out prompts that are answered at every look, the same each time."""
    fall: NonNegativeFloat = 0.05
    """How far it may fall below its best, in standard deviations of the first look's scores."""

    @model_validator(mode="after")
    def _somebody_is_asked(self) -> Self:
        if self.reward is None:
            for name in ("every", "prompts", "fall", "false_alarms"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} does nothing without a reward to ask; name a reward stage that "
                        "nothing is trained on"
                    )
        return self

    @property
    def asked(self) -> bool:
        return self.action != "off" and self.reward is not None

    def beside(self, earlier: Sequence[str]) -> str | None:
        """The reward stage that is asked beside a stage which stands after those of these names:
        the one that is named or, where rounds made several of it, the latest; None where it comes
        later or not at all.
        """
        if self.reward is None or self.reward in earlier:
            return self.reward
        written = re.compile(re.escape(self.reward) + r"-\d+")
        return next((name for name in reversed(earlier) if written.fullmatch(name)), None)


class Gates(Settings):
    """All gates, by name."""

    leakage: LeakageGate = LeakageGate()
    sides: SidesGate = SidesGate()
    lengths: LengthsGate = LengthsGate()
    agreement: AgreementGate = AgreementGate()
    spammers: SpammersGate = SpammersGate()
    sign: SignGate = SignGate()
    swapped: SwappedGate = SwappedGate()
    fooled: FooledGate = FooledGate()
    exploits: ExploitsGate = ExploitsGate()
    logprobs: LogprobsGate = LogprobsGate()
    draws: DrawsGate = DrawsGate()
    step: StepGate = StepGate()
    leash: LeashGate = LeashGate()
    kl: KlGate = KlGate()
    entropy: EntropyGate = EntropyGate()
    repetition: RepetitionGate = RepetitionGate()
    length: LengthGate = LengthGate()
    disagreement: DisagreementGate = DisagreementGate()
    outliers: OutlierGate = OutlierGate()
    rollout_gap: RolloutGapGate = RolloutGapGate()
    overoptimisation: OveroptimisationGate = OveroptimisationGate()

    def asked(self) -> Iterator[tuple[str, GateSettings]]:
        """Those that ask anything, by name."""
        for name in type(self).model_fields:
            gate: GateSettings = getattr(self, name)
            if gate.asked:
                yield name, gate

    def stopping(self) -> dict[str, dict[str, Any]]:
        """The settings of those that may end a training: they decide what it leaves."""
        return {
            name: gate.model_dump(exclude_defaults=True)
            for name, gate in self.asked()
            if gate.stops
        }
