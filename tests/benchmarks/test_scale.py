"""The benchmarks behind docs/scale.md, on small things."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fleet import POLICIES, parser, table
from benchmarks.store_load import Load, line, run


def test_the_table_of_fleets_has_a_line_a_rule() -> None:
    given = parser().parse_args(["--rounds", "3", "--batch", "32", "--slots", "2"])
    head, under, *lines = table(given)
    assert [line[:22].rstrip() for line in lines] == [policy.name for policy in POLICIES]
    assert len({len(each) for each in (head, *lines)}) == 1
    assert len(under) < len(head)


def test_every_label_of_a_loaded_store_is_there(tmp_path: Path) -> None:
    found = run(str(tmp_path / "store.db"), Load(annotators=3, processes=2, seconds=0.3), 2000)
    assert found.problems == []
    assert found.rate > 0
    assert line("sqlite", found).split()[:2] == ["sqlite", "3"]
