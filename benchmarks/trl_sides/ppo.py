"""PPO by the last TRL that has it: sampling, scoring, four passes over the completions.

    python -m benchmarks.trl_sides.ppo SPECIFICATION

`reward`: the directory of the reward model, where the value model starts, too; the rest as in
`benchmarks.trl_sides.groups`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.trainer_callback import PrinterCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

from benchmarks.serving import Stage
from benchmarks.trl_sides.trainer import Clock, Halting, arguments, quiet


class Learning:
    """When learning begins: at an iteration's first look at a micro-batch."""

    def __init__(self, accumulate: Any) -> None:
        self.accumulate = accumulate
        self.began: float | None = None

    def __call__(self, *models: Any) -> Any:
        self.began = self.began or time.perf_counter()
        return self.accumulate(*models)


def main(stage: Stage) -> None:
    given = stage.given
    quiet()
    disable_progress_bars()
    words = AutoTokenizer.from_pretrained(given["model"], padding_side="left")
    prompts = json.loads(Path(given["prompts"]).read_text())
    ids = [words(text, add_special_tokens=False)["input_ids"] for text in prompts]

    def classifier() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(
            given["reward"], dtype=torch.float32
        )

    trainer = PPOTrainer(
        args=PPOConfig(
            response_length=given["longest"], temperature=1.0, stop_token="eos",
            num_ppo_epochs=given["epochs"], num_mini_batches=1, num_sample_generations=0,
            total_episodes=10_000_000, **arguments(given),
        ),
        processing_class=words,
        model=AutoModelForCausalLM.from_pretrained(given["model"], dtype=torch.float32),
        ref_model=None,
        reward_model=classifier(),
        value_model=classifier(),
        train_dataset=Dataset.from_list([{"input_ids": each} for each in ids]),
    )  # fmt: skip
    asked = sum(map(len, ids))  # every batch holds all prompts

    def count(found: Any) -> None:
        halting.tokens += int((found[0] != words.pad_token_id).sum()) - asked

    generate = Clock(ppo_trainer.batch_generation, count)
    ppo_trainer.batch_generation = generate
    learning = Learning(trainer.accelerator.accumulate)
    trainer.accelerator.accumulate = learning

    def split() -> dict[str, float]:
        assert learning.began is not None
        before = learning.began - halting.began
        said = {"generate": generate.seconds, "score": before - generate.seconds}
        generate.seconds, learning.began = 0.0, None
        return said

    halting = Halting(stage, {"objective/scores": "rewards"}, split)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(halting)
    trainer.train()


if __name__ == "__main__":
    main(Stage.of_arguments())
