"""What each policy paid, beside what it gained: evaluate/costs.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heed.evaluation.costs import cost_changes, cost_families, cost_table, with_costs
from heed.evaluation.measures import Samples
from heed.evaluation.sycophancy import Probe, sycophancy
from heed.stages.answers import Answers
from heed.stats.intervals import Estimate, difference_interval, proportion_interval
from heed.stats.phrases import hedges, refuses
from heed.types import Completion
from heed.world.reading import Reading
from heed.world.world import World

Table = Mapping[str, Estimate]
GENERAL = ("gold", "correct", "rude", "harmful", "proxy", "length", "kl")
"""What is measured on prompts that training saw, too, further rewards aside."""


def costs(
    measured: Mapping[str, Answers],
    probes: Sequence[Probe],
    before: str | None,
    world: World | None,
) -> dict[str, Any]:
    """Costs by policy and family, and from the policy called `before`; agreement with a user who
    is wrong; seen prompts against unseen ones; how far the phrases can be trusted.
    """
    paid = {label: with_costs(each.heldout, own=each.own) for label, each in measured.items()}
    return {
        "before": before,
        "policies": {label: as_json(cost_table(each)) for label, each in paid.items()},
        "families": {label: _by_family(cost_families(each)) for label, each in paid.items()},
        "changes": {
            label: as_json(cost_changes(each, paid[before]))
            for label, each in paid.items()
            if before is not None and label != before
        },
        "sycophancy": {
            label: _by_family(sycophancy(probes, each.told, each.asked))
            for label, each in measured.items()
            if each.told
        },
        "generalisation": {
            label: _by_family(generalisation(each.seen, each.heldout))
            for label, each in measured.items()
            if each.seen is not None
        },
        "phrases": _phrases(list(measured.values()), world) if world else {},
    }


def generalisation(seen: Samples, unseen: Samples) -> dict[str, dict[str, Estimate]]:
    """Each measure on prompts that training saw and on others of the same families, and how much
    higher it is on those that it saw.
    """
    families = {item.prompt.family for item in seen.completions}
    unseen = unseen.where([item.prompt.family in families for item in unseen.completions])
    further = [name for name in seen.values if name not in (*GENERAL, "unfinished")]
    table = {}
    for measure in (*GENERAL, *further):
        if all(measure in each.values and each.known(measure)[0] for each in (seen, unseen)):
            (ours, a), (theirs, b) = seen.known(measure), unseen.known(measure)
            table[measure] = {
                "seen": seen.estimate(measure),
                "unseen": unseen.estimate(measure),
                "gap": difference_interval(ours, theirs, a, b),
            }
    return table


def as_json(table: Table) -> dict[str, Any]:
    """Estimates by name."""
    return {name: estimate.to_json() for name, estimate in table.items()}


def _by_family(tables: Mapping[str, Table]) -> dict[str, Any]:
    return {name: as_json(table) for name, table in tables.items()}


def _phrases(measured: Sequence[Answers], world: World) -> dict[str, Any]:
    """How often a phrase is what the world calls a doubt or a refusal, and how often such a thing
    is found by a phrase; over all policies' answers.
    """
    answers = [item for each in measured for item in each.heldout.completions]
    readings = [Reading(item.text, world.grammar) for item in answers]
    return {
        "hedges": _held_against(answers, hedges, [each.unsure for each in readings]),
        "refuses": _held_against(answers, refuses, [each.refuses for each in readings]),
    }


def _held_against(
    answers: Sequence[Completion], found: Callable[[str], bool], true: Sequence[bool]
) -> dict[str, Any]:
    rows = [
        (item.prompt.id, found(item.text), is_so) for item, is_so in zip(answers, true, strict=True)
    ]

    def share(chosen: Sequence[tuple[str, bool]]) -> Estimate:
        return proportion_interval([float(y) for _, y in chosen], [id for id, _ in chosen])

    return as_json(
        {
            "precision": share([(id, is_so) for id, hit, is_so in rows if hit]),
            "recall": share([(id, hit) for id, hit, is_so in rows if is_so]),
        }
    )
