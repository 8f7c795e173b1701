"""The queue's statements: each of them is a walk of an index, on a full store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from labelling import item, project
from sqlalchemy import Select

from heed.store import annotations, drafts, guidelines, items, leases, members, standings
from heed.store.database import Store

STATEMENTS = {
    "open": leases.OPEN,
    "expired": leases.EXPIRED,
    "by rank": leases.BY_RANK,
    "by priority": leases.BY_PRIORITY,
    "gold": leases.GOLD,
    "repeat": leases.REPEAT,
    "last answered": leases.LAST_ANSWERED,
    "find": leases.FIND,
    "lost": leases.LOST,
    "standing": standings.LOCK,
    "counts": standings.COUNTS,
    "key": annotations.BY_KEY,
    "of slot": annotations.OF_SLOT,
    "revision": annotations.REVISION,
    "item": items.OF_ROW,
    "draft": drafts.READ,
    "guideline": guidelines.LATEST_VERSION,
    "member": members.OF_ID,
}
VALUES = {
    "project": 1, "member": 1, "slot": 5, "item": 5, "start": 0.5, "up_to": 5, "key": "k",
    "handle": "0123456789abcdef",
    "now": "2030-01-01 00:00:00.000000",
}  # fmt: skip


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """10,000 items on SQLite, some of them gold."""
    folder: Path = tmp_path_factory.mktemp("full")
    store = Store.open(folder / "store.db")
    many = [item(f"{at}", known=1 if at % 50 == 0 else None) for at in range(10_000)]
    project(store, many, per_item=2)
    yield store
    store.close()


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_of_the_queue_scans_or_sorts(full: Store, name: str) -> None:
    statement: Select[tuple[object, ...]] = STATEMENTS[name]
    with full.read() as session:
        connection = session.connection()
        compiled = statement.compile(connection)
        values = tuple(VALUES.get(key, compiled.params[key]) for key in compiled.positiontup)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)
        steps = [str(row.detail) for row in plan]
    assert steps
    assert not [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step]
    assert all("USING" in step for step in steps if step.startswith("SEARCH"))
