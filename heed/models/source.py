"""Where models come from: a directory or a hub name, checked before transformers touches it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, TokenizersBackend
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import logging as transformers_logging

from heed.errors import UserError
from heed.models.awaited import awaiting
from heed.models.sound import check_weights
from heed.ranks import Ranks

# Its bars of "Loading weights" would tear the bar that shows the stage.
transformers_logging.disable_progress_bar()

ADAPTER_CONFIG = "adapter_config.json"
TOKENIZERS = ("tokenizer.json", "*.model", "vocab.*", "merges.txt", "*.tiktoken", "tekken.json")
"""What a directory holds where it has a tokenizer, one of these."""


def reason(error: Exception) -> str:
    """What a library's error says in its first two lines, as one sentence."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return " ".join(lines[:2]).rstrip(". ") + "."


def is_adapter(source: str | Path) -> bool:
    """Whether a local directory holds a peft adapter instead of a full model."""
    path = Path(source)
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()


def load_config(source: str | Path) -> Any:
    """A model's configuration. Raises UserError where there is none that can be read."""
    _check_source(source)
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise UserError(
            f"Cannot read the configuration of {str(source)!r}: {reason(error)} "
            f"Give a directory with config.json and safetensors weights, or a hub name."
        ) from error


def load_weights(
    auto: Any,
    source: str | Path,
    dtype: torch.dtype,
    *,
    may_be_fresh: Callable[[Any, str], bool] | None = None,
    **settings: Any,
) -> Any:
    """A model by one of transformers' Auto classes, on the CPU.

    `may_be_fresh` says of the model and a weight's name whether it may be random.

    Raises UserError where the source is missing, pickled, of a wrong architecture, or where some
    weights of the architecture are not in it (transformers would fill them with random numbers).
    """
    _check_source(source)
    try:
        with _quiet():
            model, info = auto.from_pretrained(
                source,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **{"ignore_mismatched_sizes": True, **settings},
            )
    except Exception as error:  # a library that reads a user's files; each fails in its own way
        raise UserError(
            f"Cannot load a model from {str(source)!r} with {auto.__name__}: {reason(error)} "
            f"Give a directory with config.json and safetensors weights, or a hub name."
        ) from error
    check_weights(model, info, source, may_be_fresh or (lambda _model, _key: False))
    # Weights are views of the mapped file, at addresses that no allocator would choose, and CPU
    # kernels round differently there: a loaded model should equal the saved one to the bit.
    for weight in model.parameters():
        weight.data = weight.data.clone()
    return model


def load(
    auto: Any, source: str | Path, dtype: torch.dtype, place: torch.device, *, split: bool
) -> Any:
    """A model as `load_weights` gives it or, with `split`, one whose weights are awaited, where
    several processes are to have parts of it in main memory and it can be made so.

    Raises UserError as `load_weights` does.
    """
    model = None
    if split and Ranks.here().count > 1 and place.type == "cpu":
        with _quiet():
            model = awaiting(auto, source, dtype)
    return load_weights(auto, source, dtype) if model is None else model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' tables of weights: what is wrong with them is an error of ours."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


def refuse_classifier(model: Any, source: str | Path) -> None:
    """Raise UserError for a model that was saved to score texts: with tied embeddings its missing
    head goes unnoticed, and it would write.
    """
    saved = (getattr(model.config, "architectures", None) or [""])[0]
    if saved.endswith("ForSequenceClassification"):
        raise UserError(
            f"{source} scores texts ({saved}) and writes none: it is a reward model. Name a policy."
        )


def load_tokenizer(source: str | Path) -> Any:
    """The tokenizer beside a model. Raises UserError where there is none.

    A tokenizer that says of itself that its tokenizer.json is all there is to it is taken at its
    word: for some model types (qwen2) AutoTokenizer would rebuild it as the family's own.
    """
    path = Path(source)
    if path.is_dir() and not any(any(path.glob(name)) for name in TOKENIZERS):
        raise UserError(
            f"{source} has no tokenizer beside its model (tokenizer.json, tokenizer.model or a "
            "vocabulary). Save the one that it was trained with there: "
            "tokenizer.save_pretrained(directory)."
        )
    try:
        if get_tokenizer_config(source).get("tokenizer_class") == TokenizersBackend.__name__:
            return TokenizersBackend.from_pretrained(source)
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise UserError(
            f"Cannot load a tokenizer from {str(source)!r}: {reason(error)} "
            f"Save the tokenizer in the model's directory."
        ) from error


def load_merged_adapter(source: str | Path, dtype: torch.dtype) -> Any:
    """The base model that a local adapter names, with the adapter merged in.

    Raises UserError as `load_weights` does, for the base and for the adapter.
    """
    path = Path(source)
    if not (path / "adapter_model.safetensors").is_file():
        raise UserError(f"{path} has {ADAPTER_CONFIG} but no adapter_model.safetensors beside it.")
    try:
        settings = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path / ADAPTER_CONFIG} is not JSON ({error}). Save it anew.") from error
    base = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not base:
        raise UserError(
            f"{path / ADAPTER_CONFIG} does not name its base model. Set base_model_name_or_path "
            f"to the directory or hub name that the adapter was trained on."
        )
    model = load_weights(AutoModelForCausalLM, base, dtype)
    try:
        return PeftModel.from_pretrained(model, path).merge_and_unload()
    except Exception as error:
        raise UserError(
            f"Cannot merge the adapter in {path} into {base}: {reason(error)} "
            f"Only adapters that add to weights (LoRA and its kin) can be loaded."
        ) from error


def _check_source(source: str | Path) -> None:
    """Say what is wrong with a directory before transformers looks for it on the hub."""
    path = Path(source)
    text = str(source)
    if not path.exists():
        if isinstance(source, Path) or text.startswith(("/", ".", "~")) or text.count("/") > 1:
            raise UserError(f"There is no model directory at {source}.")
        return  # a hub name
    if not path.is_dir():
        raise UserError(f"{source} is a file; a model is a directory with config.json in it.")
    if not (path / "config.json").is_file():
        raise UserError(f"{source} is no model directory: it has no config.json.")
    if not any(path.glob("*.safetensors")):
        pickled = sorted(file.name for file in path.glob("*.bin"))
        told = f" ({pickled[0]} is pickled, which Heed never loads)" if pickled else ""
        raise UserError(
            f"{source} has no safetensors weights{told}. Save the model with a current "
            f"transformers (save_pretrained), which writes safetensors."
        )
