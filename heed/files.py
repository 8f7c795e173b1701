"""Writes that are whole or not there: temporary name, fsync, rename.

A reader, or the next run after a power cut, sees the old content or the new, never a part.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from heed.errors import UserError

Record = TypeVar("Record")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the disk in the block name the file that the user knows, no temporary one
    and not nothing, as a failed write does.

    Libraries that write by themselves (safetensors) tell a full disk in words only.
    """
    try:
        yield
    except OSError as error:
        own = str(path.with_name(f".{path.name[:40]}."))  # what temporary names begin with
        if error.errno is None or not str(error.filename or own).startswith(own):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        code = next((code for code in _FULL if f"(os error {code})" in str(error)), None)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Fill a file under a temporary name; on success it takes the place of `path`.

    Parents are made. If the block raises, `path` stays as it was.

    Raises OSError that names `path`, where the disk is full or does not take it.
    """
    # A name cut short leaves room for what is added where the path's own is as long as may be.
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    temporary = Path(name)
    try:
        with naming(path):
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` atomically; parents are made."""
    with new_file(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Fill a directory under a temporary name; on success it takes the place of `path`.

    Files are made readable for all (libraries write weights with mode 0600) and synced before
    the rename. If the block raises, `path` stays as it was.

    Raises OSError that names `path`, where the disk is full or does not take it.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with naming(path):
            yield temporary
            temporary.chmod(0o755)
            for file in temporary.rglob("*"):
                file.chmod(0o755 if file.is_dir() else 0o644)
                if file.is_file():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            fsync_directory(temporary)
            exchange(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_directory(path.parent)


def exchange(new: Path, path: Path) -> None:
    """Put `new` where `path` is.

    A directory cannot be renamed onto a full one, so that one steps aside first. A crash between
    the two renames leaves the old content under `.NAME.old`.
    """
    aside = path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        if path.exists():
            path.rename(aside)
        new.rename(path)
    except BaseException:  # Ctrl-C between the two, too
        if aside.exists() and not path.exists():
            aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a directory, if it is there, as one step: a crash leaves it whole or hidden."""
    aside = path.with_name(f".{path.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if path.exists():
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def write_records(path: Path, records: Iterable[Any]) -> int:
    """Write dataclass records as JSON lines, atomically; returns how many."""
    lines = [json.dumps(asdict(record), ensure_ascii=False) for record in records]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Read JSON lines as records of `kind`.

    Raises UserError with file and line where a line is no such record.
    """
    adapter = TypeAdapter(kind)
    records: list[Record] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(adapter.validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"{path}, line {number}: not a {kind.__name__} record"
                f"{f' (field {where})' if where else ''}: {first['msg']}."
            ) from error
    return records
