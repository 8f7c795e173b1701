"""Tables to the outside: JSON lines, a JSON array, CSV, Parquet, a directory of `datasets`.

What is written is whole or not there, like everything Heed writes.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from heed.errors import UserError
from heed.files import new_directory, new_file

Rows = Sequence[dict[str, Any]]
_SAVED = re.compile(r"(state|dataset_info)\.json|.*\.arrow")
"""Files of a directory that `datasets` saved."""


def check_writable(path: Path, kinds: Sequence[str]) -> None:
    """Raise UserError where `path` names none of these kinds of table ("" is a directory)."""
    if _kind(path) not in kinds:
        listed = ", ".join(kind or "a directory (no suffix)" for kind in kinds)
        raise UserError(f"{path}: this format is written as {listed}. Name the file accordingly.")


def write_rows(path: Path, rows: Rows) -> None:
    """Write the rows as the kind of table that `path` names by its suffix.

    Raises:
        UserError: the kind is unknown, or the place cannot be written to.
    """
    check_writable(path, tuple(WRITERS))
    try:
        WRITERS[_kind(path)](path, rows)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


def _kind(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def _lines(rows: Rows) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _write_lines(path: Path, rows: Rows) -> None:
    with new_file(path) as file:
        file.writelines(_lines(rows))


def _write_zipped_lines(path: Path, rows: Rows) -> None:
    # Neither name nor time goes in, so that equal rows make equal files.
    with new_file(path) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped:
        cast(IO[bytes], zipped).writelines(_lines(rows))


def _write_array(path: Path, rows: Rows) -> None:
    with new_file(path) as file:
        file.write(b"[\n" + b",\n".join(line[:-1] for line in _lines(rows)) + b"\n]\n")


def _write_csv(path: Path, rows: Rows) -> None:
    """Lists as JSON, truth as true and false; every cell quoted, so that no line end is lost."""
    with new_file(path) as file:
        writer = csv.writer(_Encoder(file), quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(columns := list(rows[0]))
        writer.writerows([_cell(row[column]) for column in columns] for row in rows)


class _Encoder:
    """What csv writes text to, in UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, text: str) -> int:
        return self.file.write(text.encode())


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_parquet(path: Path, rows: Rows) -> None:
    import pyarrow
    import pyarrow.parquet

    with new_file(path) as file:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)


def _write_dataset(path: Path, rows: Rows) -> None:
    import datasets

    _check_replaceable(path)
    with new_directory(path) as directory:
        table = datasets.Dataset.from_list(list(rows))
        hidden = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            table.save_to_disk(str(directory))
        finally:
            if not hidden:
                datasets.enable_progress_bars()


def _check_replaceable(path: Path) -> None:
    """Raise UserError where a directory of this name would take the place of something else."""
    if path.is_file():
        raise UserError(f"{path} is a file. Name another directory, or give the file's suffix.")
    if path.name in ("", ".."):
        raise UserError(f"{path} has no name of its own. Name a new directory for the data set.")
    others = [] if not path.exists() else sorted(file.name for file in path.iterdir())
    others = [name for name in others if not _SAVED.fullmatch(name)]
    if others:
        raise UserError(
            f"{path} is a directory of something else (it holds {others[0]!r}), which would be "
            "lost. Name a new one, or give the suffix of a file."
        )


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".jsonl": _write_lines,
    ".jsonl.gz": _write_zipped_lines,
    ".json": _write_array,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    "": _write_dataset,
}
