"""Settings of the stages that train."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from heed.recipe.base import Comparisons, Lora, StageName, TrainingStage, listed


class Pretrain(TrainingStage):
    """The base model: the recipe's `model`, or one trained from scratch on the corpus."""

    kind: ClassVar[str] = "pretrain"
    records: StageName = "records"
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
    packing: bool | None = None
    """Texts go through the model end to end, without padding: the same gradient, sooner. Null: on a
    CPU where the model can; true: a model that cannot is refused.
    """

    def inputs(self) -> list[str]:
        return [self.records]


class Sft(TrainingStage):
    """Supervised fine-tuning on demonstrations (on the chosen answers of comparisons)."""

    kind: ClassVar[str] = "sft"
    policy: StageName = "pretrain"
    records: StageName | None = None
    """Stage whose demonstrations are imitated: records, unless comparisons are."""
    comparisons: Comparisons | None = None
    """Comparisons whose chosen answers are imitated in place of demonstrations, each once."""
    epochs: PositiveFloat = 3.0
    """Passes over the demonstrations."""
    batch: PositiveInt = 32
    """Demonstrations an optimiser step."""
    context: PositiveInt = 512
    """Prompts are cut from the left, answers from the right, to fit this many tokens."""
    turns: Literal["all", "last"] = "all"
    """Answers that count: every turn of the assistant in a conversation, or the last alone, as is
    the default for chosen answers."""
    loss_on: Literal["completion", "all"] = "completion"
    """Tokens that count: those of the answers, or all, as in pretraining."""
    packing: bool | None = None
    """Conversations go through the model end to end, without padding: the same gradient, sooner.
    Null: on a CPU where the model can; true: a model that cannot is refused.
    """
    held_families: list[str] = Field([])
    """Families of prompts kept out of training, whose likelihood is measured apart."""
    lora: Lora | None = None

    @model_validator(mode="before")
    @classmethod
    def _demonstrations_or_chosen(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("comparisons") is None:
            return {**given, "records": given.get("records") or "records"}
        # Nobody chose the earlier turns of a conversation.
        return given if given.get("loss_on") == "all" else {"turns": "last", **given}

    @model_validator(mode="after")
    def _every_setting_counts(self) -> Self:
        if self.comparisons is not None and self.records is not None:
            raise ValueError(
                "it imitates the demonstrations of `records` or the chosen answers of "
                "`comparisons`; leave one of them out"
            )
        if self.loss_on == "all" and self.turns == "last":
            raise ValueError(
                "with loss_on all every token counts, whoever's turn it is in; leave turns at all"
            )
        return self

    def inputs(self) -> list[str]:
        return [self.policy, *(listed(self.comparisons or []) or [self.records or "records"])]
