"""Reward models: a transformers sequence classifier with one label, and a score of its own.

A decoder is read at the last token of a conversation; an encoder is given prompt and answer as a
pair, and read as its own head does (`heed.models.encoder`). Either way the text decides, not the
policy's ids, so that the vocabulary may be another one.

With LoRA the backbone trains by an adapter and the head in full. What is saved is merged, so that
plain transformers gives the same logits; the adapter alone lies beside it, for `on_shared_base`.

score = logit + offset: the logit is what plain transformers gives, the offset stands in the
config as `heed_offset` (0 where it is missing) because a decoder's head has no bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from heed.errors import UserError
from heed.files import new_directory
from heed.models.adapters import (
    FOLDER,
    AdaptedBackbone,
    add_adapter,
    new_adapter,
    save_adapter,
)
from heed.models.anatomy import causal_lm
from heed.models.chat import ChatFormat
from heed.models.device import resolve_device, resolve_dtype
from heed.models.encoder import (
    check_padding,
    head_layers,
    in_head,
    is_encoder,
    last_layer,
    logits,
    longest,
    new_encoder,
    settled,
)
from heed.models.entering import within
from heed.models.forward import hidden_states, hidden_states_at
from heed.models.language_model import LanguageModel, load_language_model, merged
from heed.models.modes import seeded
from heed.models.pair_format import PairFormat
from heed.models.rows import RowFormat
from heed.models.sound import check_vocabulary
from heed.models.source import is_adapter, load, load_tokenizer
from heed.ops.batch import Sequences

PAD = "<pad>"
HEAD = "score.weight"


@dataclass
class RewardModel:
    """`model` is a sequence classifier with one label, a decoder's, whose head is a linear layer
    `score`, or an encoder's; or a peft model around one. `chat` makes its rows.
    """

    model: Any
    tokenizer: Any
    chat: RowFormat

    @property
    def encoder(self) -> bool:
        """Whether it takes pairs of texts instead of conversations."""
        return isinstance(self.chat, PairFormat)

    @property
    def turns(self) -> ChatFormat:
        """How a decoder writes conversations. Raises ValueError for an encoder, which has none."""
        if not isinstance(self.chat, ChatFormat):
            raise ValueError("an encoder scores whole answers, no beginnings of them")
        return self.chat

    @property
    def classifier(self) -> Any:
        """The sequence classifier itself."""
        return causal_lm(self.model)

    @property
    def backbone(self) -> nn.Module:
        module: nn.Module = self.classifier.base_model
        return module

    @property
    def head(self) -> nn.Linear:
        """The layer that gives the logit."""
        found = last_layer(self.classifier) if self.encoder else self.classifier.score
        layer: nn.Linear = found
        return layer

    @property
    def limit(self) -> int | None:
        """The most tokens that a row may have, as far as the model says."""
        if self.encoder:
            return longest(self.classifier, self.tokenizer)
        text = self.classifier.config.get_text_config()
        most: int | None = getattr(text, "max_position_embeddings", None)
        return most

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def offset(self) -> float:
        """What is added to the model's logit."""
        return float(getattr(self.classifier.config, "heed_offset", 0.0))

    def scores(self, sequences: Sequences) -> Tensor:
        """One score a row, [B], float32, with gradient.

        A decoder's is read at the last real token that is not the pad token: the end of the row
        for every model made by Heed, whose pad token is its own, and plain transformers' choice for
        any other.
        """
        return within(self.model, lambda: self._scores(sequences))

    def _scores(self, sequences: Sequences) -> Tensor:
        if isinstance(self.chat, PairFormat):
            return logits(self.classifier, sequences, typed=self.chat.typed).float() + self.offset
        pad = self.classifier.config.get_text_config().pad_token_id
        real = sequences.mask if pad is None else sequences.mask & (sequences.ids != pad)
        places = torch.arange(real.shape[1], device=real.device)
        last = (places * real).argmax(1)
        at_end = places == last[:, None]
        pooled = hidden_states_at(self.backbone, sequences, at_end).to(self.head.weight.dtype)
        with torch.autocast(pooled.device.type, enabled=False):  # half precision is too coarse
            logit: Tensor = self.head(pooled).squeeze(-1)
        return logit.float() + self.offset

    def token_scores(self, sequences: Sequences) -> Tensor:
        """The score of every row up to each of its tokens, [B, T], float32, with gradient.

        Raises ValueError for an encoder, whose tokens see what comes after them.
        """
        if self.encoder:
            raise ValueError("an encoder scores whole answers, no beginnings of them")
        return within(self.model, lambda: self._token_scores(sequences))

    def _token_scores(self, sequences: Sequences) -> Tensor:
        hidden = hidden_states(self.backbone, sequences).to(self.head.weight.dtype)
        with torch.autocast(hidden.device.type, enabled=False):  # half precision is too coarse
            logit: Tensor = self.head(hidden).squeeze(-1)
        return logit.float() + self.offset

    @torch.no_grad()
    def calibrate(self, mean: float, std: float) -> None:
        """Shift and scale the scores, so that those of mean and std as given get 0 and 1.

        new = (logit + offset - mean) / std: the gain is folded into the head's weight and bias, the
        rest into the offset.

        Raises ValueError where std is not a positive number.
        """
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(f"cannot calibrate to mean {mean} and std {std}")
        for weight in self.head.parameters():
            weight.div_(std)
        self.classifier.config.heed_offset = (self.offset - mean) / std


