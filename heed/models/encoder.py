"""Encoders as reward models: transformers' own sequence classifiers, with their own pooling.

The classifier's forward is used as it is (BERT reads its first token through a pooler, DeBERTa and
RoBERTa through a dense layer, ModernBERT as its config says), so that plain transformers gives the
same logit. Positions are left to the model: RoBERTa's begin behind its pad token.
"""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from heed.errors import UserError
from heed.models import source as sources
from heed.models.modes import seeded
from heed.models.pair_format import PairFormat
from heed.models.work import count_pass
from heed.ops.batch import Sequences
from heed.types import Prompt

INSTEAD = "Use an encoder such as BERT, DeBERTa or ModernBERT."
PROBED = 24
"""Tokens of the longer row by which an architecture is tried."""
UNMOVED = 1e-3
"""How far a score may move with the shapes of the kernels that compute it, in float32."""
POOLER = "pooler"
"""What transformers calls the layer that makes one vector of a text, within some backbones."""


def is_encoder(source: str | Path) -> bool:
    """Whether a model's sequence classifier is that of an encoder, by its configuration alone.

    Decoders have a linear layer `score`, read at the last token.

    Raises UserError for what transformers has no sequence classifier for, for encoder-decoders, and
    for models that read from left to right and are not scored at their last token.
    """
    config = sources.load_config(source)
    kind = config.model_type
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise UserError(
            f"{source} cannot become a reward model: transformers has no sequence classifier for "
            f"model_type {kind!r}."
        )
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
    except (ValueError, TypeError, AssertionError) as error:
        raise UserError(
            f"The configuration of {source} makes no model: {sources.reason(error)} "
            f"Check its config.json."
        ) from error
    if isinstance(getattr(model, "score", None), nn.Linear):
        return False
    left_to_right = (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    if config.is_encoder_decoder or left_to_right:
        raise UserError(
            f"{source}: a {type(model).__name__} cannot be a reward model here: it is no encoder, "
            "and no decoder with a linear layer `score`. Use an encoder such as BERT, DeBERTa or "
            "ModernBERT, or a decoder such as Llama, Qwen or GPT-2."
        )
    return True


def new_encoder(source: str | Path, dtype: torch.dtype, seed: int) -> Any:
    """An encoder's sequence classifier with one label, on the CPU.

    Its last layer is fresh, its weights normal with std 1/sqrt(d + 1) and its bias 0; what else
    belongs to the head and is not in the source is as transformers makes it.

    Raises UserError as `load_weights` does.
    """
    config = sources.load_config(source)
    config.num_labels = 1
    config.problem_type = None
    config.heed_offset = 0.0
    with seeded(seed):
        model = sources.load_weights(
            AutoModelForSequenceClassification,
            source,
            dtype,
            may_be_fresh=in_head,
            config=config,
            ignore_mismatched_sizes=True,
        )
        head = last_layer(settled(model, source))
        nn.init.normal_(head.weight, std=1 / math.sqrt(head.in_features + 1))
        if head.bias is not None:
            nn.init.zeros_(head.bias)
    return model


def in_head(model: Any, weight: str) -> bool:
    """Whether a weight or layer of that name belongs to the head: it stands outside the backbone,
    or makes one vector of what the backbone gives.
    """
    return not weight.startswith(f"{model.base_model_prefix}.") or POOLER in weight.split(".")


def head_layers(model: Any) -> dict[str, nn.Linear]:
    """The linear layers of a classifier's head, by name; the last one gives the logit."""
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and in_head(model, name)
    }


def last_layer(model: Any) -> nn.Linear:
    """The linear layer whose output is the logit."""
    return list(head_layers(model).values())[-1]


