"""Tables from outside, row by row: JSON lines and arrays, CSV, Parquet, `datasets`.

A row that cannot be read is handed on as a BadRow with its place, and reading goes on; a file that
is broken as a whole (cut short, not what its name says) is a UserError.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from heed.data.fields import is_held_out
from heed.data.rows import BadRow, Row, RowError, check_texts
from heed.errors import UserError

LONGEST = 1 << 24
"""Bytes of a line, characters of a CSV cell; whatever is longer is no row of preferences."""
BATCH = 1024
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WHITE = re.compile(r"[ \t\r\n]*")
_MESSAGES = ("prompt", "chosen", "rejected", "completion")
_LISTS = ("messages", "answers", "models")

SEPARATORS = {";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"}

Rows = Iterator[Row | BadRow]


def read_rows(source: str | Path) -> Rows:
    """Rows of a file, of a directory that `datasets` saved, or of a data set on the hub.

    Raises:
        UserError: there is no such thing, its kind is unknown, or it is broken as a whole.
    """
    path = Path(source)
    if path.is_dir():
        return _saved_dataset(path)
    suffix = kind_of(path)
    if path.exists():
        if suffix not in CONTAINERS:
            raise UserError(
                f"{path}: what kind of file this is, {suffix or 'without a suffix'}, is unknown. "
                f"Heed reads {', '.join(CONTAINERS)} (text also with .gz) and directories that "
                "`datasets` saved."
            )
        return _checked(CONTAINERS[suffix](path))
    if suffix in CONTAINERS or not _HUB_NAME.fullmatch(str(source)):
        raise UserError(f"{path} does not exist. Give a file, a saved directory or owner/name.")
    return _hub_dataset(str(source))


def written_lines(path: Path, what: str) -> Iterator[tuple[str, str]]:
    """(place, line) of a text file's lines that are not blank.

    Raises:
        UserError: the file, which holds `what`, cannot be read as text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the {what} in {path}: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path}, line {number}", line


def length(source: str | Path) -> int:
    """How many lines (text) or rows (Parquet) a file has, as `Row.number` counts them.

    0 where that is not known, or where the file cannot be read, which reading it will say.
    """
    path = Path(source)
    suffix = kind_of(path)
    if not path.is_file() or suffix not in LENGTHS:
        return 0
    try:
        return LENGTHS[suffix](path)
    except (OSError, EOFError, zlib.error, ValueError):
        return 0


def _line_count(path: Path) -> int:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _row_count(path: Path) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def is_saved(path: Path) -> bool:
    """Whether `datasets` saved this directory."""
    return any((path / name).exists() for name in ("state.json", "dataset_dict.json"))


def kind_of(path: Path) -> str:
    """The suffix that tells what kind of table a file is, one of `CONTAINERS` if any."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return plain.suffix + (".gz" if path.suffix == ".gz" and plain.suffix == ".parquet" else "")


def _checked(rows: Rows) -> Rows:
    for row in rows:
        yield _checked_row(row) if isinstance(row, Row) else row


def _checked_row(row: Row) -> Row | BadRow:
    try:
        check_texts(row.values)
    except RowError as error:
        return row.bad(str(error))
    return row


class _Position:
    """How far a text has been read, for the message when it breaks off."""

    line = 0


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], _Position]]:
    """The file's bytes, unzipped. Raises UserError where they cannot be read to the end."""
    position = _Position()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise UserError(f"{path} is UTF-16. Save it as UTF-8.")
            file.seek(0)
            yield cast(IO[bytes], file), position
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}, after line {position.line}: cannot be read ({error}). "
            "Copy or download the file again."
        ) from error


def _json_lines(path: Path) -> Rows:
    with _opened(path) as (file, position):
        while line := file.readline(LONGEST + 1):
            position.line += 1
            if len(line) > LONGEST:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST)
                place = f"{path}, line {position.line}"
                yield BadRow(place, position.line, f"a line of over {LONGEST:,} bytes", "")
            elif line := line.removeprefix(b"\xef\xbb\xbf" if position.line == 1 else b"").strip():
                yield _json_row(path, position.line, line)


def _json_row(path: Path, number: int, line: bytes) -> Row | BadRow:
    try:
        return Row(str(path), number, _object(json.loads(line.decode(), parse_constant=_refuse)))
    except UnicodeDecodeError:
        why = "this is not UTF-8"
    except RowError as error:
        why = str(error)
    except (ValueError, RecursionError) as error:
        why = f"this is not JSON ({error})"
    return BadRow(f"{path}, line {number}", number, why, line.decode(errors="backslashreplace"))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowError(f"a row is a JSON object, this is a {type(value).__name__}")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _json_file(path: Path) -> Rows:
    """An array of objects, or objects one a line."""
    with _opened(path) as (file, _):
        start = file.read(LONGEST).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return _json_array(path) if start == b"[" else _json_lines(path)


