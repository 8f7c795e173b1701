"""Runs toy models on several processes (tests/distributed/toy.py), and compares what they left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

TOY = Path(__file__).parent / "distributed" / "toy.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def run(*scenarios: dict[str, Any], timeout: float = 200) -> str:
    """What the scenarios' processes printed."""
    command = [sys.executable, str(TOY), json.dumps(scenarios)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def rows(folder: Path, method: str) -> list[dict[str, Any]]:
    lines = (folder / method / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert {row.pop("stage") for row in found} == {"sft"}
    if method == "dpo":  # at first the policy is the reference: all gaps are 0 or rounding
        del found[0]["accuracy"]
    return found


def assert_same(found: Path, wanted: Path, method: str) -> None:
    """Metrics to 1e-5 (as shares, 2e-5: after twenty steps a norm may differ by 200 roundings),
    weights to 2e-6.
    """
    pairs = list(zip(rows(found, method), rows(wanted, method), strict=True))
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=2e-5, abs=1e-5)
    weights = [torch.load(folder / f"{method}.pt") for folder in (found, wanted)]
    torch.testing.assert_close(*weights, atol=2e-6, rtol=1e-5)
