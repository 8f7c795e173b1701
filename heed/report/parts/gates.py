"""What the gates asked, and what they found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heed.report.measures import number, stage_name
from heed.report.part import Part
from heed.report.read import RunView, json_lines

ASKS = {
    "leakage": "Are held-out prompts kept out of training?",
    "sides": "Do labels not follow the side an answer stood on?",
    "lengths": "Do labels not follow length alone?",
    "agreement": "Do annotators agree with each other?",
    "spammers": "Do few labels come from people who click at random?",
    "swapped": "Do all sources label alike?",
    "fooled": "Does the judge prefer no answer that answers nothing?",
    "exploits": "Is there no word that buys score?",
    "sign": "Do chosen answers score above rejected ones?",
    "logprobs": "Do sampler and training agree on log-probs?",
    "draws": "Are answers drawn from the policy that trains?",
    "step": "Does the update make better answers likelier?",
    "leash": "Does the KL term pull back?",
    "kl": "Does KL stay within its budget?",
    "entropy": "Has the policy a choice left in what it writes?",
    "repetition": "Does it not repeat itself?",
    "length": "Do answers keep their length?",
    "disagreement": "Does the ensemble still agree?",
    "outliers": "Does no single answer score far beyond all others?",
    "rollout_gap": "Do rollout servers compute the policy that trains?",
    "overoptimisation": "Does another reward rise along?",
}
AT = {None: "once it was done", 0: "at its start"}


@dataclass(frozen=True, slots=True)
class Found:
    """A finding of a gate in a stage, as the page writes it."""

    stage: str
    gate: str
    asks: str
    at: str
    statistic: str
    threshold: str
    false_alarms: str
    tripped: bool
    says: str


def read(directory: Path, view: RunView) -> Part | None:
    """From every stage's gates.jsonl; stages that were not made under the present keys are left
    out, but one that a gate refused to start, or that is still running, is not.
    """
    rows = [
        (stage.name, row)
        for stage in view.stages
        for row in _rows(directory / stage.name / "gates.jsonl")
    ]
    if not rows:
        return None
    found = [_found(stage, row) for stage, row in rows]
    tripped = [each for each in found if each.tripped]
    return Part(
        name="gates",
        question="trust",
        title="The gates",
        template="parts/gates.html",
        values={"found": found, "tripped": len(tripped)},
        json=[{"stage": stage, **row} for stage, row in rows],
        findings=tuple(
            f"{stage_name(each.stage)}, gate {each.gate} {each.at}: {each.says}" for each in tripped
        ),
    )


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The findings of a file, whatever else stands there."""
    return (row for row in json_lines(path) if {"gate", "tripped", "says"} <= row.keys())


def _found(stage: str, row: Mapping[str, Any]) -> Found:
    step, gate, rate = row.get("step"), str(row["gate"]), row.get("false_alarms")
    return Found(
        stage=stage,
        gate=gate,
        asks=ASKS.get(gate, gate.replace("_", " ")),
        at=AT.get(step, f"at iteration {step}"),
        statistic=_figure(row.get("statistic")),
        threshold=_figure(row.get("threshold")),
        false_alarms=f"{rate:.1%}" if rate else "never",
        tripped=bool(row["tripped"]),
        says=str(row["says"]),
    )


def _figure(value: Any) -> str:
    return number(float(value)) if isinstance(value, int | float) else "∞"
