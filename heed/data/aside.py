"""Broken rows: kept in a file with place and reason, the good ones beside it, and what is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heed.data.formats import FORMATS
from heed.data.llmfao import companion, pairs_path
from heed.data.rows import BadRow, Row
from heed.data.survey import Survey
from heed.data.tables import read_rows
from heed.files import new_file

SHOWN = 5
"""Rows that a message names; all stand in the file."""
BROKEN = "broken.jsonl"


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the good rows are, a file each source's, and where the broken ones."""

    good: Path
    broken: Path


def write_rejected(path: Path, rows: Iterable[BadRow]) -> None:
    """Rows as JSON lines of place, line, reason and row, atomically."""
    with new_file(path) as file:
        for row in rows:
            told = {"place": row.place, "line": row.number, "reason": row.why, "row": row.row}
            # Escaped, for what was rejected may be what UTF-8 cannot hold.
            file.write(json.dumps(told, default=str).encode() + b"\n")


def keep_apart(survey: Survey, directory: Path) -> Kept:
    """Write every row that can be used to DIRECTORY/good/, and the broken ones to
    DIRECTORY/broken.jsonl.

    The good ones are what their files hold, as JSON lines, and can take their place as `data`; so
    where they have, DIRECTORY-2 is written, and theirs stay as they are.
    """
    directory = _apart(survey, directory)
    kept = Kept(directory / "good", directory / BROKEN)
    write_rejected(kept.broken, survey.broken)
    broken = {row.place for row in survey.broken}
    taken: set[Path] = set()
    for number, (file, format) in enumerate(survey.formats.items(), start=1):
        path = kept.good / f"{_stem(file)}.jsonl"
        if path in taken:
            # Behind the name, which may say that its rows are held out.
            path = path.with_stem(f"{path.stem}-{number}")
        taken.add(path)
        with new_file(path) as good:
            for row in read_rows(file):
                if isinstance(row, Row) and row.place not in broken:
                    good.write(json.dumps(row.values, ensure_ascii=False, default=str).encode())
                    good.write(b"\n")
        if FORMATS[format].companions:
            shutil.copyfile(companion(Path(file)), pairs_path(path))
    return kept


def _apart(survey: Survey, directory: Path) -> Path:
    """The directory, or one beside it where a file that was read lies in it."""
    read = [Path(file).resolve() for file in survey.formats]
    found, number = directory, 1
    while any(file.is_relative_to(found.resolve()) for file in read):
        number += 1
        found = directory.with_name(f"{directory.name}-{number}")
    return found


def _stem(file: str) -> str:
    name = Path(file).name
    for suffix in (".gz", ".jsonl", ".ndjson", ".json", ".csv", ".parquet"):
        name = name.removesuffix(suffix)
    return name


def refusal(survey: Survey, kept: Kept, ways: str = "") -> str:
    """What is wrong with which rows, where they are kept, and how to go on (a recipe's ways, unless
    others are given).
    """
    ways = ways or (
        f"set data to {kept.good}, or go on without them with `records: {{broken: skip}}`"
    )
    rows = survey.broken
    shown = "; ".join(f"{row.place}: {row.why}" for row in rows[:SHOWN])
    more = f"; and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return (
        f"{count} of {survey.rows:,} cannot be used: {shown}{more}. All of them stand with their "
        f"reasons in {kept.broken}, the good rows in {kept.good}. Repair them, {ways}."
    )
