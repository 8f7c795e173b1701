"""A JSON-lines file that another process writes, read on from where the last look stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

Row = dict[str, Any]
BATCH = 5_000
"""Rows that are handed over at a time."""
_KNOWN = 64
"""Bytes before the place where reading stopped by which the file is known again."""


class Growing:
    """Reads what was added; a last line that is not whole yet is left for the next look.

    A file that was written anew (a resumed run cuts rows) is read from its beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._last = b""
        self._inode = 0

    def more(self) -> tuple[bool, list[Row]]:
        """(are earlier rows void?, the next rows, at most BATCH); no file has no rows.

        Lines that hold no JSON object are passed over.
        """
        try:
            with self.path.open("rb") as file:
                anew = not self._same(file)
                if anew:
                    self._at, self._last = 0, b""
                return anew, self._read(file)
        except OSError:  # not there yet, or being replaced
            anew = self._at > 0
            self._at, self._last = 0, b""
            return anew, []

    def batches(self) -> Iterator[tuple[bool, list[Row]]]:
        """What `more` says until nothing is left: a long file is not held in memory at once."""
        while True:
            anew, rows = self.more()
            yield anew, rows
            if len(rows) < BATCH:
                return

    def _same(self, file: IO[bytes]) -> bool:
        """Whether this is the file that was read, with more behind it."""
        stat = os.fstat(file.fileno())
        inode, self._inode = self._inode, stat.st_ino
        if stat.st_ino != inode or stat.st_size < self._at:
            return self._at == 0
        file.seek(self._at - len(self._last))
        return file.read(len(self._last)) == self._last

    def _read(self, file: IO[bytes]) -> list[Row]:
        rows: list[Row] = []
        file.seek(self._at)
        for line in file:
            if len(rows) == BATCH or not line.endswith(b"\n"):
                break
            self._at += len(line)
            self._last = line[-_KNOWN:]
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows
