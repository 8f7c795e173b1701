"""Settings of the stage that grades conversations."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from heed.recipe.base import Sampling, Stage, StageName
from heed.recipe.feedback import Speaker
from heed.recipe.rubric import TurnsRubric


class GradeTurns(Stage):
    """Policies answer questions of several turns, and a judge grades every answer from 1 to 10.

    MT-Bench's form (Zheng et al. 2023, arXiv:2306.05685).
    """

    kind: ClassVar[str] = "grade_turns"
    policies: dict[str, StageName] = Field({"sft": "sft", "ppo": "ppo"}, min_length=1)
    """Label in the report -> stage that made the policy; others are held against the first."""
    questions: str | None = None
    """File in MT-Bench's format: JSON lines of question_id, category, turns and perhaps reference.
    The embedded world brings its own.
    """
    samples: PositiveInt = 1
    """Conversations a question and policy."""
    judge: Speaker = Speaker(policy="sft")
    rubric: TurnsRubric = TurnsRubric()
    retries: NonNegativeInt = 2
    """How often an unreadable grade is asked for again."""
    max_new_tokens: PositiveInt = 512
    """The judge's replies are cut here."""
    sampling: Sampling = Sampling()
    """How policies answer."""

    @model_validator(mode="after")
    def _somebody_can_grade(self) -> Self:
        self.judge.check("judge")
        if (self.rubric.template is None) != (self.rubric.referenced is None):
            raise ValueError(
                "rubric.template asks about answers without a reference and rubric.referenced "
                "about those with one; set both or neither, so that one judge grades all"
            )
        return self

    @model_validator(mode="after")
    def _labels_name_files(self) -> Self:
        for label in self.policies:
            if not label or "/" in label:
                raise ValueError(
                    f"policies.{label}: the answers are kept in a file of that label, which can "
                    "hold no /; give the policy another label"
                )
        return self

    def inputs(self) -> list[str]:
        judge = [self.judge.policy] if self.judge.policy else []
        return list(dict.fromkeys([*self.policies.values(), *judge]))

    def files(self) -> list[str]:
        return [self.questions] if self.questions else []
