"""The reference's log-probs, computed once a stage and kept in its folder.

<stage>/reference/<name>/   tensors.safetensors, the batch's fields whose names begin with ref_
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TypeVar

from heed.models.checkpoints import load_checkpoint, save_checkpoint
from heed.ops.batch import Batch
from heed.run import StageRun

Rows = TypeVar("Rows", bound=Batch)


def with_kept_reference(
    stage: StageRun, name: str, data: Rows, compute: Callable[[Rows], Rows]
) -> Rows:
    """The same rows with what the reference says of them: from the folder, or else computed.

    A stage that goes on after a kill finds what it began with. The folder is emptied with the rest
    of the stage's wherever its key changes.
    """
    folder = stage.directory / "reference" / name
    if folder.exists():
        tensors, _ = load_checkpoint(folder)
        return replace(data, **tensors)
    filled = compute(data)
    if stage.writes:
        names = [each.name for each in fields(data) if each.name.startswith("ref_")]
        save_checkpoint(folder, {each: getattr(filled, each) for each in names}, {})
    return filled
