"""Whether the places that Heed writes to can do what it asks of them: whole writes (rename, fsync),
locks between processes, and SQLite, which network drives are known to break.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from heed.doctoring.check import Check
from heed.files import fsync_directory

GROUP = "Files"
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "lustre", "gpfs",
           "ceph", "beegfs")  # fmt: skip
"""File systems on which SQLite's locks are not to be relied upon."""
MOUNTS = Path("/proc/mounts")
LITTLE = 2 * 2**30
"""Bytes below which a run may not end: a demo writes a few hundred MB, models more."""
GIB = 2**30


def places(runs: Path) -> Iterator[Check]:
    """The temporary folder, and where runs are written (or the nearest folder that is there)."""
    yield from place("temporary folder", Path(tempfile.gettempdir()), needs_sqlite=False)
    folder = runs.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    yield from place("runs", folder, needs_sqlite=True)


def place(name: str, folder: Path, *, needs_sqlite: bool) -> Iterator[Check]:
    """Try everything in a folder of its own, which is taken away again."""
    try:
        trial = Path(tempfile.mkdtemp(prefix=".heed-doctor-", dir=folder))
    except OSError as error:
        yield Check(
            GROUP, name, "broken", f"{folder} cannot be written to: {error.strerror}",
            f"give yourself the right to write there, or name another place (--out{_or_tmp(name)})",
        )  # fmt: skip
        return
    tries = {**TRIES, **({"SQLite": sqlite} if needs_sqlite else {})}
    try:
        failed = {what: why for what, work in tries.items() if (why := _tried(work, trial))}
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    kind = file_system(folder)
    for what, why in failed.items():
        yield Check(
            GROUP, name, "broken", f"{folder}{_of(kind)}: {what} does not work there ({why})",
            "write runs to a local disk (--out)",
        )  # fmt: skip
    if not failed:
        says = f"{folder}{_of(kind)}: {', '.join(tries)} work"
        if kind in NETWORK:
            yield Check(
                GROUP, name, "note", f"{says}, but locks of a network drive may fail under load",
                "keep labels (feedback.db) on a local disk, or in PostgreSQL", kind,
            )  # fmt: skip
        else:
            yield Check(GROUP, name, "fine", says, value=kind)
    yield _room(name, folder)


def rename(trial: Path) -> None:
    """A file takes another's place, a folder an empty name."""
    new, old = trial / "new", trial / "old"
    for path in (new, old):
        path.write_text(path.name)
    new.replace(old)
    (trial / "a").mkdir()
    (trial / "a").rename(trial / "b")
    if old.read_text() != "new" or not (trial / "b").is_dir():
        raise OSError("what was renamed is not where it should be")


def fsync(trial: Path) -> None:
    """Content and names reach the disk."""
    with (trial / "synced").open("wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    fsync_directory(trial)


def flock(trial: Path) -> None:
    """A lock keeps a second holder out."""
    path = trial / "lock"
    with path.open("a+") as first, path.open("a+") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise OSError("two could hold one lock")


def sqlite(trial: Path) -> None:
    """A database in the mode that the store uses takes a row."""
    database = sqlite3.connect(trial / "trial.db", timeout=5.0)
    try:
        (mode,) = database.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise OSError(f"journal_mode is {mode}, not wal")
        with database:
            database.execute("CREATE TABLE t (x INTEGER)")
            database.execute("INSERT INTO t VALUES (1)")
    finally:
        database.close()


TRIES: dict[str, Callable[[Path], None]] = {"rename": rename, "fsync": fsync, "flock": flock}


def file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of file system that a folder lies on; None where nobody says."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    place, best, kind = folder.resolve(), -1, None
    for line in lines:
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(words[1].replace("\\040", " "))
        # Of two mounts on one point the later one is seen.
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), words[2]
    return kind


def _tried(work: Callable[[Path], None], trial: Path) -> str:
    """Why it does not work; nothing where it does."""
    try:
        work(trial)
    except (OSError, sqlite3.Error) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _room(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    says = f"{free / GIB:.1f} GiB free in {folder}"
    if free < LITTLE:
        return Check(GROUP, f"{name}: disk", "note", says, "make room, or use another disk", free)
    return Check(GROUP, f"{name}: disk", "fine", says, value=free)


def _of(kind: str | None) -> str:
    return f" ({kind})" if kind else ""


def _or_tmp(name: str) -> str:
    return ", TMPDIR" if name == "temporary folder" else ""
