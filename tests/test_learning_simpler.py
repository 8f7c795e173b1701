"""What comes before reinforcement learning: to imitate what people chose, or all answers with their
level of reward, raises gold beyond SFT by stated amounts.
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
  - sft: {name: chosen, policy: sft, comparisons: collect, epochs: 2, batch: 64,
          optim: {lr: 1e-3, micro_tokens: 3200}}
  - reward_conditioned: {samples: 6000, among: prompt, epochs: 3, batch: 64,
                         optim: {lr: 1e-3, micro_tokens: 3200}}
  - evaluate: {policies: {sft: sft, chosen: chosen, conditioned: reward_conditioned},
               samples: 800}
  - report
"""


@pytest.fixture(scope="module")
def report(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = run_stages(STAGES, tmp_path_factory.mktemp("simpler"), small_base)
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    return found


@pytest.mark.parametrize(("policy", "least"), [("chosen", 0.06), ("conditioned", 0.12)])
def test_gold_rises(report: dict[str, Any], policy: str, least: float) -> None:
    """Measured: .17 and .26."""
    (gap,) = [
        gap["difference"] for gap in report["gaps"]
        if (gap["better"], gap["worse"], gap["measure"]) == (policy, "sft", "gold")
    ]  # fmt: skip
    assert gap["mean"] > least
    assert gap["low"] > 0.0
