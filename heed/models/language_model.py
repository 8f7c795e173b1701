"""A policy: a causal language model, its tokenizer and its chat format; made, loaded, saved.

Weights are safetensors, never pickle; no code that comes with a model is run.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from heed.errors import UserError
from heed.files import new_directory
from heed.models import source as sources
from heed.models.adapters import FOLDER, new_adapter, save_adapter
from heed.models.chat import ChatFormat
from heed.models.device import resolve_device, resolve_dtype
from heed.models.modes import seeded
from heed.models.sound import check_vocabulary


@dataclass
class LanguageModel:
    """`model` is a transformers causal LM, or a peft model around one."""

    model: Any
    tokenizer: Any
    chat: ChatFormat

    @property
    def device(self) -> torch.device:
        weight: torch.Tensor = next(iter(self.model.parameters()))
        return weight.device


def load_language_model(
    source: str | Path, *, device: str = "auto", dtype: str = "auto", split: bool = False
) -> LanguageModel:
    """Load a causal LM from a directory or by hub name, in eval mode.

    A source that holds a peft adapter gives its base model with the adapter merged in. With
    `split` the weights may wait on disk for `heed.models.sharding.shard`, which must come next.

    Raises UserError for a missing directory, an architecture that does not generate text, weights
    that are pickled, do not fit or are no numbers, and a tokenizer without an end or too large.
    """
    place = resolve_device(device)
    format_ = resolve_dtype(dtype, place)
    if sources.is_adapter(source):
        model = sources.load_merged_adapter(source, format_)
    else:
        model = sources.load(AutoModelForCausalLM, source, format_, place, split=split)
        sources.refuse_classifier(model, source)
    tokenizer = sources.load_tokenizer(source)
    check_vocabulary(model, tokenizer, source)
    chat = ChatFormat(tokenizer, also_stops=_generation_stops(model))
    return LanguageModel(model.to(place).eval(), tokenizer, chat)


def new_language_model(tokenizer: Any, config: Mapping[str, Any], seed: int) -> LanguageModel:
    """A model with random weights, on the CPU in float32, in eval mode.

    `config` names a `model_type` of transformers and its sizes; the vocabulary and the special ids
    come from the tokenizer. torch's global random state stays as it was.

    Raises UserError for a model type or setting that transformers refuses.
    """
    chat = ChatFormat(tokenizer)
    settings = dict(config)
    kind = settings.pop("model_type", None)
    try:
        full = AutoConfig.for_model(
            kind,
            **{
                "vocab_size": len(tokenizer),
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": chat.eos_id,
                "pad_token_id": tokenizer.pad_token_id,
                **settings,
            },
        )
        with seeded(seed):
            model = AutoModelForCausalLM.from_config(full, dtype=torch.float32)
    except (ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise UserError(
            f"Cannot make a new model of model_type {kind!r}: {sources.reason(error)} "
            f"Check the settings of the model: model_type and sizes as transformers names them."
        ) from error
    return LanguageModel(model.eval(), tokenizer, chat)


def save_language_model(lm: LanguageModel, path: Path) -> None:
    """Write weights, config, tokenizer and generation config to a directory, atomically.

    Plain transformers loads it with equal outputs. A model with a LoRA adapter is saved merged,
    and the adapter alone beside it in `adapter/`.
    """
    model = merged(lm.model)
    _set_generation_config(model, lm)
    with new_directory(path) as directory:
        model.save_pretrained(directory)
        lm.tokenizer.save_pretrained(directory)
        save_adapter(lm.model, directory / FOLDER)


def attach_lora(
    lm: LanguageModel,
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    targets: str | list[str] = "all-linear",
    seed: int = 0,
) -> LanguageModel:
    """The model with a fresh LoRA adapter, the only part that trains; scale alpha / rank.

    A model that carries an adapter already is merged first, so that with the new adapter switched
    off it is the policy as it stands now. The base's weights are shared with `lm`, which must not
    be used on its own afterwards. torch's global random state stays as it was.
    (Hu et al. 2021, arXiv:2106.09685.)

    Raises UserError for targets that the model does not have.
    """
    base = lm.model.merge_and_unload() if isinstance(lm.model, PeftModel) else lm.model
    model = new_adapter(base, rank=rank, alpha=alpha, dropout=dropout, targets=targets, seed=seed)
    return LanguageModel(model, lm.tokenizer, lm.chat)


def merged(model: Any) -> Any:
    """The model itself, or a copy with its adapter merged in; the live one is left untouched
    (merging in place and back would not restore its weights to the bit).
    """
    if not isinstance(model, PeftModel):
        return model
    return copy.deepcopy(model).merge_and_unload()


def _generation_stops(model: Any) -> list[int]:
    """The end-of-sequence ids of a model's generation config: none, one or several."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        return []
    return [ends] if isinstance(ends, int) else list(ends)


def _set_generation_config(model: Any, lm: LanguageModel) -> None:
    """Let plain `generate` stop where Heed's sampler stops.

    Sampling settings that contradict each other (published checkpoints have them; transformers
    loads but does not save them) are dropped.
    """
    ends = sorted(lm.chat.stop_ids)
    special = {
        "bos_token_id": lm.tokenizer.bos_token_id,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "pad_token_id": lm.chat.pad_id,
    }
    model.generation_config.update(**special)
    try:
        model.generation_config.validate(strict=True)
    except ValueError:
        model.generation_config = GenerationConfig(**special)
