"""SFT, reward modelling and DPO by TRL: optimiser steps on fixed rows.

    python -m benchmarks.trl_sides.offline SPECIFICATION

`kind`: sft, reward or dpo; `rows`: a file of prompts with chosen and rejected answers, in order,
and `between`, what stands between a prompt and an answer, a space if nothing is said;
`model`: a directory; `batch`, `micro` (rows a forward pass), `steps` (a round), `precision`, `half`
(whether the weights are bfloat16, too), `more`, settings of the trainer's, and `keep`, a folder in
which the weights after each round are left, outside its clock.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.serving import Stage
from benchmarks.trl_sides.trainer import Halting, arguments, quiet, run

Rows = list[dict[str, str]]


def dpo_rows(rows: Rows, between: str, end: str) -> list[dict[str, Any]]:
    return [
        {"prompt": r["prompt"], **{n: f"{between}{r[n]}{end}" for n in ("chosen", "rejected")}}
        for r in rows
    ]


def reward_rows(rows: Rows, between: str, end: str) -> list[dict[str, Any]]:
    return [{n: f"{r['prompt']}{between}{r[n]}{end}" for n in ("chosen", "rejected")} for r in rows]


def sft_rows(rows: Rows, between: str, end: str) -> list[dict[str, Any]]:
    return [{"prompt": r["prompt"], "completion": f"{between}{r['chosen']}{end}"} for r in rows]


KINDS: dict[str, tuple[Any, Any, Any, Any, dict[str, Any]]] = {
    "dpo": (trl.DPOTrainer, trl.DPOConfig, AutoModelForCausalLM, dpo_rows,
            {"beta": 0.1, "precompute_ref_log_probs": True, "max_length": None}),
    "reward": (trl.RewardTrainer, trl.RewardConfig, AutoModelForSequenceClassification,
               reward_rows, {"max_length": None}),
    "sft": (trl.SFTTrainer, trl.SFTConfig, AutoModelForCausalLM, sft_rows, {"max_length": None}),
}  # fmt: skip
"""Trainer, its settings, the model's class, its rows, and what is set."""


def main(stage: Stage) -> None:
    given = stage.given
    quiet()
    disable_progress_bars()
    trainer, config, kind, make_rows, own = KINDS[given["kind"]]
    rows = [json.loads(line) for line in Path(given["rows"]).read_text().splitlines()]
    dtype = torch.bfloat16 if given.get("half") else torch.float32
    settings = config(**{**own, **arguments(given)})
    words = AutoTokenizer.from_pretrained(given["model"])
    texts = make_rows(rows, given.get("between", " "), words.eos_token)
    made = trainer(
        model=kind.from_pretrained(given["model"], dtype=dtype),
        args=settings,
        train_dataset=Dataset.from_list(texts),
        processing_class=words,
    )
    numbers = count()

    def kept() -> dict[str, Any]:
        if "keep" in given:
            made.model.save_pretrained(f"{given['keep']}/{next(numbers)}")
        return {}

    run(made, Halting(stage, {"loss": "losses", "grad_norm": "norms"}, kept))


if __name__ == "__main__":
    main(Stage.of_arguments())
