"""Broken rows apart from good ones: held-out rows stay so, and no file that was read is lost."""

from __future__ import annotations

from pathlib import Path

from own_model import write_rows

from heed.data.aside import keep_apart
from heed.data.survey import survey


def row(prompt: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": "yes", "rejected": "no"}


def test_good_rows_of_files_of_one_name_keep_their_side(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder, name in (("one", "train"), ("one", "test"), ("two", "test")):
        (data / folder).mkdir(parents=True, exist_ok=True)
        write_rows(data / folder / f"{name}.jsonl", [row(folder + name), row(f"{folder}{name} 2")])
    before = survey([str(data)])
    kept = keep_apart(before, tmp_path / "aside")
    after = survey([str(kept.good)])
    sides = [{(each.text, each.split) for each in found.prompts} for found in (before, after)]
    assert sides[0] == sides[1]
    assert [split for _, split in sides[1]].count("heldout") == 4


def test_a_file_that_was_read_is_not_written_over(tmp_path: Path) -> None:
    aside = tmp_path / "records.aside"
    good = aside / "good"
    good.mkdir(parents=True)
    repaired = write_rows(good / "prefs.jsonl", [row("a"), row("b")])
    repaired.write_text(repaired.read_text() + '{"prompt": "torn\n')
    was = repaired.read_bytes()
    kept = keep_apart(survey([str(good)]), aside)
    assert kept.good == tmp_path / "records.aside-2" / "good"
    assert repaired.read_bytes() == was
    assert len((kept.good / "prefs.jsonl").read_text().splitlines()) == 2