def settled(model: Any, source: str | Path) -> Any:
    """A classifier of an encoder whose last layer computes in float32 from now on, also under
    autocast, in which half precision would be too coarse for a score.

    Raises UserError where its head has more labels than one, or does not end in a linear layer.
    """
    if model.config.num_labels != 1:
        raise UserError(
            f"{source} is no reward model: its head has {model.config.num_labels} labels, "
            f"a reward model has one."
        )
    layers = list(head_layers(model).values())
    if not layers or layers[-1].out_features != 1:
        raise UserError(
            f"{source}: a {type(model).__name__} does not end in a linear layer, so it cannot be "
            f"a reward model here. {INSTEAD}"
        )
    layers[-1].register_forward_hook(_in_full_precision)
    return model


def _in_full_precision(layer: Any, given: Any, _: Tensor) -> Tensor:
    hidden, weight = given[0], layer.weight
    with torch.autocast(hidden.device.type, enabled=False):
        return linear(hidden.to(weight.dtype), weight, layer.bias)


@torch.no_grad()
def check_padding(classifier: Any, pairs: PairFormat, source: str | Path) -> None:
    """Score a row alone and beside a longer one, on the CPU: what fills it up may not count.

    Raises UserError where they do, as in architectures that mix tokens without a mask (FNet,
    ConvBERT, Nystromformer), or where the classifier wants more than tokens. In half precision the
    one is not told from rounding, so it is tried in float32 alone.
    """
    context = min(PROBED, longest(classifier, pairs.tokenizer) or PROBED)
    rows = [pairs.fitted(Prompt.of("a"), text, context) for text in ("b", "b " * PROBED)]
    try:
        with torch.autocast("cpu", enabled=False):
            alone, beside = (
                _logits(classifier, Sequences.of(some, pairs.pad_id), typed=pairs.typed)[0]
                for some in (rows[:1], rows)
            )
    except Exception as error:  # whatever an architecture says of inputs that it lacks
        raise UserError(
            f"{source}: a {type(classifier).__name__} cannot be a reward model here: it cannot "
            f"score a text by its tokens alone ({sources.reason(error)}) {INSTEAD}"
        ) from error
    if alone.dtype == torch.float32 and (alone - beside).abs() > UNMOVED * (1 + alone.abs()):
        raise UserError(
            f"{source}: a {type(classifier).__name__} cannot be a reward model here: it scores a "
            f"text otherwise once a longer one is scored with it ({alone:.3g}, then {beside:.3g}), "
            f"for it does not leave out the padding between. {INSTEAD}"
        )


def logits(classifier: Any, sequences: Sequences, *, typed: bool) -> Tensor:
    """The logit of each row, [B], float32 at least; `typed`: the target's tokens have type 1."""
    count_pass(classifier.base_model, sequences.mask.sum())
    return _logits(classifier, sequences, typed=typed)


def _logits(classifier: Any, sequences: Sequences, *, typed: bool) -> Tensor:
    inputs = {"input_ids": sequences.ids, "attention_mask": sequences.mask.long()}
    if typed and _knows_types(classifier):
        inputs["token_type_ids"] = sequences.target.long()
    found: Tensor = classifier(**inputs).logits
    return found[:, 0]


def _knows_types(classifier: Any) -> bool:
    accepted = "token_type_ids" in inspect.signature(classifier.forward).parameters
    return accepted and getattr(classifier.config, "type_vocab_size", 2) != 1


def longest(classifier: Any, tokenizer: Any) -> int | None:
    """The most tokens that a row may have; None where nothing limits them.

    Where the embeddings of positions have one for padding, positions begin behind it.
    """
    limits: list[int | None] = [getattr(classifier.config, "max_position_embeddings", None)]
    limits += [
        part.num_embeddings - part.padding_idx - 1
        for name, part in classifier.named_modules()
        if isinstance(part, nn.Embedding)
        and name.endswith("position_embeddings")
        and part.padding_idx is not None
    ]
    limits.append(tokenizer.model_max_length)  # a very large number where it is not known
    return min(limit for limit in limits if limit is not None)
