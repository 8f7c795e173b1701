"""What the hub reads of a card: its YAML header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from heed.exporting import lineage
from heed.exporting.found import Found
from heed.report.measures import measure_of
from heed.stats.intervals import Estimate

TASKS = {"policy": "text-generation", "reward": "text-classification"}
DATASET = "Held-out prompts of the run"
LICENSE = (
    "# license: name one, such as apache-2.0; what the base model and the data ask for holds here\n"
)
ADAPTER = "adapter"


def header(found: Found, what: str, name: str, figures: Mapping[str, Estimate]) -> str:
    """The header between its lines of dashes. It names no licence: that is for the owner to say.

    A base model or data set is named where it is one on the hub, for nothing else can be named
    there; figures are means on held-out prompts, with their intervals beside them.
    """
    begins = found.begins
    on_hub = begins if begins and lineage.is_hub_name(begins) else None
    datasets = [each.name for each in lineage.sources(found) if each.hub]
    results = [
        EvalResult(
            task_type=TASKS[found.kind],
            dataset_type="held-out",
            dataset_name=DATASET,
            metric_type=key,
            metric_value=round(figure.mean, 6),
            metric_name=measure_of(key).label,
            metric_args={"low": _bound(figure.low), "high": _bound(figure.high), "n": figure.n},
        )
        for key, figure in figures.items()
        if math.isfinite(figure.mean)
    ]
    data = ModelCardData(
        base_model=on_hub,
        base_model_relation=(ADAPTER if what == ADAPTER else "finetune") if on_hub else None,
        library_name="peft" if what == ADAPTER else "transformers",
        pipeline_tag=TASKS[found.kind],
        datasets=datasets or None,
        tags=_tags(found, what),
        model_name=name if results else None,
        eval_results=results or None,
    )
    entries: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}{LICENSE}---\n"


def _tags(found: Found, what: str) -> list[str]:
    kind = "reward-model" if found.kind == "reward" else found.stage.kind.replace("_", "-")
    lora = ["lora"] if what == ADAPTER else []
    return list(dict.fromkeys(["heed", "rlhf", kind, *lora]))


def _bound(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
