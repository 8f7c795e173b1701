"""The parts on whose values and on what is made up, from a whole miniature run."""

from __future__ import annotations

import json
from pathlib import Path

from heed.report.page import write_report
from heed.report.parts import hallucination, values
from heed.report.read import read_run


def test_they_show_what_evaluate_left(run_copy: Path) -> None:
    page = write_report(run_copy).read_text()
    assert "Whose values" in page
    assert "Made up, and can it be told?" in page
    report = json.loads((run_copy / "report.json").read_text())
    assert report["values"]["annotators"] > 1


def test_names_are_escaped(run_copy: Path) -> None:
    path = run_copy / "evaluate/values.json"
    found = path.read_text()
    name = next(iter(next(iter(json.loads(found)["wins"].values()))["people"]))
    path.write_text(found.replace(f'"{name}"', '"<script>alert(1)</script>"'))
    page = write_report(run_copy).read_text()
    assert "<script>alert(1)" not in page


def test_nothing_left_is_no_part(run_copy: Path) -> None:
    for name in ("values.json", "hallucination.json"):
        (run_copy / "evaluate" / name).write_text("{}")
    view = read_run(run_copy)
    assert values.read(run_copy, view) is None
    assert hallucination.read(run_copy, view) is None
    (run_copy / "evaluate/values.json").write_text("not JSON")
    assert values.read(run_copy, view) is None


def test_every_two_of_three_groups_stand_in_the_page(run_copy: Path) -> None:
    path = run_copy / "evaluate/values.json"
    found = json.loads(path.read_text())
    names = sorted({who for one in found["groupings"] for g in one["groups"].values() for who in g})
    groups = {"north": names[:5], "south": names[5:10], "west": names[10:]}
    known = {"mean": 0.25, "low": 0.2, "high": 0.3, "n": 40}
    two = [("north", "south"), ("north", "west"), ("south", "west")]
    pairs = [
        {"first": a, "second": b, "apart": {"left": known}, "families": {"left": {"verse": known}}}
        for a, b in two
    ]
    grouping = {"by": "team", "how": "field", "groups": groups, "level": 1 - 0.05 / 3}
    voted = {**grouping, "habits": {"left": dict.fromkeys(groups, known)}, "pairs": pairs}
    won = {**grouping, "groups": dict.fromkeys(groups, known)}
    won["pairs"] = [{**pair, "apart": known, "families": {"verse": known}} for pair in pairs]
    for each in found["wins"].values():
        each["groupings"].append(won)
    found["groupings"].append(voted)
    path.write_text(json.dumps(found))
    page = write_report(run_copy).read_text()
    assert page.count("Apart: south less west") == 2
    assert "all of one grouping hold together" in page
    assert "on verse: south choose the left answer" in page
    assert "win rate among north, less that among west (team)" in page
