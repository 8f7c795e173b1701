"""Settings of what to try before reinforcement learning: say it, show it, look it up, label it."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from heed.recipe.base import Lora, Sampling, Stage, StageName, TrainingStage

LEVEL = "{level}"
"""Where a template has the level."""


class SystemPrompt(Stage):
    """A policy asked with a system message before the conversation: nothing is trained."""

    kind: ClassVar[str] = "system_prompt"
    weightless: ClassVar[bool] = True
    policy: StageName = "sft"
    text: str | None = None
    """What the system message says; or name a `file`."""
    file: str | None = None
    """Text file of the system message."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.text is None) == (self.file is None):
            raise ValueError("set text to what the system message says, or file, one of the two")
        if self.text is not None and not self.text.strip():
            raise ValueError("an empty text is the policy itself; say something in it")
        return self

    def inputs(self) -> list[str]:
        return [self.policy]

    def files(self) -> list[str]:
        return [self.file] if self.file else []


class Retrieval(Stage):
    """A policy asked with what is similar to the prompt before it: nothing is trained."""

    kind: ClassVar[str] = "retrieval"
    weightless: ClassVar[bool] = True
    policy: StageName = "sft"
    records: StageName = "records"
    demonstrations: StageName | None = None
    """Stage whose demonstrations (of training prompts) come first, as turns of a conversation."""
    demonstrations_file: str | None = None
    """File of demonstrations in place of a stage's: prompt, completion; or messages."""
    documents: StageName | None = None
    """Stage whose documents come first, as a system message: the world's records have some."""
    documents_file: str | None = None
    """File of documents: JSON lines with `text`, or plain text, a document a paragraph."""
    k: PositiveInt = 2
    """Demonstrations or documents before a prompt, at most; the most similar stands last."""
    least: float = Field(0.0, ge=0.0, lt=1.0)
    """What is less similar than this (cosine of tf-idf) is not put before the prompt."""

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Self:
        keys = ("demonstrations", "demonstrations_file", "documents", "documents_file")
        named = [key for key in keys if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(
                f"name one of {', '.join(keys)}, not {' and '.join(named) or 'none of them'}"
            )
        return self

    def inputs(self) -> list[str]:
        named = [self.policy, self.records, self.demonstrations, self.documents]
        return [name for name in dict.fromkeys(named) if name is not None]

    def files(self) -> list[str]:
        return [name for name in (self.demonstrations_file, self.documents_file) if name]


class RewardConditioned(TrainingStage):
    """Answers imitated with how good they are before the prompt, then asked for the best."""

    kind: ClassVar[str] = "reward_conditioned"
    conditioned: ClassVar[bool] = True
    carries: ClassVar[bool] = True
    policy: StageName = "sft"
    reward: StageName = "reward"
    records: StageName = "records"
    samples: PositiveInt = 7680
    """Answers drawn from the policy, scored and imitated; those cut before their end are not."""
    levels: int = Field(5, ge=2)
    """Parts of like size into which the scores are cut, 1 for the lowest."""
    among: Literal["all", "prompt"] = "all"
    """Scores that are cut: of all answers, or of those to each prompt by themselves."""
    template: str = "How good is the answer? {level}."
    """The system message that says the level, in words that the tokenizer knows."""
    epochs: PositiveFloat = 2.0
    """Passes over the answers."""
    batch: PositiveInt = 64
    """Answers an optimiser step."""
    context: PositiveInt = 512
    lora: Lora | None = None
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _levels_can_teach(self) -> Self:
        if LEVEL not in self.template:
            raise ValueError(f"the template says no level; put {LEVEL} where it stands")
        if self.sampling.temperature == 0.0:
            raise ValueError(
                "at sampling.temperature 0 a prompt has one answer, and no level tells it from "
                "another; set it above 0"
            )
        if self.batch > self.samples:
            raise ValueError(
                f"{self.samples} answers do not fill a batch of {self.batch}; raise samples or "
                "lower batch"
            )
        return self

    def inputs(self) -> list[str]:
        return [self.policy, self.reward, self.records]
