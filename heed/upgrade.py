"""What another version of Heed left in a run's directory, and what is no run's at all.

A run's provenance names the format of its directory and the revisions of its stages
(`heed.run.FORMAT`, `REVISIONS`). Where these are today's, nothing is to be decided: keys tell what
is finished. Otherwise

- a newer version's run is refused: this version cannot know what its files mean;
- stages that an older version finished under the same settings are neither used nor thrown away
  unasked. `--keep-finished` takes them over as they are, once their files can be read, by giving
  their markers today's keys; `--fresh` does them again;
- what has other settings than it had is redone as ever, and so is what was not finished.

Up to format 0 a key held Heed's version and every default, and cannot be made again: there the
settings are those of the run's own recipe.yaml, and nobody knows whether the data files behind it
are still the same. From format 1 on, keys tell that, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from heed import __version__
from heed.config import load_recipe
from heed.errors import UserError
from heed.files import write_json
from heed.recipe.checks import TRACKING
from heed.run import FORMAT, OWN, REVISIONS, Run, stage_keys

HEADER = 8
"""Bytes at the beginning of a safetensors file that say how long its table of tensors is."""


def take_over(
    run: Run, *, thrown: Collection[str] = (), keep_finished: bool = False
) -> Iterator[str]:
    """Look at what stands in a run's directory before anything is written to it; yields what to
    say. `thrown` are stages that will be begun again whatever they left.

    Raises:
      UserError: files of somebody else's stand in the way, a newer version made the run, or an
        older one finished stages that would be done again, or that cannot be taken over.
    """
    _refuse_foreign(run)
    origin = _object(run.directory / "provenance.json")
    kept = set(run.keys) - set(thrown)
    if not kept or not (origin or (run.directory / "recipe.yaml").exists()):
        return
    refuse_newer(run.directory)
    then = _keys_then(run, origin)
    markers = {name: _object(run.directory / name / "done.json") for name in sorted(kept)}
    found = {
        name: markers[name]
        for name in run.keys
        if name in kept and then.get(name) not in (None, run.keys[name])
        and markers[name].get("key") == then[name]
    }  # fmt: skip
    if found and not keep_finished:
        raise UserError(_choice(run.directory, origin, found))
    for name in found:
        check_whole(run.directory / name)
    for name, marker in found.items():
        adopted = {"adopted": {"key": marker["key"], "heed": _version(origin)}}
        write_json(run.directory / name / "started.json", {"key": run.keys[name]})
        write_json(run.directory / name / "done.json", {**marker, "key": run.keys[name], **adopted})
    if found:
        yield f"Taken over from Heed {_version(origin)}: {', '.join(found)}"


def refuse_newer(directory: Path) -> None:
    """Raise UserError where a newer version of Heed made a run; nothing where none stands there."""
    origin = _object(directory / "provenance.json")
    made, ours = _version(origin), __version__
    ahead = {kind for kind, number in _revisions(origin).items() if number > REVISIONS.get(kind, 1)}
    if _format(origin) <= FORMAT and not ahead and not _later(made, ours):
        return
    raise UserError(
        f"{directory} was made by Heed {made} (format {_format(origin)}), which is newer than this "
        f"one ({ours}, format {FORMAT}). Use that version or a later one, or another directory; "
        "nothing was changed."
    )


def _refuse_foreign(run: Run) -> None:
    """The run's own files are replaced, and a stage's folder is emptied before the stage begins:
    they must be a run's and a stage's.
    """
    written = [*OWN, *([TRACKING] if run.recipe.track else [])]
    found = [name for name in written if (run.directory / name).exists()]
    if found and not (run.directory / "keys.json").exists():
        raise UserError(
            f"{run.directory} holds a {found[0]} that no run wrote, and a run would replace it. "
            "Name another directory with --out."
        )
    for name in run.keys:
        folder = run.directory / name
        if folder.exists() and not folder.is_dir():
            raise UserError(
                f"{folder} is a file, and the stage {name!r} wants a folder of that name. Move it, "
                "or name another directory with --out."
            )
        markers = (folder / "started.json", folder / "done.json")
        others = [path for path in folder.glob("*") if not path.name.startswith(".")]
        if others and not any(marker.exists() for marker in markers):
            raise UserError(
                f"{folder} holds files that no stage wrote ({others[0].name}), and the stage "
                f"{name!r} would empty it. Name another directory with --out, or move them."
            )


def _keys_then(run: Run, origin: Mapping[str, Any]) -> dict[str, str]:
    """The keys that the run's present settings had in the version that made it."""
    if _format(origin) == FORMAT:
        return stage_keys(run.recipe, _revisions(origin))
    try:
        before = stage_keys(load_recipe(str(run.directory / "recipe.yaml")))
    except (UserError, OSError):  # settings that this version does not know any more
        return {}
    then = _object(run.directory / "keys.json")
    return {name: key for name, key in then.items() if before.get(name) == run.keys.get(name)}


def _choice(directory: Path, origin: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    seconds = sum(float(marker.get("seconds") or 0) for marker in found.values())
    hours, minutes = divmod(round(seconds / 60), 60)
    changed = sorted(
        kind for kind in {**REVISIONS, **_revisions(origin)}
        if REVISIONS.get(kind, 1) != _revisions(origin).get(kind, 1)
    )  # fmt: skip
    why = (
        f"stages of the kind {', '.join(changed)} leave something else since"
        if changed
        else "it cannot be told whether data and models behind them are still the same files"
    )
    return (
        f"{directory} was made by Heed {_version(origin)} (format {_format(origin)}; this is "
        f"{__version__}, format {FORMAT}). It finished {', '.join(found)} under the same settings "
        f"({hours} h {minutes:02d} min of work), and they would be done again: {why}. Give "
        "--keep-finished to take them over as they are, --fresh to do them again, or another "
        "directory with --out. Nothing was changed."
    )


def check_whole(folder: Path) -> None:
    """Raise UserError where a file of a finished stage cannot be read as what its name says."""
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        try:
            _CHECKS.get(path.suffix, _exists)(path)
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} cannot be read ({error}), so the stage in {folder} cannot be taken over. "
                "Put the whole file back, or do the stage again with --fresh."
            ) from error


def _exists(path: Path) -> None:
    path.stat()


def _json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _json_lines(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            json.loads(line)


def _tensors(path: Path) -> None:
    """The table of a safetensors file, and that the file is as long as it says; no torch."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER), "little")
        if length > path.stat().st_size:
            raise ValueError("its table of tensors is cut off")
        table = json.loads(file.read(length))
    ends = [each["data_offsets"][1] for name, each in table.items() if name != "__metadata__"]
    if path.stat().st_size != HEADER + length + max(ends, default=0):
        raise ValueError("its tensors are cut off")


_CHECKS = {".json": _json, ".jsonl": _json_lines, ".safetensors": _tensors}


def _object(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where it is not there, or no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _version(origin: Mapping[str, Any]) -> str:
    versions = origin.get("versions")
    return str(versions.get("heed", "?")) if isinstance(versions, dict) else "?"


def _format(origin: Mapping[str, Any]) -> int:
    found = origin.get("format", 0)
    return found if isinstance(found, int) else 0


def _revisions(origin: Mapping[str, Any]) -> dict[str, int]:
    found = origin.get("revisions", {})
    return dict(found) if isinstance(found, dict) else {}


def _later(made: str, ours: str) -> bool:
    try:
        return Version(made) > Version(ours)
    except InvalidVersion:
        return False
