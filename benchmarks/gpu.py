"""Decoding and training on a GPU, beside transformers and the device's limits.

    python -m benchmarks.gpu [--sizes 25M 500M 7B] [--batches 1 16 64 256] [--only decode train]
                             [--rounds 3] [--device auto] [--out bench-results]

Decoding: greedy answers of as many tokens as their prompts have, in bfloat16 where the device
computes in it: Heed with and without recorded steps, `generate` and `generate_batch` of
transformers (`gpu_decoding`). Training: packed rows against padded ones (`gpu_training`). Random
weights, one process, sides in turn after a round that warms up, in which it is checked that they
compute the same; nothing is printed where they do not. The share of the limit is the time that the
device's own products and copies leave (measured first), by the time that was taken.

Writes gpu.md and gpu.json in `--out`. Where there is no GPU it refuses; `--device cpu` runs a tiny
model through all of it, which measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import gpu_decoding, gpu_training
from benchmarks.gpu_work import SHAPES, Device, Line
from benchmarks.peers import versions
from heed.models.device import resolve_device, resolve_dtype

OURS = ("heed", gpu_training.MADE[True])
"""Sides that the others are held beside."""


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    sizes: Sequence[str]
    batches: Sequence[int]
    prompt: int
    new: int
    rows: int
    median: float
    micro: int
    seconds: float
    """That each of the device's limits is measured for."""
    rounds: int


def plan(given: argparse.Namespace, device: torch.device) -> Plan:
    """Raises SystemExit for a real size on a CPU."""
    if device.type == "cuda":
        sizes = given.sizes or [name for name in SHAPES if name != "tiny"]
        return Plan(sizes, given.batches or (1, 16, 64, 256), 128, 128, 64, 160, 4096, 2.0,
                    given.rounds)  # fmt: skip
    if set(given.sizes or ["tiny"]) != {"tiny"}:
        raise SystemExit("On a CPU only the tiny size is run: its figures mean nothing.")
    return Plan(["tiny"], given.batches or (1, 3), 8, 8, 4, 12, 256, 0.01, given.rounds)


def measure(asked: Plan, device: Device, only: Sequence[str]) -> list[Line]:
    """All lines; each piece of work is printed when it is done."""
    lines: list[Line] = []
    parts: dict[str, Callable[[str], list[Line]]] = {
        "decode": lambda size: gpu_decoding.measure(
            device, size, asked.batches, asked.prompt, asked.new, asked.rounds
        ),
        "train": lambda size: gpu_training.measure(
            device, size, asked.rows, asked.median, asked.micro, asked.rounds
        ),
    }
    for size in asked.sizes:
        for name in only:
            try:
                found = parts[name](size)
            except torch.OutOfMemoryError:
                print(f"LEFT OUT: {name} {size}: the device's memory", file=sys.stderr, flush=True)
                continue
            print(table(found), flush=True)
            lines += found
            device.forget()
    return lines


def table(lines: Sequence[Line]) -> str:
    """In Markdown, ours first; a ratio is a side's median time by ours."""
    text = [
        "| work | side | median s (lowest to highest) | tokens/s | peak GB | of the limit | "
        "ours beside it | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        ours = next(each for each in lines if each.work == line.work and each.side in OURS)
        if not line.seconds:
            text.append(f"| {line.work} | {line.side} | | | | | | {line.note} |")
            continue
        beside = f"{line.median / ours.median:.2f} x" if ours.seconds and ours != line else ""
        peak = "" if line.peak is None else f"{line.peak / 1e9:.2f}"
        text.append(
            f"| {line.work} | {line.side} | {line.median:.4f} ({min(line.seconds):.4f} to "
            f"{max(line.seconds):.4f}) | {line.rate:.0f} | {peak} | {100 * line.share:.0f}% | "
            f"{beside} | {line.note} |"
        )
    return "\n".join(text)


def heading(device: Device, minutes: float) -> list[str]:
    """Date, command, device and versions."""
    listed = ", ".join(f"{name} {n}" for name, n in versions(Path(sys.executable)).items())
    cuda = torch.version.cuda or "none"
    short = str(device.dtype).removeprefix("torch.")
    return [
        f"Measured on {time.strftime('%Y-%m-%d')} by "
        f"`python -m benchmarks.gpu {' '.join(sys.argv[1:])}`, in {minutes:.0f} minutes.",
        f"Device: {device.name}, {short}: products {device.products / 1e12:.3g} TF/s, memory "
        f"{device.memory / 1e9:.0f} GB/s.",
        f"{listed}, CUDA {cuda}.",
    ]


def device_of(name: str) -> torch.device:
    """Raises SystemExit where there is no GPU and no CPU was asked for, UserError for a device that
    is not there.
    """
    device = resolve_device(name)
    if device.type != "cuda" and name != "cpu":
        raise SystemExit(
            "There is no GPU here. --device cpu runs a tiny model through all of it, which shows "
            "that it runs and measures nothing."
        )
    return device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", choices=SHAPES, help="all real ones by default")
    parser.add_argument("--batches", nargs="*", type=int, help="answers side by side")
    parser.add_argument("--only", nargs="*", choices=["decode", "train"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, ..., or cpu")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    given = parser.parse_args()
    place, began = device_of(given.device), time.perf_counter()
    asked = plan(given, place)
    device = Device.measured(place, resolve_dtype("auto", place), asked.seconds)
    lines = measure(asked, device, given.only or ("decode", "train"))
    head = heading(device, (time.perf_counter() - began) / 60)
    given.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(f"- {line}" for line in head) + f"\n\n{table(lines)}\n"
    (given.out / "gpu.md").write_text(text, "utf-8")
    record = {"heading": head, "lines": [asdict(line) for line in lines]}
    (given.out / "gpu.json").write_text(json.dumps(record, indent=1), "utf-8")
    print("\n".join(head))


if __name__ == "__main__":
    main()
