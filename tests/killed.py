"""Runs a recipe and kills the process, hard, when a stage has logged a given number of rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def heed(*words: str) -> list[str]:
    """A command line of Heed's own."""
    return [sys.executable, "-m", "heed", *words]


def rows(run: Path, stage: str) -> list[dict[str, object]]:
    """The stage's whole rows of metrics, as another process sees them while they are written."""
    try:
        lines = (run / "metrics.jsonl").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [row for row in map(json.loads, lines) if row["stage"] == stage]


def run_until(command: Sequence[str], run: Path, stage: str, count: int) -> int:
    """Start `command`; kill -9 once `stage` has `count` rows. Returns the exit status."""
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None:
            if len(rows(run, stage)) >= count:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        assert process.stderr is not None
        errors = process.stderr.read().decode()
        status = process.wait()
        assert status in (0, -signal.SIGKILL), errors
        return status
