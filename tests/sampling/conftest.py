"""Tiny models over a byte-level tokenizer, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from heed.models.language_model import LanguageModel, new_language_model
from heed.sampling import endpoint
from heed.types import Prompt

LINES = ["what is the capital of france ? it is paris .", "hello there, how are you today?"]
COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
}
SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96},
    "llama": COMMON,
    "qwen2": {**COMMON, "tie_word_embeddings": True},
    "qwen3": {**COMMON, "head_dim": 8},
    "mistral": {**COMMON, "sliding_window": 6},
    "smollm3": {**COMMON, "num_hidden_layers": 4},
    "gemma": {**COMMON, "head_dim": 8},
    "gemma2": {**COMMON, "head_dim": 8, "sliding_window": 6},
    "gemma3_text": {**COMMON, "head_dim": 8, "sliding_window": 6},
}


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Pad doubles as the end of sequence, as in many published checkpoints."""
    raw = Tokenizer(BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<eos>")


@pytest.fixture
def tiny(tokenizer) -> Callable[..., LanguageModel]:
    def make(kind: str = "llama", seed: int = 0, **more: Any) -> LanguageModel:
        config = {"model_type": kind, **SIZES[kind], "initializer_range": 0.25, **more}
        return new_language_model(tokenizer, config, seed)

    return make


@pytest.fixture(scope="session")
def prompts() -> list[Prompt]:
    texts = [
        "hi",
        "what is the capital of france ?",
        "hello there",
        "how are you today? it is fine",
    ]
    return [Prompt.of(text) for text in texts]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that fail are asked again at once, or nearly."""
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)
