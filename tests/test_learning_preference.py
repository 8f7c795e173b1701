"""Every preference loss, and KTO, learns: gold rises beyond SFT's, from one run that they share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_base import run_stages

from heed.recipe import LOSSES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first test waits for all

OPTIM = "{lr: 3e-4, micro_tokens: 3200}"
MORE = {"orpo": "beta: 1.0, "}
"""ORPO's own .1 leaves most of the step to imitation."""
LORA = "lora: {{rank: 8}}, optim: {{lr: {}, micro_tokens: 3200}}"
STAGES = {
    **{name: f"dpo: {{name: {name}, loss: {name}, {MORE.get(name, '')}optim: {OPTIM}}}"
       for name in LOSSES},
    "kto": f"kto: {{optim: {OPTIM}}}",
    "simpo_lora": f"dpo: {{name: simpo_lora, loss: simpo, {LORA.format(2e-3)}}}",
    "kto_lora": f"kto: {{name: kto_lora, {LORA.format(1e-3)}}}",  # at 2e-3 it may diverge
}  # fmt: skip
RISES = {"slic": 0.1, "orpo": 0.1, "cpo": 0.1, "kto_lora": 0.1}
"""By how much gold rises at least; .15 where nothing is said. The first three also imitate the
chosen answers, some of which the base wrote."""


@pytest.fixture(scope="module")
def gaps(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By method, the difference of gold from SFT's on held-out prompts."""
    labels = {"sft": "sft", **{name: name for name in STAGES}}
    lines = [*STAGES.values(), f"evaluate: {{policies: {json.dumps(labels)}, samples: 800}}"]
    stages = "".join(f"  - {line}\n" for line in lines)
    run = run_stages(stages, tmp_path_factory.mktemp("preference"), small_base)
    measures = json.loads((run / "evaluate" / "measures.json").read_text())
    return {
        gap["better"]: gap["difference"]
        for gap in measures["gaps"]
        if gap["worse"] == "sft" and gap["measure"] == "gold"
    }


@pytest.mark.parametrize("name", STAGES)
def test_gold_rises(gaps: dict[str, dict[str, Any]], name: str) -> None:
    assert gaps[name]["mean"] > RISES.get(name, 0.15)
    assert gaps[name]["low"] > 0
