"""What a source stands for, and every kind of file that it may be."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from heed.data.sources import files_of
from heed.data.survey import survey
from heed.data.writing import WRITERS, write_rows
from heed.errors import UserError

ROWS = [
    {"prompt": f"Why {n}?", "chosen": "Because.", "rejected": f'"No", {n}.\nSo.', "margin": 1.0}
    for n in range(5)
]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_says_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"prefs{kind}"
    write_rows(path, ROWS)
    found = survey([str(path)])
    assert [each.rejected for each in found.comparisons] == [row["rejected"] for row in ROWS]
    assert {each.margin for each in found.comparisons} == {1.0}
    assert (found.rows, found.broken, found.share) == (5, (), 1.0)


def test_parts_of_a_saved_data_set_are_its_split(tmp_path: Path) -> None:
    parts = {"train_prefs": ROWS[:3], "test_prefs": ROWS[3:]}
    tables = {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}
    datasets.DatasetDict(tables).save_to_disk(str(tmp_path / "saved"))
    found = survey([str(tmp_path / "saved")])
    assert [each.prompt.split for each in found.comparisons] == ["train"] * 3 + ["heldout"] * 2


def test_a_directory_stands_for_its_tables(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/c.csv.gz", "a/.hidden.jsonl", "x.jsonl.about.json", "notes.md",
                 "votes.csv", "votes.pairs.jsonl", "x.jsonl.rejected.jsonl"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    write_rows(tmp_path / "saved", ROWS)
    found = files_of([str(tmp_path), str(tmp_path / "b.jsonl"), "owner/name"])
    assert [Path(file).name for file in found] == ["c.csv.gz", "b.jsonl", "saved", "votes.csv",
                                                   "name"]  # fmt: skip


def test_a_directory_without_tables_or_that_holds_itself(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \.jsonl"):
        files_of([str(tmp_path)])
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]))
    assert files_of([str(tmp_path)]) == [str(tmp_path / "a.jsonl")]
