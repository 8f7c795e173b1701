"""Which files a source means: a file, all of a directory, a directory that `datasets` saved, or a
data set's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from heed.data.fields import is_held_out
from heed.data.llmfao import is_companion
from heed.data.tables import CONTAINERS, is_saved, kind_of
from heed.errors import UserError

NO_DATA = re.compile(r"\..*|.*\.(about|rejected|broken)\.jsonl?|dataset_infos?\.json")
"""Names of files beside data: hidden ones, what Heed writes about an export or leaves out of an
import, what the hub keeps of a data set."""


def files_of(sources: Sequence[str]) -> list[str]:
    """Every file, saved directory or data set's name that is meant, each once.

    A directory stands for all the tables in it, at any depth, by name.

    Raises:
        UserError: a directory holds none, or cannot be read.
    """
    found = [file for source in sources for file in _files(Path(source), source)]
    return list(dict.fromkeys(found))


def _files(path: Path, source: str) -> list[str]:
    if not path.is_dir() or is_saved(path):
        return [source]
    try:
        found = [str(file) for file in sorted(_tables(path))]
    except OSError as error:
        raise UserError(
            f"{path}: the directory cannot be read to its end ({error.strerror}: "
            f"{error.filename}). Name the files themselves, or repair it."
        ) from error
    if not found:
        raise UserError(
            f"{path} holds no {', '.join(CONTAINERS)} file (plain or, if text, .gz). Give the "
            "folder or the files of your preferences or demonstrations."
        )
    return found


def _tables(directory: Path) -> Iterator[Path]:
    for entry in directory.iterdir():
        if NO_DATA.fullmatch(entry.name):
            continue
        if not entry.is_dir():
            if kind_of(entry) in CONTAINERS and not is_companion(entry):
                yield entry
        elif is_saved(entry):
            yield entry
        elif not entry.is_symlink():  # which may lead back up
            yield from _tables(entry)


def names_held_out(file: str) -> bool:
    """Whether a file's name says that its rows are not to train on: test-00000-of-00001.parquet."""
    return is_held_out(re.split(r"[-.]", Path(file).name)[0])
