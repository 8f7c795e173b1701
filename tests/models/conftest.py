"""Tiny models of several architectures and tokenizers of three kinds, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from heed.models.language_model import LanguageModel, new_language_model
from heed.ops.batch import Sequences

LINES = [
    "what is the capital of france ? the capital of france is paris .",
    "please tell me how to bake bread . mix flour , water and salt , then bake it .",
    "Hello there! How are you? I am fine, thank you.",
    "\n\nHuman: hello\n\nAssistant: hello to you too",
]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    **{
        kind: {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            **more,
        }
        for kind, more in {
            "llama": {},
            "qwen2": {"tie_word_embeddings": True},
            "qwen3": {"head_dim": 8},
            "gemma": {"head_dim": 8},
            "gemma2": {"head_dim": 8, "sliding_window": 8, "final_logit_softcapping": 2.0},
            "gemma3_text": {"head_dim": 8, "sliding_window": 8},
            "granite": {"logits_scaling": 8.0},
        }.items()
    },
}


def bpe(**special: str) -> Any:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = list(dict.fromkeys(special.values()))
    trainer = BpeTrainer(
        vocab_size=400,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def wordlevel() -> Any:
    words = sorted({word for line in LINES for word in line.lower().split()})
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def metaspace() -> Any:
    """Like Llama 2's: a space in front of every text, bos added by default."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>", "<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator([*LINES, *(chr(code) for code in range(33, 127))], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def templated() -> Any:
    tokenizer = bpe(bos_token="<s>", eos_token="<|endoftext|>", pad_token="<pad>")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def pad_is_eos() -> Any:
    return bpe(eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def without_pad() -> Any:
    return bpe(eos_token="<|endoftext|>")


TOKENIZERS: dict[str, Callable[[], Any]] = {
    maker.__name__: maker for maker in (wordlevel, metaspace, templated, pad_is_eos, without_pad)
}


@pytest.fixture
def tokenizer_of() -> Callable[[str], Any]:
    return lambda kind: TOKENIZERS[kind]()


@pytest.fixture
def tiny() -> Callable[..., LanguageModel]:
    """A model with weights large enough that its distributions are far from flat."""

    def make(kind: str, tokenizer: str = "templated", seed: int = 0, **more: Any) -> LanguageModel:
        config = {"model_type": kind, **SIZES.get(kind, {}), "initializer_range": 0.2, **more}
        return new_language_model(TOKENIZERS[tokenizer](), config, seed)

    return make


@pytest.fixture
def sequences() -> Callable[..., Sequences]:
    """Random rows of different lengths, each with an end-of-sequence as its last token."""

    def make(lm: LanguageModel, seed: int = 0, lengths: tuple[int, ...] = (3, 9, 5)) -> Sequences:
        generator = torch.Generator().manual_seed(seed)

        def ids(count: int) -> list[int]:
            return torch.randint(5, len(lm.tokenizer), (count,), generator=generator).tolist()

        rows = [(ids(2 + i), [*ids(length), lm.chat.eos_id]) for i, length in enumerate(lengths)]
        return Sequences.of(rows, lm.chat.pad_id)

    return make
