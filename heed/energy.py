"""The energy that a piece of work took, where the machine counts it.

Linux shows the processors' counters (RAPL) under /sys/class/powercap, mostly to root alone; NVIDIA
cards since Volta count theirs, which their management library tells. Both are the whole machine's
or card's, whoever else works on it. Elsewhere nothing is known, and nothing is guessed.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import torch

_POWERCAP = Path("/sys/class/powercap")
_PACKAGE = re.compile(r"^intel-rapl:\d+$")
"""A processor's package; its parts (intel-rapl:0:0) are in it."""
_NVML = "libnvidia-ml.so.1"


def watch_energy(device: torch.device) -> Callable[[], dict[str, float]]:
    """Begin to watch; what is returned tells the joules since of what is counted here:
    "joules_processors", and "joules_card" where the work is done on a GPU.
    """
    counters = _packages()
    before = [_number(folder / "energy_uj") for folder in counters]
    card = _card(device) if device.type == "cuda" else None
    card_before = card() if card else 0.0

    def since() -> dict[str, float]:
        spent = [_joules(*each) for each in zip(counters, before, strict=True)]
        known = [each for each in spent if each is not None]
        found = {"joules_processors": sum(known)} if spent and len(known) == len(spent) else {}
        return {**found, "joules_card": card() - card_before} if card else found

    return since


def _packages() -> list[Path]:
    """The processors whose counters may be read."""
    found = sorted(path for path in _POWERCAP.glob("intel-rapl:*") if _PACKAGE.match(path.name))
    return [path for path in found if _number(path / "energy_uj") is not None]


def _joules(folder: Path, before: int | None) -> float | None:
    """What a counter has gone on since, once around its end at most."""
    now = _number(folder / "energy_uj")
    if now is None or before is None:
        return None
    around = (_number(folder / "max_energy_range_uj") or 0) if now < before else 0
    return (now - before + around) / 1e6


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _card(device: torch.device) -> Callable[[], float] | None:
    """A card's counter in joules, by NVIDIA's library; None where it does not tell."""
    try:
        nvml = ctypes.CDLL(_NVML)
        name = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
    except (OSError, AttributeError):
        return None
    handle, amount = ctypes.c_void_p(), ctypes.c_ulonglong()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)):
        return None

    def read() -> int:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(amount)))

    if read():
        return None

    def joules() -> float:
        read()
        return amount.value / 1e3  # it counts in mJ

    return joules
