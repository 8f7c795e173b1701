"""Reads what W&B wrote offline: records in blocks, as in a log of LevelDB's."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768


def _records(file: Path) -> Iterator[bytes]:
    data, at, parts = file.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a whole one, or the last part of one
            yield parts
            parts = b""


def read(file: Path) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Rows of history in order, the summary, the settings."""
    from wandb.proto import wandb_internal_pb2

    history, summary, config = [], {}, {}
    for raw in _records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            history.append(_plain(record.history.item))
        elif kind == "summary":
            summary |= _plain(record.summary.update)
        elif kind == "run":
            config |= _plain(record.run.config.update)
    return history, summary, config


def _plain(items: Any) -> dict[str, Any]:
    found = {}
    for item in items:
        name = item.key or "/".join(item.nested_key)
        found[name] = json.loads(item.value_json)
    return found
