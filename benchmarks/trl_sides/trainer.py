"""A TRL trainer as a side: its own `train`, halted between optimiser steps."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from benchmarks.serving import Stage

OPTIMISER = {
    "learning_rate": 1e-5,
    "lr_scheduler_type": "constant",
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
}


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """What all trainers are told: CPU, the optimiser, nothing saved, every step logged."""
    micro = given.get("micro", given["batch"])
    return {
        "output_dir": given["work"],
        "max_steps": 100_000,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": given["batch"] // micro,
        "gradient_checkpointing": False,
        "bf16": given["precision"] == "bfloat16",
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "dataloader_pin_memory": False,
        "seed": 0,
        **OPTIMISER,
        "learning_rate": given.get("rate", OPTIMISER["learning_rate"]),
        **given.get("more", {}),
    }


class Clock:
    """Wraps a function and adds up the seconds that pass in it; hears what it returns."""

    def __init__(self, function: Any, hear: Any = lambda found: None) -> None:
        self.function = function
        self.hear = hear
        self.seconds = 0.0

    def __call__(self, *args: Any, **named: Any) -> Any:
        began = time.perf_counter()
        found = self.function(*args, **named)
        self.seconds += time.perf_counter() - began
        self.hear(found)
        return found


class Halting(TrainerCallback):
    """Holds training after every `steps` optimiser steps until the next round is asked for.

    A round tells its rows of what `logged` maps to names: of every step, or of every iteration.
    """

    def __init__(self, stage: Stage, logged: dict[str, str], more: Any = dict) -> None:
        self.stage = stage
        self.logged = logged
        self.more = more
        """Gives what else a round is to tell."""
        self.rows: list[dict[str, float]] = []
        self.began = 0.0
        self.tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stage.say(threads=torch.get_num_threads())
        self._hold()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """After a step's end."""
        self.rows.append(dict(logs))
        if len(self.rows) == self.stage.given["steps"]:
            said = {to: [row[key] for row in self.rows] for key, to in self.logged.items()}
            seconds = time.perf_counter() - self.began
            self.stage.say(seconds=seconds, tokens=self.tokens, **said, **self.more())
            self._hold()

    def _hold(self) -> None:
        if not self.stage.wait():
            raise SystemExit
        self.rows, self.tokens, self.began = [], 0, time.perf_counter()


def run(trainer: Any, halting: Halting) -> None:
    """Train on the rows as they stand; the real tokens of every batch are counted."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(halting)
    trainer._get_train_sampler = lambda *args: SequentialSampler(trainer.train_dataset)
    step = trainer.training_step

    def counted(model: Any, inputs: Any, *args: Any, **named: Any) -> Any:
        mask = inputs.get("attention_mask")
        halting.tokens += int(inputs["input_ids"].numel() if mask is None else mask.sum())
        return step(model, inputs, *args, **named)

    trainer.training_step = counted
    trainer.train()


def quiet() -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
