"""What comes before reinforcement learning, by stated amounts of gold: the base that imitates what
people chose rises beyond the base, SFT that imitates all answers with their levels beyond SFT.

SFT that imitates what people chose does not surely rise: half of it the base wrote (docs/log.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_base import run_stages

# One run for all of them, which the first test waits for.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

STAGES = """\
  - sft: {name: chosen, policy: pretrain, comparisons: collect, epochs: 2, batch: 64,
          optim: {lr: 1e-3, micro_tokens: 3200}}
  - reward_conditioned: {samples: 6000, among: prompt, epochs: 3, batch: 64,
                         optim: {lr: 1e-3, micro_tokens: 3200}}
  - evaluate: {policies: {base: pretrain, sft: sft, chosen: chosen,
                          conditioned: reward_conditioned}, samples: 800}
  - report
"""


@pytest.fixture(scope="module")
def report(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = run_stages(STAGES, tmp_path_factory.mktemp("simpler"), small_base)
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    return found


@pytest.mark.parametrize(
    ("policy", "start", "least"), [("chosen", "base", 0.3), ("conditioned", "sft", 0.12)]
)
def test_gold_rises(report: dict[str, Any], policy: str, start: str, least: float) -> None:
    (gap,) = [
        gap["difference"] for gap in report["gaps"]
        if (gap["better"], gap["worse"], gap["measure"]) == (policy, start, "gold")
    ]  # fmt: skip
    assert gap["mean"] > least
    assert gap["low"] > 0.0
