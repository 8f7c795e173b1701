"""A run of one stage that logs steps by hand: `RECIPE DIRECTORY FROM UNTIL ATTEMPT [die]`."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from heed.config import load_recipe
from heed.run import GATES, Run
from heed.tracking.following import followed

FOUND = {"gate": "lengths", "statistic": 3.0, "threshold": 2.0, "says": "Too long."}


def lookup(host: Any, *_: Any, **__: Any) -> Any:
    """Nobody is to be looked up: nothing that is told may leave the machine."""
    print(f"looked up {host}", flush=True)
    raise socket.gaierror(f"the test answers for no host, {host} neither")


def main(recipe: str, directory: str, kept: str, until: str, attempt: str, *end: str) -> None:
    """Go on from step `kept` to `until`; the loss says which attempt it is of."""
    socket.getaddrinfo = lookup
    run = Run(load_recipe(recipe), Path(directory))
    run.prepare()
    with followed(run, print):
        place = run.stage("pretrain")
        place.start()
        place.keep_rows(int(kept))
        place.note(GATES, [{**FOUND, "step": int(until), "tripped": end != ("die",)}])
        for step in range(int(kept) + 1, int(until) + 1):
            metrics = {"loss": step + float(attempt) / 10, "nothing": float("nan")}
            place.log(step, metrics, seconds=0.0)
        if end == ("die",):
            os.kill(os.getpid(), signal.SIGKILL)
        place.finish(1.0, {"tokens": 7, "accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6}})


if __name__ == "__main__":
    main(*sys.argv[1:])
