"""A run's directory: provenance, stages and their markers, metrics.

    runs/demo/
      recipe.yaml        resolved, every default written out
      keys.json          the present key of every stage
      plan.json          what it was to cost, by heed/planning
      provenance.json    versions, git state, command, host
      metrics.jsonl      {"stage", "step", numbers...}: the same on every resume, to the bit
      timing.jsonl       {"stage", "step", "seconds", "spent"}: clocks, which never are, and what
                         went through the models
      <stage>/started.json   the key under which the stage's files were begun
      <stage>/gates.jsonl    {"step", a finding}: what gates found, cut on a resume as metrics are
      <stage>/fresh.jsonl    {"step", a prompt, an answer drawn, its reward, its KL}, cut likewise
      <stage>/planned.json   how many iterations a training will have
      <stage>/done.json      the key, seconds, what was spent and summary: the stage is finished
      report.html, report.json

A recipe of several seeds leaves such a directory for each, runs/methods/seed-0 and so on, and
league.html and league.json beside them.

A stage's key is a hash of its settings, of what the recipe says for all, of the keys of the stages
it reads from, and of what such a stage means in this version of Heed (`REVISIONS`). A finished
stage with the same key is skipped; one with another key is redone. What another version left is
looked at in `heed.upgrade`.
Of the gates, only those that may end a training are part of a key: what only warns or refuses can
be changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from heed.config import dump_recipe
from heed.errors import UserError
from heed.files import discard, naming, write_json, write_text
from heed.lock import locked
from heed.metering import METER, added
from heed.provenance import git_state, provenance
from heed.recipe import Recipe, Settings, Stage

Hear = Callable[[str, str, Sequence[Mapping[str, Any]]], None]
"""Told a stage, one of its files and the rows just appended to it; of `DONE`, its summary."""
SEED = "seed-"
"""What the folders of a recipe's runs begin with, where it asks for several seeds."""
METRICS = "metrics.jsonl"
DONE = "done.json"
GATES = "gates.jsonl"
LOOKS = "looks.jsonl"
FRESH = "fresh.jsonl"
STEPPED = (GATES, LOOKS, FRESH)
"""Files in a stage's folder whose rows say at which step they were written: what gates found (null:
once the stage was done), what a gate looked at beside the metrics, some of the answers drawn."""
PLANNED = "planned.json"
OWN = ("recipe.yaml", "keys.json", "plan.json", "provenance.json", "metrics.jsonl",
       "timing.jsonl", "report.html", "report.json")  # fmt: skip
"""The run's own files, beside those in its stages' folders."""
FORMAT = 1
"""How a run's directory is laid out and how its keys are made; one more when either changes."""
REVISIONS: Mapping[str, int] = {}
"""By kind of stage, one more (from 1) whenever a stage of the same settings comes to leave
something else: another objective, another default, another file. Keys hold this, and not Heed's
version, so that a new version goes on with what still means the same."""


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    Everything random asks for its own, named by stage and iteration, so that resuming needs no
    saved generator state and no stage disturbs another's draws.
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def fingerprint(source: str) -> str:
    """A hash of the content of a file or directory; a hub name stands for itself."""
    path = Path(source)
    if not path.exists():
        return source
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"\0{file.relative_to(path)}\0".encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def stage_keys(recipe: Recipe, revisions: Mapping[str, int] | None = None) -> dict[str, str]:
    """Every stage's key, by name.

    Settings that stand at their defaults are left out: a setting that a later version of Heed adds
    leaves the keys of who does not use it as they were. `revisions`: another version's.
    """
    revisions = REVISIONS if revisions is None else revisions
    of_the_world = recipe.data == "world"
    sources = [recipe.data] if isinstance(recipe.data, str) else recipe.data
    common = {
        "format": FORMAT,
        "seed": recipe.seed,
        "dtype": recipe.dtype,
        "model": recipe.model and fingerprint(recipe.model),
        "data": _chosen(recipe.world) if of_the_world else [fingerprint(name) for name in sources],
    }
    keys: dict[str, str] = {}
    for stage in recipe.stages:
        deciding = recipe.deciding(stage)
        inputs = [keys[name] for name in recipe.made_of(stage)]
        inputs += [fingerprint(name) for name in (*stage.files(), *stage.models())]
        meaning = [stage.kind, revisions.get(stage.kind, 1)]
        parts = [meaning, _chosen(stage), common, inputs, *([deciding] if deciding else [])]
        content = json.dumps(parts, sort_keys=True)
        keys[stage.name] = hashlib.sha256(content.encode()).hexdigest()[:16]
    return keys


def _chosen(settings: Settings) -> dict[str, Any]:
    """The settings that are not what they would be by themselves, less those that are `apart`."""
    chosen = settings.model_dump(exclude_defaults=True)
    for name, value in settings:
        if isinstance(value, Settings) and value.apart and name in chosen:
            kept = {key: each for key, each in chosen[name].items() if key not in value.apart}
            if kept or not isinstance(type(settings).model_fields[name].default, Settings):
                chosen[name] = kept
            else:  # as if nothing had been said of it
                del chosen[name]
    return chosen


def seeds_of(directory: Path) -> list[Path]:
    """The runs that stand in a directory side by side, by seed; empty where it is a run itself."""
    if (directory / "recipe.yaml").exists():
        return []
    found = {
        path.parent: int(path.parent.name.removeprefix(SEED))
        for path in directory.glob(f"{SEED}*/recipe.yaml")
        if re.fullmatch(rf"{SEED}-?\d+", path.parent.name)
    }
    return sorted(found, key=lambda path: (found[path], path.name))


@dataclass(frozen=True)
class StageRun:
    """One stage's place in a run: its folder, its rows of metrics, its marker.

    Only the writer (rank 0 of several processes) touches the disk.
    """

    stage: Stage
    key: str
    directory: Path
    run: Path
    writes: bool = True
    hear: Hear | None = None

    @property
    def name(self) -> str:
        return self.stage.name

    def done(self) -> dict[str, Any] | None:
        """The marker's content if the stage is finished under its present key."""
        marker = _read_json(self.directory / "done.json")
        return marker if marker and marker["key"] == self.key else None

    def done_summary(self) -> dict[str, Any]:
        """What the finished stage said of itself; empty while it is not finished."""
        marker = self.done()
        summary: dict[str, Any] = marker["summary"] if marker else {}
        return summary

    def start(self) -> None:
        """Make the folder ready: kept when it was begun under the same key, emptied otherwise."""
        if not self.writes:
            return
        started = _read_json(self.directory / "started.json")
        if started is None or started["key"] != self.key or (self.directory / "done.json").exists():
            discard(self.directory)
            self.keep_rows(until=0)
            write_json(self.directory / "started.json", {"key": self.key})
        for unfinished in [*self.directory.rglob(".*")]:  # what a kill left of an atomic write
            if unfinished.is_dir():
                rmtree(unfinished)
            else:
                unfinished.unlink(missing_ok=True)  # it may have lain within one that is gone

    def plan(self, iterations: int) -> None:
        """Write down how many iterations there will be, for who watches."""
        if self.writes:
            write_json(self.directory / PLANNED, {"iterations": iterations})

    def log(self, step: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Append one iteration's row; `step` counts from 1. Non-finite numbers become null."""
        if not self.writes:
            return
        row = {"stage": self.name, "step": step}
        finite = {k: (v if math.isfinite(v) else None) for k, v in metrics.items()}
        _append(self.run / METRICS, {**row, **finite})
        clock = {**row, "seconds": round(seconds, 6), "spent": METER.take()}
        _append(self.run / "timing.jsonl", clock)
        self._tell(METRICS, [{**row, **finite}])

    def keep_rows(self, until: int) -> None:
        """Cut this stage's rows after step `until`: they were not covered by a checkpoint."""
        if not self.writes:
            return
        for path in (self.run / METRICS, self.run / "timing.jsonl"):
            _keep(path, lambda row: row["stage"] != self.name or row["step"] <= until)
        for name in STEPPED:
            _keep(self.directory / name, lambda row: (row["step"] or 0) <= until)

    def note(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows to a file of the stage's own, one of `STEPPED`."""
        if self.writes:
            for row in rows:
                _append(self.directory / name, row)
            self._tell(name, rows)

    def noted(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file of the stage's own."""
        return rows_of(self.directory / name)

    def forget(self, name: str, when: Callable[[Mapping[str, Any]], bool]) -> None:
        """Drop rows from a file of the stage's own, before they are written anew."""
        if self.writes:
            _keep(self.directory / name, lambda row: not when(row))

    def logged(self) -> list[dict[str, Any]]:
        """The stage's rows of metrics."""
        return [row for row in rows_of(self.run / METRICS) if row["stage"] == self.name]

    def seconds_logged(self) -> float:
        """What the iterations so far have taken, by the processes before this one too."""
        rows = rows_of(self.run / "timing.jsonl")
        return sum(float(row["seconds"]) for row in rows if row["stage"] == self.name)

    def spent_logged(self) -> dict[str, float]:
        """What the iterations so far have put through models, those of an ensemble's members too,
        by the processes before this one.
        """
        spent: dict[str, float] = {}
        for row in rows_of(self.run / "timing.jsonl"):
            if row["stage"] == self.name or row["stage"].startswith(f"{self.name}."):
                spent = added(spent, row.get("spent", {}))
        return spent

    def finish(
        self,
        seconds: float,
        summary: Mapping[str, Any],
        *,
        memory: int | None = None,
        spent: Mapping[str, float] | None = None,
    ) -> None:
        """Mark the stage as finished; `summary` is what the report reads, `memory` the most bytes
        that it held, where that is known, `spent` what it put through models and its energy.
        """
        if self.writes:
            marker = {
                "key": self.key,
                "kind": self.stage.kind,
                "seconds": round(seconds, 3),
                "memory": memory,
                "spent": dict(spent or {}),
                "git": git_state(Path(__file__).parent),
            }
            write_json(self.directory / DONE, {**marker, "summary": dict(summary)})
            self._tell(DONE, [summary])

    def _tell(self, file: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.hear is not None:
            self.hear(self.name, file, rows)


class Run:
    """A recipe bound to a directory."""

    def __init__(self, recipe: Recipe, directory: Path, *, writes: bool = True) -> None:
        self.recipe = recipe
        self.directory = directory
        self.keys = stage_keys(recipe)
        self.writes = writes
        self.hear: Hear | None = None

    def stage(self, name: str) -> StageRun:
        """The place of a stage of the recipe."""
        stage = self.recipe.stage(name)
        folder = self.directory / name
        return StageRun(stage, self.keys[name], folder, self.directory, self.writes, self.hear)

    def pending(self, only: Recipe | None = None) -> list[str]:
        """Names of the stages that are not finished under their present key, in order."""
        stages = (only or self.recipe).stages
        return [stage.name for stage in stages if self.stage(stage.name).done() is None]

    def prepare(self) -> None:
        """Write the resolved recipe and where the run came from; clear away what a kill left of
        writes to files of the run itself.
        """
        for name in OWN:
            for unfinished in self.directory.glob(f".{name}.*"):
                unfinished.unlink()
        # The first: it says that the others are a run's, and `heed.upgrade` refuses other people's.
        write_json(self.directory / "keys.json", self.keys)
        write_text(self.directory / "recipe.yaml", dump_recipe(self.recipe))
        made_by = {"format": FORMAT, "revisions": dict(REVISIONS)}
        write_json(self.directory / "provenance.json", {**provenance(), **made_by})

    def locked(self) -> AbstractContextManager[None]:
        """Keep a second process out of the directory.

        Raises:
          UserError: another process holds it.
        """
        return locked(self.directory)


def _read_json(path: Path) -> dict[str, Any] | None:
    """A marker's content; None when it is not there. Markers are written whole or not at all.

    Raises UserError where something else damaged it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        content = None
    if not isinstance(content, dict) or "key" not in content:
        raise UserError(
            f"{path} is damaged: it is no marker of a stage. Remove it, and the stage is done "
            "again, or put the whole file back."
        )
    return content


def _append(path: Path, row: Mapping[str, Any]) -> None:
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _keep(path: Path, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    """Write a JSON-lines file anew, if there is one, with the rows that are wanted."""
    if path.exists():
        kept = [row for row in rows_of(path) if wanted(row)]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, less a last one that a kill left torn; none without a file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [_row(path, number, line) for number, line in enumerate(lines[:-1], start=1)]


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row: Any = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or "step" not in row:
        raise UserError(
            f"{path}, line {number}: this is no row that a run wrote. Put the line right or remove "
            "it."
        )
    return row
