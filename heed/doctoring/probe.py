"""Run as a program of its own: imports what is heavy, and says as JSON lines how that went.

A library that crashes takes this process with it and no other; the last line names what was tried.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

PACKAGES = (
    "numpy", "scipy", "sklearn", "torch", "safetensors", "tokenizers", "transformers", "peft",
    "datasets", "matplotlib", "sqlalchemy", "fastapi",
)  # fmt: skip
SECONDS = 0.4
"""For which each speed is measured."""


def main() -> None:
    """Import everything; with "speed" among the arguments measure, too."""
    for name in PACKAGES:
        _say(tried=name)
        try:
            importlib.import_module(name)
            _say(imported=name)
        except BaseException as error:  # whatever a broken library raises
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            _say(failed=name, why=why)
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda"):
        return
    _say(tried="devices")
    _say(torch=_facts(torch))
    if "speed" in sys.argv[1:]:
        _say(tried="speed")
        _say(speed=[_speed(torch, device) for device in _devices(torch)])


def _facts(torch: Any) -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "built_for_cuda": torch.version.cuda,
        "mps": bool(torch.backends.mps.is_available()),
        "cuda": [_gpu(torch, index) for index in range(torch.cuda.device_count())] if cuda else [],
    }


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    free, total = torch.cuda.mem_get_info(index)
    with torch.cuda.device(index):
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    name = torch.cuda.get_device_name(index)
    return {"name": name, "free": free, "total": total, "bf16": bool(bf16)}


def _devices(torch: Any) -> list[str]:
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def _speed(torch: Any, device: str) -> dict[str, Any]:
    """GF/s of matrix products in both precisions, GB/s of a copy (read and written)."""
    from heed.models.speed import copy_speed, matrix_speed

    place = torch.device(device)
    found: dict[str, Any] = {"device": device}
    for name in ("float32", "bfloat16"):
        try:
            found[name] = matrix_speed(place, getattr(torch, name), SECONDS) / 1e9
        except RuntimeError:  # a device without this precision
            found[name] = None
    return {**found, "copy": copy_speed(place, SECONDS) / 1e9}


def _say(**line: Any) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - the other process reads it


if __name__ == "__main__":
    main()
