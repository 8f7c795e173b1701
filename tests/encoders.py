"""Tiny encoders of several architectures, each with a tokenizer of its own, saved as others do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from heed.models.modes import seeded

LINES = [
    "what is the capital of france ? the capital of france is paris .",
    "human : how do i bake bread ? assistant : mix flour , water and salt , then bake it .",
    "hello there ! how are you ? i am fine , thank you . yes no one two red blue maybe",
]
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
    "initializer_range": 0.2,
}
KINDS: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": {**SMALL, "type_vocab_size": 1},
    "distilbert": {
        "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 80,
        "initializer_range": 0.2,
    },
    "deberta-v2": {
        **SMALL, "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
        "type_vocab_size": 0, "pooler_hidden_size": 32,
    },
    "modernbert": {
        **SMALL, "global_attn_every_n_layers": 2, "local_attention": 8,
    },
    "electra": {**SMALL, "embedding_size": 16},
}  # fmt: skip
BYTES = frozenset({"roberta", "modernbert"})
"""Kinds whose tokenizer here is a byte-level BPE; the others' are WordPiece."""


def tokenizer_of(kind: str, texts: Sequence[str] = LINES, size: int = 400) -> Any:
    """A tokenizer with the separators and the token types that the kind has."""
    return (_byte_level if kind in BYTES else _wordpiece)(kind, texts, size)


def save_encoder(
    kind: str, path: Path, *, auto: Any = AutoModel, tokenizer: Any = None, **more: Any
) -> Path:
    """A backbone with random weights (by `auto` with a head), and its tokenizer beside it."""
    made = tokenizer or tokenizer_of(kind)
    special = {
        f"{name}_token_id": getattr(made, f"{name}_token_id") for name in ("pad", "cls", "sep")
    }
    sizes = {**KINDS[kind], **special, "vocab_size": len(made), **more}
    config = AutoConfig.for_model(kind, **sizes)
    with seeded(3):
        auto.from_config(config, dtype=torch.float32).save_pretrained(path)
    made.save_pretrained(path)
    return path


def _wordpiece(kind: str, texts: Sequence[str], size: int) -> Any:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
        model_input_names=names if kind == "distilbert" else [*names, "token_type_ids"],
    )  # fmt: skip


def _byte_level(kind: str, texts: Sequence[str], size: int) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    between = "</s> </s>" if kind == "roberta" else "</s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair=f"<s> $A {between} $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>",
        sep_token="</s>", pad_token="<pad>", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
