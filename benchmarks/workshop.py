"""The folder in which comparisons find what they are given, made when it is first asked for."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Self

from benchmarks import material
from benchmarks.material import SIZES, Size
from benchmarks.peers import environment
from heed.host import computes_in_half, instruction_sets

ROWS = {"1M": 384, "25M": 128}
"""Pairs to train on: as many as the rounds of a comparison may go through, for each side begins
anew in an order of its own.
"""

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16"}
"""What is compared, and how tables call it."""
WIDE = "avx512f"
"""oneDNN multiplies bfloat16 on all processors that have this."""


def precisions(sets: Sequence[str] | None = None) -> dict[str, str]:
    """Those of `PRECISIONS` that are worth a comparison on a processor with such instruction sets
    (None: this one). Where nothing multiplies bfloat16, it takes a hundred times float32's time.
    """
    known = instruction_sets() if sets is None else sets
    worth = known is None or WIDE in known or computes_in_half(known)
    return {name: short for name, short in PRECISIONS.items() if worth or name == "float32"}


def sizes_and_rounds(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What every comparison can be told on the command line."""
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, help="3 by default, 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer cases, a single round")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 3)
    return given


class Workshop:
    """Models, rows and places of each size, in a temporary folder.

    `pairs`: how many, by default `ROWS`; `median`: tokens of an answer.
    """

    def __init__(
        self, sizes: Mapping[str, Size] = SIZES, pairs: int | None = None, median: float = 48
    ) -> None:
        self.sizes = sizes
        self.count = pairs
        self.median = median
        self.place = tempfile.TemporaryDirectory(prefix="heed-bench-")
        self.owned = 0
        self.folder = cache(self._folder)
        self.peer = cache(environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.place.cleanup()

    def own(self) -> Path:
        """A directory of one side's own; it is not there yet."""
        self.owned += 1
        return Path(self.place.name) / f"own-{self.owned}"

    def rows(self, size: str, stage: str, batch: int) -> Path:
        """The file of the pairs in the order of a stage."""
        path = self.folder(size) / f"{stage}-{batch}.jsonl"
        if not path.exists():
            rows = material.in_order(self._pairs(size), stage, batch)
            material.write_rows(path, list(islice(rows, len(self._pairs(size)))))
        return path

    def asked(self, size: str, length: int, count: int) -> Path:
        """Records whose prompts are answered by so many tokens; asked.json has their texts."""
        place = self.folder(size) / f"asked-{length}-{count}"
        if not place.exists():
            texts = material.prompts(self.sizes[size], [length] * count)
            nothing = {"chosen": "t3", "rejected": "t4"}
            material.save_run(place, [{"prompt": text, **nothing} for text in texts])
            (place / "asked.json").write_text(json.dumps(texts), "utf-8")
        return place

    def _pairs(self, size: str) -> list[dict[str, str]]:
        return material.pairs(self.sizes[size], self.count or ROWS[size], self.median)

    def _folder(self, size: str) -> Path:
        folder = Path(self.place.name) / size
        folder.mkdir()
        material.save_models(folder, self.sizes[size])
        material.save_run(folder, self._pairs(size))
        return folder
