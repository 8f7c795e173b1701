"""Settings of the comparison of policies with each other, by whoever judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self, cast

from pydantic import Field, PositiveInt, model_validator

from heed.recipe.base import Sampling, Settings, Stage, StageName
from heed.recipe.feedback import Judge, People

if TYPE_CHECKING:
    from heed.recipe.recipe import Evaluate

GOLD = "gold"
PEOPLE = "people"


class Asked(People):
    """People at the labelling page, who are shown every pair blind."""

    per_item: PositiveInt = 1
    """People a pair."""


class Judges(Settings):
    """Who says which of two answers is better; each of them judges the same pairs."""

    gold: bool = False
    """The embedded world's true reward."""
    rewards: list[StageName] = Field([])
    """Reward stages: the answer that one scores higher is better."""
    model: Judge | None = None
    """A language model, asked in both orders."""
    people: Asked | None = None

    @property
    def names(self) -> list[str]:
        """What each is called in the votes."""
        model = [self.model.name] if self.model else []
        people = [PEOPLE] if self.people else []
        return [*([GOLD] if self.gold else []), *self.rewards, *model, *people]

    @model_validator(mode="after")
    def _somebody_judges(self) -> Self:
        names = self.names
        if not names:
            raise ValueError("nobody judges: set gold, rewards, model or people")
        if len(set(names)) < len(names):
            raise ValueError(f"two judges have one name ({', '.join(names)}); set model.name")
        if self.model is not None and self.model.name in (GOLD, PEOPLE):
            raise ValueError(f"model.name: {self.model.name} is somebody else's name")
        if self.model is not None:
            self.model.check("judges.model")
            self.model.rubric.check(by_principle=False)
        if self.people is not None and (self.people.gold or self.people.order != "random"):
            raise ValueError(
                "people.gold and people.order are for collecting comparisons; leave them out"
            )
        return self


class Compare(Stage):
    """Policies against each other, blind, and against answers that answer nothing."""

    kind: ClassVar[str] = "compare"
    evaluate: StageName | None = "evaluate"
    """Evaluation whose answers are compared; null samples policies anew."""
    policies: dict[str, StageName] = Field({})
    """Label in the report -> stage that made the policy; those of `evaluate` where there is one."""
    records: StageName | None = None
    """Stage whose held-out prompts are asked, where policies are sampled anew."""
    baseline: str | None = None
    """Label of the policy that win rates are against: by default the reference of `evaluate`, or
    else the first of `policies`.
    """
    judges: Judges = Judges(gold=True)
    answers: PositiveInt = 1
    """Answers a prompt and policy that are compared."""
    prompts: PositiveInt | None = None
    """Held-out prompts compared on, drawn at random; all by default."""
    pairs: PositiveInt | None = None
    """Pairs judged in all, spread evenly over every two contestants; all by default."""
    sampling: Sampling | None = None
    """How policies are sampled anew."""

    @model_validator(mode="after")
    def _answers_come_from_somewhere(self) -> Self:
        if self.evaluate is not None:
            named = {"policies": self.policies, "records": self.records, "sampling": self.sampling}
            for key, value in named.items():
                if value:
                    raise ValueError(
                        f"{key} is for policies sampled anew, but the answers are those of "
                        f"{self.evaluate!r}; leave {key} out, or set evaluate to null"
                    )
        elif len(self.policies) < 2 or self.records is None:
            raise ValueError(
                "without evaluate, policies are sampled anew: name two or more in policies, and in "
                "records the stage whose held-out prompts they are asked"
            )
        for label in self.policies:
            if label.startswith("decoy:"):
                raise ValueError(f"policies.{label}: only decoys are called so")
        return self

    def source(self, stages: Mapping[str, Stage]) -> Evaluate | None:
        """The evaluation whose answers are compared; None where policies are sampled anew.

        Raises ValueError where the stage is of another kind.
        """
        if self.evaluate is None:
            return None
        found = stages[self.evaluate]
        if found.kind != "evaluate":
            raise ValueError(
                f"compares the answers of {self.evaluate!r}, but {found.kind} stages keep none; "
                "name an evaluate stage"
            )
        return cast("Evaluate", found)

    def labelled(self, evaluate: Evaluate | None) -> Mapping[str, str]:
        """The stages that are compared, by label."""
        return self.policies if evaluate is None else evaluate.policies

    def against(self, evaluate: Evaluate | None) -> str:
        """The label of the baseline."""
        if self.baseline is not None:
            return self.baseline
        labels = self.labelled(evaluate)
        reference = evaluate.reference if evaluate else None
        named = [label for label, stage in labels.items() if stage == reference]
        return next(iter([*named, *labels]))

    def check(self, earlier: Mapping[str, Stage]) -> None:
        super().check(earlier)
        evaluate = self.source(earlier)
        labels = self.labelled(evaluate)
        if self.against(evaluate) not in labels:
            raise ValueError(
                f"has the baseline {self.baseline!r}, which is none of the compared: "
                f"{', '.join(labels)}"
            )

    def rewards(self) -> list[str]:
        return self.judges.rewards

    def inputs(self) -> list[str]:
        named = [self.evaluate, *self.policies.values(), self.records, *self.judges.rewards]
        named.append(self.judges.model.policy if self.judges.model else None)
        return list(dict.fromkeys(name for name in named if name is not None))

    def files(self) -> list[str]:
        people = self.judges.people
        return [people.guideline] if people is not None and people.guideline else []
