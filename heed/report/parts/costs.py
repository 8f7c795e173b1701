"""What a run cost in the answers themselves: length, variety, timidity, agreement, memorising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.report import figures
from heed.report.estimates import Table, surely, tables
from heed.report.measures import SHARE, Measure, in_order, measure_of, policy_name, with_interval
from heed.report.part import Part
from heed.report.parts.left import by_policy, merged
from heed.report.parts.rows import Row, by_family, known, rows, within
from heed.report.read import RunView
from heed.stats.intervals import Estimate

COSTS = {
    "length": Measure("Length", "words", digits=1),
    "kl": Measure("KL from the reference", "nats an answer"),
    "entropy": Measure("Entropy", "nats a token"),
    "distinct_1": Measure("Distinct words", share=True, meaning="of one prompt's answers"),
    "distinct_2": Measure("Distinct word pairs", share=True, meaning="of one prompt's answers"),
    "self_bleu_prompt": Measure("Self-BLEU in a prompt", meaning="1: all answers are copies"),
    "self_bleu": Measure("Self-BLEU across prompts", meaning="one answer to each"),
    "repeated": Measure("Repeats three words", share=True, meaning="of the answers"),
    "refuses": Measure("Refuses", share=True, meaning="of the answers, by their phrases"),
    "hedges": Measure("Does not know", share=True, meaning="of the answers, by their phrases"),
    "unfinished": Measure("Cut before their end", share=True),
}
DRAWN = ("length", "entropy", "distinct_1", "distinct_2", "self_bleu_prompt", "self_bleu")
FAMILY = ("kl", "entropy", "self_bleu_prompt", "refuses", "hedges")
CHIEF = ("gold", "correct", "proxy")
AGREEMENT = {
    "told": "Gives the user's wrong answer",
    "asked": "Gives it unasked",
    "sycophancy": "Agreement bought by the opinion",
    "right_lost": "Right answers lost by it",
}
PARTS = {"seen": "Seen", "unseen": "Held out", "gap": "Gap"}
BY_POLICY = ("policies", "changes", "sycophancy", "generalisation", "families")


def read(directory: Path, view: RunView) -> Part | None:
    """From what the evaluations left in costs.json."""
    found = by_policy(directory, view, "costs.json", BY_POLICY)
    paid = tables(merged(found, "policies"))
    if not paid:
        return None
    before = next((each["before"] for each in found if each.get("before")), None)
    changes = tables(merged(found, "changes"))
    agreement = {name: tables(t) for name, t in merged(found, "sycophancy").items()}
    general = {name: tables(t) for name, t in merged(found, "generalisation").items()}
    families = {name: tables(t) for name, t in merged(found, "families").items()}
    measured = in_order([key for table in general.values() for key in table], CHIEF)
    drawn = [name for name in paid if name in changes]
    return Part(
        name="costs",
        question="cost",
        title="What the answers became",
        template="parts/costs.html",
        values={
            "policies": list(paid),
            "colours": figures.colours(list(paid)),
            "before": before,
            "costs": rows(
                paid, known(in_order([key for t in paid.values() for key in t], COSTS), COSTS)
            ),
            "figure": _figure({name: changes[name] for name in drawn}, paid.get(before or "", {})),
            "drawn": drawn,
            "families": [
                (COSTS[key].label, by_family(families, key, COSTS[key]))
                for key in FAMILY
                if len({family for table in families.values() for family in table}) > 1
            ],
            "phrases": _phrases(found),
            "agreement": _agreement(agreement, "all"),
            "agreement_by_family": [
                (family.replace("_", " "), _agreement(agreement, family))
                for family in dict.fromkeys(key for table in agreement.values() for key in table)
                if family != "all"
            ],
            "told": list(agreement),
            "capability": _capability(tables(merged(found, "capability"))),
            "general": _general(general, [key for key in measured if key in CHIEF]),
            "further": _general(general, [key for key in measured if key not in CHIEF]),
        },
        json={
            key: merged(found, key)
            for key in ("policies", "changes", "sycophancy", "generalisation", "capability")
        },
        findings=(*_became(changes, paid, before), *_agrees(agreement)),
        advice=_advice(changes, paid, before, agreement),
    )


def _agreement(agreement: Mapping[str, Table], family: str) -> list[Row]:
    return [
        (label, "", SHARE, column)
        for key, label in AGREEMENT.items()
        if (column := within(agreement, family, key))
    ]


def _general(general: Mapping[str, Table], keys: Sequence[str]) -> list[Row]:
    found: list[Row] = []
    for key in keys:
        found.append(measure_of(key).label)
        found += [
            (
                label,
                "",
                measure_of(key),
                {n: t[key][part] for n, t in general.items() if part in t.get(key, {})},
            )
            for part, label in PARTS.items()
        ]
    return found


def _capability(able: Table) -> list[Row]:
    """A row a metric of lm-eval's tasks."""
    names = dict.fromkeys(name for table in able.values() for name in table)
    return rows(able, {name: Measure(name, digits=3) for name in names})


