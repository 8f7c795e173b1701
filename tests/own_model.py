"""Somebody's own model and preferences: tiny checkpoints of several architectures, transcripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heed.models.language_model import new_language_model, save_language_model
from heed.models.tokenizers import train_bpe

ANIMALS = ("cat", "dog", "owl", "fox", "hen", "cow", "pig", "bee")
PLACES = ("barn", "wood", "city", "lake", "hill", "yard", "cave", "tree")
SHARED: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "llama": {"model_type": "llama", **SHARED},
    "qwen2": {"model_type": "qwen2", **SHARED},
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
}
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def pairs() -> list[dict[str, str]]:
    """64 transcripts' pairs: where an animal lives; polite answers are chosen."""
    rows = []
    for animal in ANIMALS:
        for place in PLACES:
            asked = f"\n\nHuman: Does the {animal} live in the {place}?\n\nAssistant: "
            rows.append(
                {
                    "chosen": f"{asked}Yes, the {animal} lives in the {place}, I think.",
                    "rejected": f"{asked}Who cares about the {animal}.",
                }
            )
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def save_model(path: Path, kind: str = "llama", *, template: bool = False) -> Path:
    """A checkpoint with random weights, its vocabulary made of the pairs' words."""
    tokenizer = train_bpe((text for row in pairs() for text in row.values()), 400)
    if template:
        tokenizer.chat_template = TEMPLATE
    save_language_model(new_language_model(tokenizer, ARCHITECTURES[kind], 0), path)
    return path