def new_reward_model(
    backbone: str | Path, *, device: str = "auto", dtype: str = "auto", seed: int = 0
) -> RewardModel:
    """Start from the backbone of a policy or of an encoder with a fresh head, its weights normal
    with std 1/sqrt(d + 1) (Stiennon et al. 2020, arXiv:2009.01325), in eval mode.

    Plain transformers reads the score at the last token that is not pad, so a pad token that is
    missing or doubles as an end is replaced by a new one, and the embeddings grow by its row.

    Raises UserError as `load_language_model` does, and for an architecture that is neither.
    """
    place = resolve_device(device)
    format_ = resolve_dtype(dtype, place)
    if not is_adapter(backbone) and is_encoder(backbone):
        tokenizer = load_tokenizer(backbone)
        pairs = PairFormat(tokenizer)
        model = new_encoder(backbone, format_, seed)
        check_vocabulary(model, tokenizer, backbone)
        check_padding(model, pairs, backbone)
        return RewardModel(model.to(place).eval(), tokenizer, pairs)
    lm = load_language_model(backbone, device="cpu", dtype=str(format_).removeprefix("torch."))
    config = lm.model.config
    config.num_labels = 1
    config.heed_offset = 0.0
    with seeded(seed):
        model = _classifier(config, format_, backbone)
        model.base_model.load_state_dict(lm.model.base_model.state_dict())
        _own_pad(model, lm.tokenizer, lm.chat)
        width = model.score.weight.shape[1]
        nn.init.normal_(model.score.weight, std=1 / math.sqrt(width + 1))
    return RewardModel(
        model.to(place).eval(), lm.tokenizer, ChatFormat(lm.tokenizer, lm.chat.stop_ids)
    )


def with_adapter(
    reward_model: RewardModel,
    *,
    rank: int,
    alpha: float,
    targets: str | list[str] = "all-linear",
    seed: int = 0,
) -> RewardModel:
    """The model with a fresh LoRA adapter, which trains together with the head, and nothing else;
    an encoder's pooler is a part of its head.

    Raises UserError for targets that the model does not have, and for the head, which is no part
    of the base.
    """
    encoder = reward_model.encoder
    model = new_adapter(
        reward_model.model,
        rank=rank,
        alpha=alpha,
        targets=targets,
        seed=seed,
        task="SEQ_CLS",
        spared=list(head_layers(reward_model.model)) if encoder else [],
    )
    adapted = RewardModel(model, reward_model.tokenizer, reward_model.chat)
    if not isinstance(adapted.head, nn.Linear):
        raise UserError(
            f"LoRA cannot be attached to {targets!r}: the head of a reward model, `score`, trains "
            "in full. Set the targets to all-linear or to names of the backbone's layers."
        )
    adapted.head.requires_grad_(True)
    for name, weight in adapted.classifier.named_parameters():
        if encoder and in_head(adapted.classifier, name):
            weight.requires_grad_(True)
    return adapted


