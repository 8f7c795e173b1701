"""`heed run` with a fault planted in its process.

The process is forked from one that has imported what a run needs, which takes as long as a third of
a small run. A wrapper around a function of Heed ends with the process that it was put into.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.plants import PLANTS


def planted(
    fault: str | None, strength: float, seed: int, arguments: Sequence[str], log: Path
) -> int:
    """`heed run ARGUMENTS`; what it prints goes to `log`. Returns its exit code.

    Args:
        fault: one of `PLANTS`, or None.
        strength: of the fault.
        seed: the world's.
        arguments: those of `heed run`.
        log: a file, written anew.
    """
    import heed.pipeline  # noqa: F401  what children need not import again

    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(fault, strength, seed, arguments, log)
    )
    process.start()
    process.join()
    return int(process.exitcode or 0)


def _run(
    fault: str | None, strength: float, seed: int, arguments: Sequence[str], log: Path
) -> None:
    from heed.cli.main import app

    with log.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    settings = PLANTS[fault].wrap(strength, seed) or () if fault else ()
    own = [part for setting in settings for part in ("--set", setting)]
    app(["run", *arguments, *own])
