"""The folder in which a page's commands run: the files, the model and the run that pages name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas
from docs.shrunk import TINY

FOODS = ("bread", "soup", "rice", "beans", "pie", "tea", "jam", "eggs", "fish", "corn")
PLACES = ("at home", "in a tent", "on a boat")
ASKED = [f"How do I make {food} {place}?" for food in FOODS for place in PLACES]
REFUSALS = ("No.", "I will not say.", "Who needs that?")
QUESTIONS = ("What is the capital of France?", "What is 2 + 2?", "Write a line about spring.")


def _rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def preferences() -> list[dict[str, str]]:
    """Thirty comparisons, plain."""
    return [
        {
            "prompt": asked,
            "chosen": f"Start with a clean pot, and take your time: {asked.split()[4]}.",
            "rejected": REFUSALS[number % 3],
        }
        for number, asked in enumerate(ASKED)
    ]


def _transcripts() -> list[dict[str, str]]:
    return [
        {
            side: f"\n\nHuman: {row['prompt']}\n\nAssistant: {row[side]}"
            for side in ("chosen", "rejected")
        }
        for row in preferences()
    ]


def write_files(folder: Path) -> None:
    """Small files under the names that pages use."""
    items = [{"prompt": row["prompt"], "answers": [row["chosen"], row["rejected"]]}
             for row in preferences()]  # fmt: skip
    _rows(folder / "answers.jsonl", items)
    _rows(folder / "items.jsonl", items)
    _rows(folder / "prefs.jsonl", preferences())
    _rows(folder / "gold.jsonl", [{"prompt": "2 + 2?", "answers": ["4", "5"], "known": 1}])
    _rows(folder / "question.jsonl", [
        {"question_id": 1, "category": "maths", "turns": [QUESTIONS[1], "And why?"]}])  # fmt: skip
    pandas.DataFrame(preferences()).to_parquet(folder / "prefs.parquet")
    _rows(folder / "hh-rlhf" / "train.jsonl", _transcripts())
    (folder / "questions.txt").write_text("\n".join(QUESTIONS) + "\n", encoding="utf-8")
    (folder / "rules.md").write_text("# Rules\n\nPrefer the right answer.\n", encoding="utf-8")
    (folder / "principles.yaml").write_text(
        "principles:\n"
        "  - {name: helpful, critique: What is missing?, revise: Write it again.,\n"
        "     prefer: Prefer the answer that helps more.}\n",
        encoding="utf-8",
    )
    for name, answers in (("mine", ("Paris.", "4", "It rains.")), ("theirs", ("No.", "5", "Sun."))):
        rows = [{"instruction": asked, "output": answer, "generator": name}
                for asked, answer in zip(QUESTIONS, answers, strict=True)]  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    votes = [{"instruction": asked, "output_1": "No.", "generator_1": "theirs", "output_2": "Yes.",
              "generator_2": "mine", "annotator": "a person", "preference": 1 + number % 3 // 2}
             for number, asked in enumerate(ASKED)]  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(votes), encoding="utf-8")


def write_model(folder: Path) -> None:
    """A Llama of one layer and its tokenizer, as `save_pretrained` leaves them; knows nothing."""
    from heed.models.language_model import new_language_model, save_language_model
    from heed.models.tokenizers import train_bpe

    folder.parent.mkdir(parents=True, exist_ok=True)
    texts = [" ".join(row.values()) for row in preferences()]
    save_language_model(new_language_model(train_bpe(texts, 300), TINY, 0), folder)
