"""Where a model lives and in which number format."""

from __future__ import annotations

import os

import torch
from torch.amp.autocast_mode import is_autocast_available

from heed.errors import UserError
from heed.host import computes_in_half, instruction_sets

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The formats a recipe may name; float16 is left out because it overflows in training."""


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a recipe's `device` setting; "auto" is CUDA where there is one, else the CPU.

    Under torchrun, "auto" and "cuda" are each process's own GPU.

    Raises UserError for a device that torch does not know or this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"The device {name!r} cannot be used here: {reason}. Set device to auto, cpu or cuda."
        ) from error
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The format of a recipe's `dtype` setting; "auto" is bfloat16 on a CUDA device that computes
    in it, else float32.

    Raises UserError for a format that is not in `DTYPES`.
    """
    if name == "auto":
        fits = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fits else torch.float32
    if name not in DTYPES:
        raise UserError(f"Unknown dtype {name!r}. Set dtype to auto, {' or '.join(DTYPES)}.")
    return DTYPES[name]


def has_half(device: torch.device) -> bool | None:
    """Whether a device computes in bfloat16 by itself; None where nobody says (a CPU outside Linux,
    a device that is neither CPU nor CUDA).
    """
    if device.type == "cpu":
        sets = instruction_sets()
        return None if sets is None else computes_in_half(sets)
    return resolve_dtype("auto", device) == torch.bfloat16 if device.type == "cuda" else None


def slow_half(dtype: torch.dtype, device: torch.device, setting: str) -> str | None:
    """A warning where a device is known to have no bfloat16 of its own and is about to compute in
    it, with the `setting` that says so; else None.
    """
    if dtype != torch.bfloat16 or has_half(device) is not False:
        return None
    return (
        f"This {device.type} has no bfloat16 in hardware: matrix products in it take longer than "
        f"in float32, a hundred times as long on some processors. Set {setting} to float32 or auto."
    )


def format_of(device: torch.device, own: torch.dtype) -> torch.dtype:
    """What tensors of a format are computed in now: within autocast in its format."""
    within = is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if within else own
