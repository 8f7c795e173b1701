"""The benchmarks behind docs/scale.md, on small things."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import devices
from benchmarks.fleet import POLICIES, parser, table
from benchmarks.store_load import Load, line, run

SIDES = {"chosen": "Because", "rejected": "No"}


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


def test_the_table_of_devices_has_a_line_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "some.jsonl"
    pair = {side: f"\n\nHuman: Why?\n\nAssistant: {said}." for side, said in SIDES.items()}
    page.write_text((json.dumps(pair) + "\n") * 40)
    monkeypatch.setattr("sys.argv", ["devices", "--data", str(page)])
    devices.main()
    _, _, head, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["0.5B", "1.5B", "7B", "13B", "70B"]
    assert {line.count("|") for line in lines} == {head.count("|")}
    small, full = lines[0].split(" | ")[1:3]
    assert (small, full) == ("1 / 1 / 1", "1 / 1 / 1")
    assert "none" in lines[-1]
