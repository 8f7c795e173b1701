"""What the settings of all stages are made of.

The text under a field is what `heed recipes NAME` prints beside its value, so it is written for the
reader of a recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)


class _Name:
    """Marks a text that names a stage."""


StageName = Annotated[str, _Name]
"""The name of another stage of the recipe, wherever a setting holds one."""
Comparisons = StageName | list[StageName]
"""The stage whose comparisons are trained on, or several."""


class Settings(BaseModel):
    """Settings refuse unknown keys and wrong types, and never change once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
    apart: ClassVar[frozenset[str]] = frozenset()
    """Settings that may change while a stage is at work, and are no part of its key."""

    def renamed(self, rename: Callable[[str], str]) -> Self:
        """The same settings, every stage they name called as `rename` says."""
        changed: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                changed[name] = value.renamed(rename)
            elif _Name in field.metadata:
                changed[name] = rename(value)
            elif _names_stages(field.annotation):
                changed[name] = _renamed(value, field.annotation, rename)
        return self.model_copy(update=changed)


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
    """Tokens a forward pass, their padding included where rows are padded; the batch is split to
    stay below, the gradient is the same.
    """


class Lora(Settings):
    """Low-rank adapters (Hu et al. 2021) in place of full fine-tuning."""

    rank: PositiveInt = 16
    """Rank of the update."""
    alpha: PositiveFloat = 32.0
    """The update is scaled by alpha / rank."""
    targets: str | list[str] = "all-linear"
    """Names of the modules that get an adapter."""


class SharedLora(Lora):
    """Low-rank adapters where other models may stand on the same base."""

    share: bool = False
    """One copy of the base's weights for policy, reference, value and reward, each an adapter: the
    reward is trained with `lora`, from the same policy.
    """


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
    scores: ClassVar[bool] = False
    """Whether answers can be scored by it: a stage's `reward` names such a one."""
    weightless: ClassVar[bool] = False
    """Whether it answers prompts, but leaves no policy to train further or to measure from."""
    conditioned: ClassVar[bool] = False
    """Whether its policy is asked with something before the prompt, and is another without."""
    carries: ClassVar[bool] = False
    """Whether it puts before the prompt what its own `policy` is asked with."""
    name: str = Field("", pattern=r"^[a-z0-9_-]*$")
    """Folder and label of the stage; its kind by default."""

    def inputs(self) -> list[str]:
        """Names of the stages whose output this one reads."""
        return []

    def files(self) -> list[str]:
        """Files of the user's that the stage reads: their content is part of its key."""
        return []

    def models(self) -> list[str]:
        """Models of the user's that the stage starts from, beside the recipe's: directories, whose
        content is part of its key, or hub names. Raises UserError where one is not installed.
        """
        return []

    def rewards(self) -> list[str]:
        """Names of the stages by which this one scores answers: its `reward`, where it has one."""
        name: str | None = getattr(self, "reward", None)
        return [] if name is None else [name]

    def check(self, earlier: Mapping[str, Stage]) -> None:
        """Raise ValueError where a stage it reads from cannot give what it needs."""
        if getattr(self, "comparisons", None) == []:
            raise ValueError("names no stage in its comparisons; name a collect stage")
        for name in self.rewards():
            if not earlier[name].scores:
                known = [other.name for other in earlier.values() if other.scores]
                raise ValueError(
                    f"scores answers by {name!r}, but {earlier[name].kind} stages score none; "
                    f"name a reward ({', '.join(known) or 'there is none before it'})"
                )
        for key in ("policy", "reference"):
            source: str | None = getattr(self, key, None)
            if source is not None and earlier[source].weightless:
                raise ValueError(
                    f"takes its {key} from {source!r}, but {earlier[source].kind} stages leave "
                    "no weights; name the stage whose policy it draws from"
                )
            if source is not None and earlier[source].conditioned and not self.carries:
                raise ValueError(
                    f"takes its {key} from {source!r}, which is asked with its best level before "
                    f"the prompt, and {self.kind} stages leave that out; name the stage that it "
                    "started from"
                )


class TrainingStage(Stage):
    """What all stages that train have in common."""

    trains: ClassVar[bool] = True
    optim: Optimisation = Optimisation()
    checkpoint_every: PositiveInt = 50
    """Iterations between checkpoints; a killed run goes on from the last one."""
    keep: Literal["last", "best"] = "last"
    """Which weights become the stage's result: the final ones, or the best measured."""
    shard: bool = False
    """Under torchrun, split weights, gradients and optimiser state over the processes (FSDP2): less
    memory each, more talk between them, the same result. With one process it changes nothing.
    """
    checkpoint_activations: bool = False
    """Compute each layer again in the backward pass in place of keeping what it computed: less
    memory, a third more work, the same result.
    """

    @model_validator(mode="after")
    def _one_base_stays_whole(self) -> Self:
        lora = getattr(self, "lora", None)
        if isinstance(lora, SharedLora) and lora.share:
            for key in ("shard", "checkpoint_activations"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} does not go with lora.share: adapters take turns on one base, and "
                        f"a layer would meet another one than it began with; leave {key} or "
                        "lora.share out"
                    )
        return self


def listed(comparisons: Comparisons) -> list[str]:
    """The stages named, one or several."""
    return [comparisons] if isinstance(comparisons, str) else list(comparisons)


def _names_stages(annotation: Any) -> bool:
    """Whether a type holds names of stages: alone, in a list, in a mapping."""
    return annotation is _Name or any(
        _names_stages(part)
        for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ()))
    )


def _renamed(value: Any, annotation: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [rename(name) for name in value]
    if isinstance(value, dict):
        renames = [rename if _names_stages(part) else _same for part in get_args(annotation)]
        return {renames[0](key): renames[1](each) for key, each in value.items()}
    return value and rename(value)


def _same(value: Any) -> Any:
    return value
