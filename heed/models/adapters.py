"""LoRA adapters: made, put on and taken off, several of them on one copy of the base's weights.

Between two blocks of `wearing` the policy's own adapter acts (`OWN`), so that whoever samples,
trains or saves the policy need not know that others stand beside it.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from heed.errors import UserError
from heed.models import source as sources
from heed.models.anatomy import causal_lm
from heed.models.modes import seeded

OWN = "default"
"""The adapter that a model was given first, as peft calls it."""
FOLDER = "adapter"
"""Where a saved model with merged weights keeps the adapter alone."""


def new_adapter(
    model: Any,
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    targets: str | list[str] = "all-linear",
    seed: int = 0,
    task: str = "CAUSAL_LM",
    spared: Sequence[str] = (),
) -> PeftModel:
    """A transformers model under a fresh adapter, the only part that trains; scale alpha / rank.

    The layers named in `spared` get none.

    torch's global random state stays as it was. (Hu et al. 2021, arXiv:2106.09685.)

    Raises UserError for targets that the model does not have, and for a tied one: merged, its
    update would reach the other end of the tie, too, where it never acted in training.
    """
    settings = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets,
        exclude_modules=list(spared) or None,
        task_type=task,
        fan_in_fan_out=_stores_transposed(model),
    )
    # Its class for classifiers would train a second copy of the head; all it is to know of the
    # task is which layer is the head, and so none of "all-linear".
    make = get_peft_model if task == "CAUSAL_LM" else PeftModel
    try:
        with seeded(seed):
            made: PeftModel = make(model, settings)
    except (ValueError, re.error) as error:
        raise UserError(
            f"LoRA cannot be attached to {targets!r} of a {type(model).__name__}: "
            f"{sources.reason(error)} Set the targets to all-linear or to names of its layers."
        ) from error
    if tied := _tied_targets(made):
        raise UserError(
            f"LoRA cannot be attached to {', '.join(tied)}: the model's head and embeddings are "
            "one tied weight, and an adapter on one of them could not be saved merged. Set the "
            "targets to all-linear, which leaves both out."
        )
    settings.task_type = task if task == "CAUSAL_LM" else None
    return made


def save_adapter(model: Any, folder: Path) -> None:
    """Write a model's own adapter, none of those that stand beside it; nothing without one."""
    if isinstance(model, PeftModel):
        model.save_pretrained(folder, selected_adapters=[OWN], save_embedding_layers=False)


def add_adapter(
    model: PeftModel, name: str, start: Path | None, *, trains: bool, seed: int = 0
) -> None:
    """Put another adapter beside the others: a saved one, or a fresh one like the model's own.

    It acts only within `wearing`. What trains besides is left as it was: peft would freeze it.

    Raises UserError for a saved one that does not fit the model.
    """
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    with seeded(seed):
        if start is None:
            model.add_adapter(name, copy.deepcopy(model.peft_config[OWN]))
        else:
            device = str(next(model.parameters()).device)
            try:
                loaded = model.load_adapter(start, name, is_trainable=True, torch_device=device)
            except (ValueError, RuntimeError) as error:
                raise UserError(_no_fit(start, model, sources.reason(error))) from error
            if lacking := [key for key in loaded.missing_keys if f".{name}." in f"{key}."]:
                raise UserError(_no_fit(start, model, f"It has no {lacking[0]}."))
    for weight, flag in flags:
        weight.requires_grad_(flag)
    for weight in adapter_weights(model, name):
        weight.requires_grad_(trains)


def adapter_weights(model: nn.Module, name: str) -> list[nn.Parameter]:
    """All weights of one adapter."""
    return [weight for label, weight in model.named_parameters() if f".{name}." in f"{label}."]


@contextmanager
def wearing(model: nn.Module, adapter: str | None) -> Iterator[None]:
    """Within the block that adapter alone acts (None: the bare base); then what did before.

    Which weights take a gradient is the same within, behind and before: peft's own switches give
    it to whatever is on, and would so take it from what another loss is about to reach.
    """
    layers = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
    before = [(layer.active_adapters, not layer.disable_adapters) for layer in layers]
    names = [] if adapter is None else [adapter]
    try:
        _switch(layers, [(names, adapter is not None)] * len(layers))
        yield
    finally:
        _switch(layers, before)


def _switch(layers: Sequence[BaseTunerLayer], states: Sequence[tuple[list[str], bool]]) -> None:
    """The adapters on in each layer, and whether any acts at all."""
    for layer, (names, on) in zip(layers, states, strict=True):
        flags = [(weight, weight.requires_grad) for weight in layer.parameters()]
        layer.set_adapter(names)
        layer.enable_adapters(on)
        for weight, flag in flags:
            weight.requires_grad_(flag)


class AdaptedBackbone(nn.Module):
    """A causal LM's backbone with one of its adapters on: another model on the same weights."""

    def __init__(self, model: PeftModel, adapter: str) -> None:
        super().__init__()
        self.model = model
        self.adapter = adapter

    @property
    def config(self) -> Any:
        """The base's configuration."""
        return causal_lm(self.model).config

    def forward(self, **inputs: Any) -> Any:
        with wearing(self.model, self.adapter):
            return causal_lm(self.model).base_model(**inputs)


def _no_fit(folder: Path, model: PeftModel, why: str) -> str:
    return (
        f"The adapter in {folder} does not fit a {type(causal_lm(model)).__name__} whose base it "
        f"is to share: {why} Leave lora.share out, or train it with targets: all-linear."
    )


def _tied_targets(model: PeftModel) -> list[str]:
    """The layers under an adapter whose weight is another layer's, too."""
    held = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    return [
        name.rpartition(".")[2]
        for name, part in model.named_modules()
        if isinstance(part, BaseTunerLayer)
        and held[id(getattr(part.get_base_layer(), "weight", None))] > 1
    ]


def _stores_transposed(model: Any) -> bool:
    """GPT-2's Conv1D keeps [in, out]; peft wants to be told."""
    return any(type(part).__name__ == "Conv1D" for part in model.modules())
