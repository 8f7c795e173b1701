"""Whether the heavy libraries can be imported, the devices that torch finds, and their speed: asked
of a process of its own, which a broken library may take down.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from heed.doctoring.check import Check

IMPORTS, DEVICES, SPEED = "Libraries", "Devices", "Speed"
PATIENCE = 180.0
"""Seconds that the imports may take: a cold network drive needs a minute."""
PROBE = (sys.executable, "-m", "heed.doctoring.probe")
GIB = 2**30


@dataclass
class Probed:
    """What the process said before it ended."""

    failed: dict[str, str] = field(default_factory=dict)
    imported: list[str] = field(default_factory=list)
    torch: dict[str, Any] | None = None
    speed: list[dict[str, Any]] | None = None
    died: tuple[str, str] | None = None
    """What it was at when it died, and how."""


def probe(*, speed: bool, command: Sequence[str] = PROBE, patience: float = PATIENCE) -> Probed:
    """Ask the process. It gets this one's environment, and so finds the same libraries."""
    words = [*command, *(["speed"] if speed else [])]
    how = ""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=patience
        )
        output, code = done.stdout, done.returncode
        if code:
            last = done.stderr.strip().splitlines()[-1:] or [""]
            how = f"signal {-code}" if code < 0 else f"exit code {code}: {last[0][:200]}"
    except subprocess.TimeoutExpired as stop:
        said: object = stop.stdout  # bytes, whatever was asked for
        output = said.decode(errors="replace") if isinstance(said, bytes) else ""
        how = f"no answer within {patience:.0f} seconds"
    except OSError as error:
        output, how = "", str(error)
    return _read(output, how)


def _read(output: str, how: str) -> Probed:
    found, at = Probed(), "starting"
    for line in output.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a library that prints as it is imported
        if not isinstance(row, dict):
            continue
        at = row.get("tried", at)
        if "imported" in row:
            found.imported.append(row["imported"])
        if "failed" in row:
            found.failed[row["failed"]] = row["why"]
        found.torch = row.get("torch", found.torch)
        found.speed = row.get("speed", found.speed)
    if how:
        found.died = (at, how)
    return found


def libraries(found: Probed) -> Iterator[Check]:
    """What can be imported."""
    for name, why in found.failed.items():
        yield Check(
            IMPORTS, name, "broken", f"cannot be imported: {why}",
            f"pip install --force-reinstall {name}",
        )  # fmt: skip
    if found.died is not None:
        at, how = found.died
        library = at not in ("devices", "speed", "starting")
        yield Check(
            IMPORTS, at, "broken",
            f"{'its import' if library else at} ended the process ({how})",
            f"pip install --force-reinstall {at}" if library else "look at the driver and at torch",
        )  # fmt: skip
    if found.imported:
        yield Check(
            IMPORTS, "imports", "fine", f"{len(found.imported)} libraries can be imported",
            value=found.imported,
        )  # fmt: skip


def devices(found: Probed) -> Iterator[Check]:
    """What torch computes on."""
    facts = found.torch
    if facts is None:
        says = "unknown: torch cannot be asked"
        yield Check(DEVICES, "devices", "note", says)
        return
    for index, gpu in enumerate(facts["cuda"]):
        bf16 = "bf16" if gpu["bf16"] else "no bf16"
        says = (
            f"{gpu['name']}, {gpu['free'] / GIB:.1f} of {gpu['total'] / GIB:.1f} GiB free, {bf16}"
        )
        yield Check(DEVICES, f"cuda:{index}", "fine", says, value=gpu)
    if facts["mps"]:
        says = "there; Heed trains on it only where a recipe names it (device: mps)"
        yield Check(DEVICES, "mps", "note", says)
    if not facts["cuda"]:
        yield _no_gpu(facts["built_for_cuda"])
    says = f"{facts['threads']} threads, kernels for {facts['capability']}"
    yield Check(DEVICES, "cpu", "fine", says, value=facts)


def _no_gpu(built: str | None) -> Check:
    """None to be seen: there may be none, or torch or the driver does not do."""
    driver = shutil.which("nvidia-smi") is not None
    if built:
        remedy = f"see in nvidia-smi whether the driver is new enough for CUDA {built}"
        says = f"none is visible to torch (built for CUDA {built})"
    else:
        remedy = "install a torch that is built for CUDA: this machine has NVIDIA's driver"
        says = "none: this torch is built for CPUs alone"
    return Check(DEVICES, "cuda", "note", says, remedy if driver else "", [])


def speeds(found: Probed) -> Iterator[Check]:
    """Products and copies, as measured just now: other work on the machine lowers them."""
    for row in found.speed or ():
        half = f", {row['bfloat16']:,.0f} in bfloat16" if row["bfloat16"] else ", no bfloat16"
        says = f"{row['float32']:,.0f} GF/s in float32{half}; {row['copy']:,.0f} GB/s of memory"
        yield Check(SPEED, row["device"], "fine", says, value=row)
