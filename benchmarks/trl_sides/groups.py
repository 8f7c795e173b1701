"""GRPO and RLOO by TRL: iterations of sampling, scoring and one optimiser step.

    python -m benchmarks.trl_sides.groups SPECIFICATION

`kind`: grpo or rloo; `prompts`: a file of them; `model`: a directory; `batch` completions in groups
of `group`, at most `longest` tokens; `steps` iterations a round; `precision`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trl
from datasets import Dataset, disable_progress_bars
from transformers import AutoTokenizer
from transformers.trainer_callback import PrinterCallback

from benchmarks.scoring import low_words
from benchmarks.serving import Stage
from benchmarks.trl_sides.trainer import Clock, Halting, arguments, quiet

KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "grpo": (trl.GRPOTrainer, trl.GRPOConfig, {"beta": 0.04, "loss_type": "grpo"}),
    "rloo": (trl.RLOOTrainer, trl.RLOOConfig, {"beta": 0.05}),
}


def reward(completions: list[str], **_: Any) -> list[float]:
    return [low_words(text) for text in completions]


def main(stage: Stage) -> None:
    given = stage.given
    quiet()
    disable_progress_bars()
    kind, config, own = KINDS[given["kind"]]
    prompts = json.loads(Path(given["prompts"]).read_text())
    settings = config(
        num_generations=given["group"], max_completion_length=given["longest"], temperature=1.0,
        top_k=0, model_init_kwargs={"dtype": "float32"}, **own, **arguments(given),
    )  # fmt: skip
    trainer = kind(
        model=given["model"],
        reward_funcs=reward,
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": text} for text in prompts]),
        processing_class=AutoTokenizer.from_pretrained(given["model"], padding_side="left"),
    )

    def count(found: Any) -> None:
        halting.tokens += sum(map(len, found[1]))

    generate = Clock(trainer._generate, count)
    sample = Clock(trainer._generate_and_score_completions)
    trainer._generate, trainer._generate_and_score_completions = generate, sample

    def split() -> dict[str, float]:
        said = {"generate": generate.seconds, "score": sample.seconds - generate.seconds}
        generate.seconds = sample.seconds = 0.0
        return said

    halting = Halting(stage, {"reward": "rewards"}, split)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(halting)
    trainer.train()


if __name__ == "__main__":
    main(Stage.of_arguments())