def _phrases(found: Sequence[Mapping[str, Any]]) -> str:
    """How far refusals and doubts can be trusted where the world knows them."""
    known = tables(merged(list(map(dict, found)), "phrases"))
    told = [
        f"{label} are found by their phrases: {with_interval(table['precision'], SHARE)} of the "
        f"{table['precision'].n:,} matches are such to the world, and "
        f"{with_interval(table['recall'], SHARE)} of such answers are matched."
        for key, label in (("refuses", "Refusals"), ("hedges", "Doubts"))
        if {"precision", "recall"} <= (table := known.get(key, {})).keys() and table["precision"].n
    ]
    return " ".join(told)


def _figure(changes: Table, before: Mapping[str, Estimate]) -> Markup | None:
    """Changes in percent of what was before, a row a measure, a dot a policy."""
    keys = [key for key in DRAWN if key in before and before[key].mean > 0]
    keys = [key for key in keys if any(key in table for table in changes.values())]
    if not keys:
        return None
    names = ", ".join(policy_name(name) for name in changes)
    return figures.dots(
        {
            COSTS[key].label: {
                policy: _scaled(table[key], before[key].mean)
                for policy, table in changes.items()
                if key in table
            }
            for key in keys
        },
        figures.colours(list(changes)),
        label="change, % of what it was",
        description=f"Costs of {names} in percent of what they were",
        share=True,
        level=0.0,
    )


def _scaled(change: Estimate, by: float) -> Estimate:
    return Estimate(change.mean / by, change.low / by, change.high / by, change.n)


def _after(paid: Table, before: str | None) -> list[str]:
    """The policies that come after the one that is compared with."""
    names = list(paid)
    return names[names.index(before) + 1 :] if before in paid else []


def _became(changes: Table, paid: Table, before: str | None) -> list[str]:
    """One sentence a policy of what surely changed."""
    said = []
    for name in _after(paid, before):
        change = changes.get(name, {})
        told = [
            f"{words[surely(change[key]) < 0]} ({with_interval(change[key], COSTS[key])}{unit})"
            for key, words, unit in (
                ("length", ("longer", "shorter"), " words"),
                ("self_bleu_prompt", ("more alike", "less alike"), " self-BLEU"),
                ("refuses", ("more often refusals", "less often refusals"), ""),
                ("hedges", ("more often doubts", "less often doubts"), ""),
            )
            if surely(change.get(key))
        ]
        if told:
            said.append(
                f"Beside those of {policy_name(before or '')}, the answers of "
                f"{policy_name(name)} are {', '.join(told)}."
            )
    return said


def _agrees(agreement: Mapping[str, Table]) -> list[str]:
    return [
        f"{policy_name(name)} agrees with a user who is wrong: it gives the user's mistake "
        f"{with_interval(found, SHARE)} more often than unasked."
        for name, table in agreement.items()
        if surely(found := table.get("all", {}).get("sycophancy")) > 0 and found
    ]


def _advice(
    changes: Table, paid: Table, before: str | None, agreement: Mapping[str, Table]
) -> tuple[str, ...]:
    advice = []
    for name in _after(paid, before):
        change, was = changes.get(name, {}).get("entropy"), paid[before or ""].get("entropy")
        if change and was and change.high < -was.mean / 3:
            advice.append(
                f"{policy_name(name)} lost more than a third of its entropy: raise its KL "
                "coefficient or add an entropy bonus where variety is wanted."
            )
    for name in agreement:
        if surely(agreement[name].get("all", {}).get("sycophancy")) > 0:
            advice.append(
                f"{policy_name(name)} follows wrong users: collect comparisons in which the user "
                "is wrong and the better answer says so."
            )
    return tuple(advice)
