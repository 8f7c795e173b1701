"""What to say of errors that are neither the user's mistake nor a defect: disks and databases."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_KEPT = (
    "No file was left half written: what was there before is there still, finished stages and the "
    "last checkpoint are kept."
)


def trouble(error: Exception) -> str | None:
    """One paragraph about an error of the disk or of the database; None for any other."""
    return of_the_disk(error) if isinstance(error, OSError) else of_the_store(error)


def of_the_disk(error: OSError) -> str | None:
    """What could not be read or written, why, and what to do; None where no file was concerned."""
    if error.errno is None or isinstance(error, BrokenPipeError | ConnectionError):
        return None
    place = str(error.filename or "A file")
    if error.errno in _FULL:
        return (
            f"{place} could not be written: {error.strerror}{_room(place)}. {_KEPT} Make room, or "
            "name another disk with --out, then give the same command again: it goes on."
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{place} may not be read or written: {error.strerror}. Change its permissions or the "
            f"disk's, or name another directory. {_KEPT}"
        )
    if error.filename is None:
        return None
    return (
        f"{place} cannot be used: {error.strerror}. See that the path is right and that folders on "
        f"the way are no files, or name another. {_KEPT}"
    )


def _room(place: str) -> str:
    """The space on the disk of a path, and of the nearest folder that there is."""
    for folder in (Path(place), *Path(place).parents):
        if folder.is_dir():
            usage = shutil.disk_usage(folder)
            return f" ({_size(usage.free)} of {_size(usage.total)} free)"
    return ""


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def of_the_store(error: Exception) -> str | None:
    """What to say of an error of the database, where one was in use and failed under way."""
    databases = sys.modules.get("sqlalchemy.exc")
    if databases is None or not isinstance(error, databases.OperationalError):
        return None
    cause = " ".join(str(error.orig).split())
    return (
        f"The store stopped answering: {cause}. What was acknowledged is kept, and nothing is half "
        "done. See that the database runs and its disk has room, then give the same command again."
    )
