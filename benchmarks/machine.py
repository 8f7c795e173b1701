"""What this machine can do at best, and how near to it a piece of work comes.

    python -m benchmarks.machine

Matrix products of 1024 x 1024 and 2048 x 2048 and copies of 64 MiB, by `heed.models.speed`; float32
products by torch's default library and by oneDNN with a packed weight. The fastest is the limit.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.material import Size

SECONDS = 1.5
SIDES = (1024, 2048)
WIDTH = {"fp32": 4, "bf16": 2}
"""Bytes a number."""


@dataclass(frozen=True)
class Machine:
    """Operations a second of matrix products by precision, bytes a second that memory moves."""

    products: Mapping[str, float]
    default_fp32: float
    memory: float
    processor: str
    cores: int
    threads: int

    def training_share(self, precision: str, weights: int, tokens: float, seconds: float) -> float:
        """Of the products that training needs: 6 operations a weight and token."""
        return 6.0 * weights * tokens / self.products[precision] / seconds

    def decoding_share(
        self, precision: str, size: Size, tokens: float, steps: int, seconds: float
    ) -> float:
        """Of what writing tokens needs: 2 operations a weight and token, or all weights read once
        a step, whichever takes longer.
        """
        weights = size.matrix_weights
        reading = steps * weights * WIDTH[precision] / self.memory
        return max(2.0 * weights * tokens / self.products[precision], reading) / seconds

    def __str__(self) -> str:
        rates = ", ".join(f"{name} {rate / 1e9:.0f} GF/s" for name, rate in self.products.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.threads} threads: products {rates} "
            f"(float32 by default {self.default_fp32 / 1e9:.0f}), "
            f"memory {self.memory / 1e9:.0f} GB/s"
        )


def measure(seconds: float = SECONDS) -> Machine:
    import torch

    from heed.models.speed import copy_speed, matrix_speed

    cpu = torch.device("cpu")

    def fastest(dtype: torch.dtype) -> float:
        return max(matrix_speed(cpu, dtype, seconds / len(SIDES), side) for side in SIDES)

    default = fastest(torch.float32)
    return Machine(
        products={"fp32": max(default, _packed_speed(seconds)), "bf16": fastest(torch.bfloat16)},
        default_fp32=default,
        memory=copy_speed(cpu, seconds),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
    )


def _packed_speed(seconds: float) -> float:
    """Not by the precision "medium", by which oneDNN multiplies in bfloat16 on AMX."""
    import torch

    from heed.models.linears import prepared
    from heed.models.speed import times_a_second

    side = max(SIDES)
    matrix = torch.ones((side, side))
    product = prepared(matrix, None)
    often = times_a_second(lambda: product(matrix), matrix.device, seconds)
    return 2.0 * side**3 * often


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    found = measure()
    print(found)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
