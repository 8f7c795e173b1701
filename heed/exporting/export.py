"""A run's policy or reward model becomes a directory: written under another name, read again, held
against what it was made of, and only then put in its place.

    DIR/  model.safetensors, config.json, generation_config.json, tokenizer, chat template
          (or adapter_model.safetensors, adapter_config.json, and base/ where it needs one)
          README.md    the model card
          figures/     its curves
          recipe.yaml  the run's recipe, every default written out
          export.json  what was exported and what reading it again showed
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from heed import __version__
from heed.errors import UserError
from heed.exporting import weights
from heed.exporting.card import Card, write_card
from heed.exporting.found import Found
from heed.exporting.hashes import sha256
from heed.exporting.probes import Apart
from heed.exporting.weights import Checked
from heed.files import new_directory, write_json
from heed.progress import Display

MARK = "export.json"
"""What tells a directory of ours from any other."""
STEPS = 5
What = Literal["merged", "adapter"]


@dataclass(frozen=True)
class Wish:
    """How to export: which weights, in which precision (None: as they are kept), in files of how
    much at most, and whether an earlier export may be replaced.
    """

    what: What = "merged"
    dtype: str | None = None
    shard: str = "5GB"
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """Where it lies, its files with their sizes in bytes, and what reading it again showed."""

    directory: Path
    files: dict[str, int]
    checked: Checked
    dtype: str


def export(found: Found, directory: Path, wish: Wish, *, repository: str | None = None) -> Exported:
    """Write the directory. `repository` is the name on the hub that its card speaks of.

    Raises UserError where the directory is taken, the disk is full, the stage has no adapter, or
    what was written is not what it was made of; nothing is left behind then.
    """
    check_place(directory, wish.force)
    dtype = wish.dtype or (
        "float32" if wish.what == "adapter" else weights.kept_dtype(found.source)
    )
    with Display("export", STEPS) as bar, new_directory(directory) as folder:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            bar(done)

        final = directory if repository is None else None
        write = _writer(found, wish, dtype, final)
        checked = write(folder, step)
        step()
        shutil.copyfile(found.run / "recipe.yaml", folder / "recipe.yaml")
        place = repository or str(directory)
        card = Card(found, wish.what, dtype, checked, place, hub=repository is not None)
        write_card(card, folder)
        step()
        write_json(folder / MARK, _account(card, folder))
        step()
    return Exported(directory, sizes(directory), checked, dtype)


def check_place(directory: Path, force: bool) -> None:
    """Raises UserError where something stands that may not be overwritten."""
    if directory.exists() and Path.cwd().is_relative_to(directory.resolve()):
        raise UserError(
            f"{directory} is the folder that you are in, or holds it, and an export takes the "
            "whole of a folder's place. Name another directory."
        )
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    written = _written(directory)
    if written is None:
        raise UserError(
            f"{directory} exists and is no export of Heed's, so it is not overwritten. Name "
            "another directory."
        )
    if others := sorted(sizes(directory).keys() - written):
        raise UserError(
            f"{directory} holds an export and what is none of it ({others[0]}), which would be "
            "lost. Move that, or name another directory."
        )
    if not force:
        raise UserError(
            f"{directory} holds an export already. Name another directory, or replace it with "
            "--force."
        )


def _written(directory: Path) -> set[str] | None:
    """The files of an export that stands there, by its own account; None where there is none."""
    try:
        account = json.loads((directory / MARK).read_text(encoding="utf-8"))
        return {MARK, *account["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sizes(directory: Path) -> dict[str, int]:
    """Bytes by file."""
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _writer(
    found: Found, wish: Wish, dtype: str, final: Path | None
) -> Callable[[Path, weights.Step], Checked]:
    if found.kind == "reward":
        if wish.what == "adapter":
            raise UserError(
                "A reward model's head trains in full beside its adapter, and its tokenizer may "
                "have grown, so the adapter alone says nothing. Leave --adapter out."
            )
        return lambda folder, step: weights.export_reward(found, folder, dtype, wish.shard, step)
    if wish.what == "adapter":
        return lambda folder, step: weights.export_adapter(
            found, folder, final, dtype, wish.shard, step
        )
    return lambda folder, step: weights.export_policy(found, folder, dtype, wish.shard, step)


def _account(card: Card, folder: Path) -> dict[str, Any]:
    found, checked = card.found, card.checked
    return {
        "heed": __version__,
        "run": found.run.name,
        "stage": found.name,
        "kind": found.kind,
        "weights": card.what,
        "dtype": card.dtype,
        "parameters": checked.parameters,
        "base": found.base.source if found.base.outside else found.base.stage,
        "chat_template": checked.wording.template,
        "read_again": {
            "written": _gap(checked.written),
            "rounding": _gap(checked.rounding),
            "same_answers": checked.answers,
            "prompts": checked.probes,
        },
        "files": {
            name: {"bytes": size, "sha256": sha256(folder / name)}
            for name, size in sizes(folder).items()
        },
    }


def _gap(found: Apart | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
