"""SFT, reward modelling and DPO by Heed: optimiser steps on fixed rows.

python -m benchmarks.heed_sides.offline SPECIFICATION

`steps`: optimiser steps a round; `keep`: a folder in which the weights after each round are left,
outside its clock. The rest is `act_in_stage`'s.
"""

from __future__ import annotations

from typing import Any

from benchmarks.heed_sides.staged import Rows, act_in_stage, threads
from benchmarks.serving import Stage
from heed.trainer import Trainer


def main(stage: Stage) -> None:
    def act(trainer: Trainer[Any], rows: Rows) -> None:
        keep = stage.given.get("keep")
        for number, one in enumerate(stage.rounds(threads=threads())):
            done, tokens = len(rows), trainer.progress.tokens
            for _ in range(stage.given["steps"]):
                trainer._iterate()
            one.said["tokens"] = trainer.progress.tokens - tokens
            one.said["losses"] = [row["loss"] for row in rows[done:]]
            one.said["norms"] = [row["grad_norm"] for row in rows[done:]]
            if keep:
                one.stop()
                trainer.method.module.save_pretrained(f"{keep}/{number}")

    act_in_stage(stage.given, act)


if __name__ == "__main__":
    main(Stage.of_arguments())
