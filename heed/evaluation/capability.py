"""What a policy can still do, by the tasks of lm-eval (EleutherAI's lm-evaluation-harness).

lm-eval is no dependency: whoever names its tasks in a recipe installs it. It asks the loaded model
itself, by its own wrapper and with its own prompts, so its figures are those it gives elsewhere.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from heed.errors import UserError
from heed.models.language_model import LanguageModel
from heed.stats.intervals import Estimate

ERRORS = 1.959964
"""Standard errors from a mean to the bounds of its 95% interval."""
Figures = Mapping[str, Estimate]
"""By task and metric, "arc_easy, acc"."""


def task_manager(tasks: Sequence[str], folder: str | None) -> Any:
    """lm-eval's index of tasks, those of a folder among them.

    Raises UserError where it does not know one of the tasks.
    """
    manager = import_module("lm_eval.tasks").TaskManager(include_path=folder)
    unknown = [name for name in tasks if name not in manager.all_tasks]
    if unknown:
        raise UserError(
            f"lm-eval has no task {', '.join(map(repr, unknown))}. `lm-eval ls tasks` lists those "
            "that it has; a folder of your own is named in lm_eval_folder."
        )
    return manager


def capability(
    policy: LanguageModel,
    tasks: Sequence[str],
    manager: Any,
    *,
    batch_size: int,
    seed: int,
) -> Figures:
    """Every metric of the tasks, its interval by the standard error that lm-eval gives.

    Raises UserError where lm-eval cannot run them: a data set that is not there, for example.
    """
    asked = import_module("lm_eval.models.huggingface").HFLM(
        pretrained=policy.model,
        tokenizer=copy.deepcopy(policy.tokenizer),  # lm-eval may give it a padding token
        batch_size=batch_size,
    )
    try:
        found = import_module("lm_eval.evaluator").simple_evaluate(
            model=asked,
            tasks=list(tasks),
            task_manager=manager,
            log_samples=False,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    except Exception as error:  # whatever goes wrong in a task is for its writer, not a bug here
        raise UserError(
            f"lm-eval could not run {', '.join(tasks)}: {type(error).__name__}: {error}"
        ) from error
    return dict(_figures(found))


def _figures(found: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    """lm-eval writes "acc,none" and "acc_stderr,none": a metric, and the filter before it."""
    sizes = found.get("n-samples", {})
    for task, row in found["results"].items():
        n = int(sizes.get(task, {}).get("effective", 0))
        for key, value in row.items():
            metric, comma, chosen = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = row.get(f"{metric}_stderr,{chosen}")
            half = ERRORS * error if isinstance(error, int | float) else math.nan
            name = f"{task}, {metric}" + (f" ({chosen})" if chosen != "none" else "")
            yield name, Estimate(float(value), value - half, value + half, n)