class _AdaptedClassifier(nn.Module):
    """What RewardModel knows of a sequence classifier, on a backbone that others use too."""

    def __init__(self, base_model: nn.Module, score: nn.Linear, config: Any) -> None:
        super().__init__()
        self.base_model = base_model
        self.score = score
        self.config = config


def on_shared_base(lm: LanguageModel, source: Path, name: str) -> RewardModel:
    """A saved reward model as an adapter beside the policy's own, called `name`; it is frozen.

    `source` was trained as an adapter on the very weights that are the policy's base. Text becomes
    the policy's tokens, which differ in the pad token at most, and a score is read where the mask
    says that a row ends. Asked again for the same name, it is the same adapter.
    """
    if name not in lm.model.peft_config:
        add_adapter(lm.model, name, source / FOLDER, trains=False)
    config = AutoConfig.from_pretrained(source)
    config.get_text_config().pad_token_id = None
    weight = _saved_head(source).to(lm.device)
    head = nn.Linear(weight.shape[1], 1, bias=False, device=lm.device, dtype=weight.dtype)
    head.weight.data.copy_(weight)
    model = _AdaptedClassifier(AdaptedBackbone(lm.model, name), head.requires_grad_(False), config)
    return RewardModel(model.eval(), lm.tokenizer, lm.chat)


def load_reward_model(
    source: str | Path, *, device: str = "auto", dtype: str = "auto", split: bool = False
) -> RewardModel:
    """Load a reward model that Heed, TRL or transformers saved, a decoder or an encoder, in eval
    mode. With `split` a decoder's weights may wait on disk for `heed.models.sharding.shard`, which
    must come next.

    Raises UserError as `load_language_model` does, and where it has more labels than one or no
    head of either kind.
    """
    place = resolve_device(device)
    encoder = is_encoder(source)
    format_ = resolve_dtype(dtype, place)
    auto = AutoModelForSequenceClassification
    model = load(auto, source, format_, place, split=split and not encoder)
    if encoder:
        settled(model, source)
    else:
        _check_head(model, source)
    tokenizer = load_tokenizer(source)
    check_vocabulary(model, tokenizer, source)
    chat = PairFormat(tokenizer) if encoder else ChatFormat(tokenizer)
    if isinstance(chat, PairFormat):
        check_padding(model, chat, source)
    return RewardModel(model.to(place).eval(), tokenizer, chat)


def save_reward_model(reward_model: RewardModel, path: Path) -> None:
    """Write weights, config (with the offset) and tokenizer to a directory, atomically.

    A model with an adapter is saved merged, and the adapter alone beside it in `adapter/`.
    """
    with new_directory(path) as directory:
        merged(reward_model.model).save_pretrained(directory)
        reward_model.tokenizer.save_pretrained(directory)
        save_adapter(reward_model.model, directory / FOLDER)


def _saved_head(source: Path) -> Tensor:
    """The weight of a saved reward model's head, the rest left on disk."""
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            if HEAD in tensors.keys():  # noqa: SIM118 (it is no mapping)
                weight: Tensor = tensors.get_tensor(HEAD)
                return weight
    raise UserError(f"{source} is no reward model: it has no {HEAD}.")


def _classifier(config: Any, dtype: torch.dtype, source: str | Path) -> Any:
    try:
        model = AutoModelForSequenceClassification.from_config(config, dtype=dtype)
    except ValueError as error:
        raise UserError(
            f"{source} cannot become a reward model: transformers has no sequence classifier for "
            f"model_type {config.model_type!r}."
        ) from error
    _check_head(model, source)
    return model


def _check_head(model: Any, source: str | Path) -> None:
    head = getattr(model, "score", None)
    if not isinstance(head, nn.Linear):
        raise UserError(
            f"{source}: a {type(model).__name__} has no linear layer `score`, so it cannot be a "
            f"reward model here. Use a decoder-only architecture such as Llama, Qwen or GPT-2."
        )
    if head.out_features != 1:
        raise UserError(
            f"{source} is no reward model: its head has {head.out_features} labels, "
            f"a reward model has one."
        )


def _own_pad(model: Any, tokenizer: Any, chat: ChatFormat) -> None:
    """Give the tokenizer a pad token that ends nothing, and the model a row for it."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in chat.stop_ids:
        tokenizer.add_special_tokens({"pad_token": PAD})
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
