"""The tasks of lm-eval that an evaluation names, asked of every policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from heed.evaluation.capability import Figures, capability, task_manager
from heed.recipe import Evaluate
from heed.stages.candidates import CANDIDATES
from heed.stages.workplace import Workplace

Capabilities = Mapping[str, Figures]
"""By policy."""


def capabilities(work: Workplace, settings: Evaluate) -> Callable[[], Capabilities]:
    """What asks every policy that has weights of its own and is asked as it is.

    Made before anything is sampled: raises UserError where lm-eval does not know a task.
    """
    if not settings.lm_eval:
        return dict
    manager = task_manager(settings.lm_eval, settings.lm_eval_folder)

    def ask() -> Capabilities:
        return {
            label: capability(
                work.policy(source),
                settings.lm_eval,
                manager,
                batch_size=settings.sampling.batch_size,
                seed=work.seed(settings.name, "lm_eval") % 2**32,  # what NumPy takes
            )
            for label, source in settings.policies.items()
            if not left_out(work, source)
        }

    return ask


def left_out(work: Workplace, source: str) -> bool:
    """Whether a stage answers by more than its weights: lm-eval would measure another policy."""
    stage = work.recipe.stage(source)
    return stage.weightless or stage.conditioned or type(stage) in CANDIDATES


def capability_notes(work: Workplace, settings: Evaluate) -> list[str]:
    """On the policies that lm-eval did not ask."""
    return [
        f"{label}: not asked by lm-eval, which knows weights alone, not what is put before a "
        "prompt or chooses among answers."
        for label, source in settings.policies.items()
        if settings.lm_eval and left_out(work, source)
    ]
