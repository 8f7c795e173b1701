"""Records written down while long work goes on, so that a kill loses the last few only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from heed.files import read_records, write_records

Record = TypeVar("Record")


class Journal(Generic[Record]):
    """A JSON-lines file of dataclass records that grows by whole, durable lines."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self.path = path
        self.kind = kind

    def read(self) -> list[Record]:
        """What was written; a last line that a kill tore is cut off."""
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)
        return read_records(self.path, self.kind)

    def resume(
        self, wanted: Sequence[str], name: Callable[[Record], str], chunk: int
    ) -> list[Record]:
        """What is written of the work `wanted`, by name and in order; the file keeps nothing else.

        Only whole chunks of so many, or all: what was begun of another is done again, since its
        seed is the chunk's.
        """
        written = self.read()
        alike = [name(record) == want for record, want in zip(written, wanted, strict=False)]
        known = alike.index(False) if False in alike else len(alike)
        whole = known if known == len(wanted) else known - known % chunk
        self.keep(written[:whole])
        return written[:whole]

    def keep(self, records: Sequence[Record]) -> None:
        """Let the file hold these and nothing else."""
        write_records(self.path, records)

    def append(self, records: Sequence[Any]) -> None:
        """Add records; they are on disk when this returns."""
        lines = [json.dumps(asdict(record), ensure_ascii=False) for record in records]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
