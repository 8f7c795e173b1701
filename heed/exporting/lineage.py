"""Where a model comes from: its stages and what was set, the data and their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heed.exporting.found import Found, done
from heed.exporting.hashes import sha256
from heed.recipe import Collect, Pretrain, Records, Stage
from heed.run import fingerprint

WORLD = "world"
SETTINGS = (
    "policy", "reward", "reference", "comparisons", "records", "loss", "beta", "kl.coef", "epochs",
    "iterations", "rollouts", "n", "batch", "context", "optim.lr", "optim.schedule", "lora.rank",
    "lora.alpha", "members",
)  # fmt: skip
"""What a card tells of a stage; the recipe beside it holds all."""
RECORDS = (
    "prompts.jsonl", "demonstrations.jsonl", "corpus.jsonl", "comparisons.jsonl", "heldout.jsonl",
    "unpaired.jsonl",
)  # fmt: skip
NO_DATA = ("iterations", "tokens", "parameters", "minutes", "kept", "stopped", "kl_coef")
"""What stages count that is no data."""
SHORT = 16
"""Hex digits of a hash that a card shows; export.json of the run's own files has all."""


@dataclass(frozen=True)
class File:
    """A file that a stage of the run wrote and another learned from or was measured on."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class DataSource:
    """Where data came from: as the recipe says, and the hash of its content; None where it is not
    here any more (or is a name on the hub).
    """

    name: str
    hash: str | None
    hub: bool


def settings_of(stage: Stage) -> dict[str, Any]:
    """The settings of a stage that matter, those that it has and that are set."""
    given = stage.model_dump()
    found = {name: _at(given, name) for name in SETTINGS}
    return {name: value for name, value in found.items() if value not in (None, [], "")}


def as_it_is(found: Found, stage: Stage) -> bool:
    """Whether a stage hands on a given model and trained nothing."""
    return isinstance(stage, Pretrain) and "source" in _summary(found, stage)


def took(found: Found, stage: Stage) -> float | None:
    """Seconds."""
    marker = done(found.run, stage.name)
    return marker.get("seconds") if marker else None


def counts(found: Found) -> Iterator[tuple[str, str, int]]:
    """(stage, what, how many) of everything that the stages before counted."""
    for stage in found.lineage:
        for name, value in _summary(found, stage).items():
            whole = isinstance(value, int | float) and float(value).is_integer()
            if whole and not isinstance(value, bool) and name not in NO_DATA:
                yield stage.name, name.replace("_", " "), int(value)


def labelled_by(found: Found) -> dict[str, str]:
    """Stage -> who labelled there, as it says itself: simulated, people, a judge."""
    said = {stage.name: _summary(found, stage).get("source") for stage in found.lineage}
    collected = {stage.name for stage in found.lineage if isinstance(stage, Collect)}
    return {name: str(who) for name, who in said.items() if who and name in collected}


def _summary(found: Found, stage: Stage) -> Mapping[str, Any]:
    marker = done(found.run, stage.name) or {}
    summary: Mapping[str, Any] = marker.get("summary") or {}
    return summary


def files(found: Found) -> list[File]:
    """What the stages before wrote for others to learn from, with its hashes."""
    paths = [found.run / stage.name / name for stage in found.lineage for name in RECORDS]
    return [
        File(str(path.relative_to(found.run)), _rows(path), sha256(path))
        for path in paths
        if path.is_file() and path.stat().st_size
    ]


def sources(found: Found) -> list[DataSource]:
    """The recipe's data; none of its own where it is the embedded world."""
    data = found.recipe.data
    named = [data] if isinstance(data, str) else list(data)
    if WORLD in named or not any(isinstance(stage, Records) for stage in found.lineage):
        return []
    return [_source(each) for each in named]


def _source(name: str) -> DataSource:
    here = Path(name).exists()
    hub = not here and "/" in name and is_hub_name(name)  # data are read from owner/name alone
    return DataSource(name if hub else Path(name).name, fingerprint(name) if here else None, hub)


def is_hub_name(name: str) -> bool:
    """Whether it can only be a name on the hub: owner/name, and no such path here."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if Path(name).exists() or name.startswith(("/", ".", "~")) or Path(name).suffix in _FILES:
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


_FILES = (".jsonl", ".json", ".gz", ".csv", ".tsv", ".parquet", ".txt", ".zst")


def _at(given: Mapping[str, Any], path: str) -> Any:
    value: Any = given
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())
