"""A side that computes nothing: it says what it was given, and may work or fail."""

from __future__ import annotations

import time

from benchmarks.serving import Stage


def main(stage: Stage) -> None:
    given = stage.given
    if "fails" in given:
        raise SystemExit(given["fails"])
    for one in stage.rounds():
        print("a library's chatter")
        time.sleep(given.get("sleeps", 0.0))
        one.said["losses"] = given["losses"]


if __name__ == "__main__":
    main(Stage.of_arguments())
