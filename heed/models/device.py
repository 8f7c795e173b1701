"""Where a model lives and in which number format."""

from __future__ import annotations

import os

import torch

from heed.errors import UserError

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