def _json_array(path: Path) -> Rows:
    with _opened(path) as (file, _):
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise UserError(f"{path}, line {line}: this is not UTF-8. Save it as UTF-8.") from error
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at, line, counted = _white(text, _white(text, 0) + 1), 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {line}: this is not JSON ({error}).") from error
        try:
            yield Row(str(path), line, _object(value))
        except RowError as error:
            yield BadRow(f"{path}, line {line}", line, str(error), value)
        at = _white(text, at)
        if text[at : at + 1] == ",":
            at = _white(text, at + 1)
        elif text[at : at + 1] != "]":
            raise UserError(f"{path}, line {line}: after this record a comma or ] is missing.")
    if _white(text, at + 1) != len(text):
        raise UserError(f"{path}: something stands after the end of the array.")


def _white(text: str, at: int) -> int:
    found = _WHITE.match(text, at)
    return found.end() if found else at


def _csv_file(path: Path) -> Rows:
    """A header and rows; bytes that are not UTF-8 turn up as broken Unicode in their row."""
    csv.field_size_limit(LONGEST)
    with _opened(path) as (file, position):
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        reader = csv.reader(text, strict=True)
        header: list[str] | None = None
        while True:
            position.line = reader.line_num
            place, number = f"{path}, line {position.line + 1}", position.line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(place, number, f"this is not CSV ({error})", "")
                continue
            if header is None:
                header = _header(path, cells)
            elif len(cells) != len(header):
                why = f"{len(cells)} cells, but the header names {len(header)} columns"
                yield BadRow(place, number, why, cells)
            else:
                values = {name: _cell(name, cell) for name, cell in zip(header, cells, strict=True)}
                yield Row(str(path), number, values)


def _header(path: Path, cells: list[str]) -> list[str]:
    if found := next((mark for mark in SEPARATORS if len(cells) == 1 and mark in cells[0]), ""):
        raise UserError(
            f"{path}, line 1: the columns are separated by {SEPARATORS[found]}; Heed reads commas. "
            "Save the file as comma-separated CSV."
        )
    if len(set(cells)) < len(cells) or not all(cells):
        raise UserError(f"{path}, line 1: each column needs a name of its own, got {cells}.")
    return cells


def _cell(column: str, text: str) -> Any:
    """A list written as JSON where the column holds one: messages, answers, models."""
    if not text.startswith("[") or column not in _MESSAGES + _LISTS:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    of_messages = value and all(
        isinstance(turn, dict) and set(turn) == {"role", "content"} for turn in value
    )
    return value if of_messages or column in _LISTS else text


def _parquet_file(path: Path) -> Rows:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(str(path), number, values, "row")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{path}, after row {number}: cannot be read as Parquet ({_in_a_line(error)}). "
            "Copy or download the file again."
        ) from error


def _saved_dataset(path: Path) -> Rows:
    if not is_saved(path):
        there = sorted(file.name for file in path.iterdir() if kind_of(file) in CONTAINERS)
        raise UserError(
            f"{path} is no directory that `datasets` saved. Give one file"
            f"{': ' + ', '.join(there[:5]) if there else ''}."
        )
    import datasets

    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: `datasets` cannot load it ({_in_a_line(error)}). Save it again."
        ) from error
    return _checked(_dataset_rows(str(path), found))


def _hub_dataset(name: str) -> Rows:
    import datasets

    try:
        found = datasets.load_dataset(name)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UserError(
            f"{name} is neither a file nor a directory, and no data set of this name could be "
            f"loaded from the hub ({reason}). Correct the path, or go online."
        ) from error
    return _checked(_dataset_rows(name, found))


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _dataset_rows(name: str, found: Any) -> Rows:
    """Rows of all parts. A column `split` says which part a row is of, where it has none such and
    the parts have names: what others held out to test on is not to be trained on.
    """
    splits = dict(found) if hasattr(found, "keys") else {"": found}
    for split, table in splits.items():
        number = 0
        for batch in table.iter(batch_size=BATCH):
            columns = list(batch)
            for cells in zip(*batch.values(), strict=True):
                number += 1
                values = dict(zip(columns, cells, strict=True))
                if split and "split" not in values:
                    values["split"] = "heldout" if is_held_out(split) else "train"
                yield Row(f"{name}, {split}" if split else name, number, values, "row")


CONTAINERS: dict[str, Callable[[Path], Rows]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_file,
    ".csv": _csv_file,
    ".parquet": _parquet_file,
}
LENGTHS: dict[str, Callable[[Path], int]] = {
    ".jsonl": _line_count,
    ".ndjson": _line_count,
    ".csv": _line_count,
    ".parquet": _row_count,
}
