"""Weak-to-strong generalisation: what of the gap to the truth the students have recovered."""

from __future__ import annotations

from heed.evaluation.accuracy import correctness
from heed.evaluation.weak_to_strong import gap_recovered
from heed.recipe import WeakToStrong
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace
from heed.stats.intervals import Estimate, difference_interval, mean_interval
from heed.types import Comparison


def weak_to_strong(work: Workplace, settings: WeakToStrong, _: StageRun) -> Summary:
    """Supervisor, students and ceiling on the same held-out pairs; the summary is the result."""
    heldout = work.records(settings.comparisons, "heldout", Comparison)
    prompts = [item.prompt.id for item in heldout]
    names = dict.fromkeys([settings.weak, *settings.students, settings.ceiling])
    right = {name: correctness(work.reward(name), heldout) for name in names}
    weak, ceiling = right[settings.weak], right[settings.ceiling]
    gap = difference_interval(ceiling, weak, prompts, prompts)
    recovered = {
        name: gap_recovered(weak, right[name], ceiling, prompts) for name in settings.students
    }
    notes = [f"{name}: {_share(found)}" for name, found in recovered.items()]
    if not gap.low > 0:
        notes.append(
            f"The gap itself, {_written(gap)}, is not surely there: read nothing into shares of "
            "it. Make the supervisor weaker or judge on more pairs."
        )
    return {
        "comparisons": len(heldout),
        "accuracy": {
            name: mean_interval(found, prompts).to_json() for name, found in right.items()
        },
        "gap": gap.to_json(),
        "gap_recovered": {name: found and found.to_json() for name, found in recovered.items()},
        "notes": notes,
    }


def _share(found: Estimate | None) -> str:
    if found is None:
        return "no gap recovered, for there is none: the ceiling is not above the supervisor."
    return f"performance gap recovered {_written(found)}, over pairs of one training run."


def _written(found: Estimate) -> str:
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"
