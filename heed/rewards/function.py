"""A Python function of the user's as a reward."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from heed.errors import UserError
from heed.types import RewardFn


def load_function(path: Path, name: str) -> RewardFn:
    """The function of that name in a Python file: a list of completions in, floats out.

    The file runs as any import does. Raises UserError where it cannot, or has no such function.
    """
    spec = importlib.util.spec_from_file_location(f"heed_reward_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(
            f"{path} cannot be run as Python: {type(error).__name__}: {error}."
        ) from error
    function: RewardFn | None = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items()
                 if callable(value) and not key.startswith("_")]  # fmt: skip
        raise UserError(
            f"{path} has no function {name!r}; it has {', '.join(known) or 'none at all'}."
        )
    return function
