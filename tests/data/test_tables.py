"""Every kind of table, there and back."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heed.data.rows import BadRow, Row
from heed.data.tables import read_rows
from heed.data.writing import WRITERS, check_writable, write_rows
from heed.errors import UserError

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from("\r\n\t\"',;\u2028\u2029\u0085\ufeff\U0001f469\u200d\u0301\u202e ")
)
rows = st.lists(
    st.fixed_dictionaries({"prompt": texts, "margin": st.floats(0, 1), "label": st.booleans()}),
    min_size=1,
    max_size=5,
)
turns = [{"role": "user", "content": 'Say "hi",\nplease'}, {"role": "assistant", "content": "[]"}]


def good(path: Path) -> list[Row]:
    found = list(read_rows(path))
    assert all(isinstance(row, Row) for row in found), found
    return [row for row in found if isinstance(row, Row)]


def as_csv(row: dict[str, Any]) -> dict[str, Any]:
    """CSV knows texts alone."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(rows)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("tables") / f"a{kind}"
    write_rows(path, rows)
    expected = [as_csv(row) for row in rows] if kind == ".csv" else rows
    assert [row.values for row in good(path)] == expected
    data = path.read_bytes() if path.is_file() else b""
    write_rows(path, rows)
    assert path.is_dir() or path.read_bytes() == data


@pytest.mark.parametrize("kind", WRITERS)
def test_messages_survive(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    write_rows(path, [{"messages": turns, "prompt": turns[:1]}])
    assert [row.values for row in good(path)] == [{"messages": turns, "prompt": turns[:1]}]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".parquet"])
def test_the_library_everyone_uses_loads_them(tmp_path: Path, kind: str) -> None:
    write_rows(tmp_path / f"a{kind}", [{"prompt": "a\nb", "margin": 0.5}] * 3)
    names = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(
        names[kind], data_files=str(tmp_path / f"a{kind}"), cache_dir=str(tmp_path / "c")
    )
    assert loaded["train"].to_list() == [{"prompt": "a\nb", "margin": 0.5}] * 3


def test_a_cell_of_csv_that_only_looks_like_messages_is_text(tmp_path: Path) -> None:
    cells = ["[", "[1, 2]", '[{"role": "user"}]', '["a"]', "[" * 10_000]
    write_rows(tmp_path / "a.csv", [{"prompt": cell} for cell in cells])
    assert [row.values["prompt"] for row in good(tmp_path / "a.csv")] == cells


def test_byte_order_marks_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}')
    assert [(row.number, row.values["a"]) for row in good(tmp_path / "a.jsonl")] == [(1, 1), (3, 2)]
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfprompt,a\r\n"x\r\ny",1\r\nz,2\r\n')
    found = good(tmp_path / "a.csv")
    assert [(row.number, row.values["prompt"]) for row in found] == [(2, "x\r\ny"), (4, "z")]
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf [\n{"a": 1},\n\n{"a": 2}\n]\n')
    assert [(row.number, row.values["a"]) for row in good(tmp_path / "a.json")] == [(2, 1), (4, 2)]
    (tmp_path / "b.json").write_bytes(b'{"a": 1}\n{"a": 2}\n')
    assert [row.number for row in good(tmp_path / "b.json")] == [1, 2]


def test_rows_of_an_array_that_are_no_objects_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1},\n5,\n{"a": "\\ud800"}]')
    first, second, third = read_rows(tmp_path / "a.json")
    assert isinstance(first, Row)
    assert isinstance(second, BadRow)
    assert isinstance(third, BadRow)
    assert (second.number, third.number) == (2, 3)
    assert "broken Unicode" in third.why


def test_splits_are_read_one_after_the_other(tmp_path: Path) -> None:
    splits = {name: datasets.Dataset.from_list([{"a": name}] * 2) for name in ("train", "test")}
    datasets.disable_progress_bars()
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "d"))
    assert [(row.place, row.values["a"]) for row in good(tmp_path / "d")] == [
        (f"{tmp_path}/d, {name}, row {number}", name)
        for name in ("train", "test")
        for number in (1, 2)
    ]
    (tmp_path / "d" / "train" / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="cannot load it"):
        list(read_rows(tmp_path / "d"))


def test_a_place_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(string.ascii_letters)
    with pytest.raises(UserError, match=r"Cannot write .*a.jsonl"):
        write_rows(tmp_path / "a" / "a.jsonl", [{"a": 1}])
    with pytest.raises(UserError, match="is a file"):
        write_rows(tmp_path / "a", [{"a": 1}])
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match=r"something else \(it holds 'thesis.tex'\)"):
        write_rows(tmp_path / "work", [{"a": 1}])
    assert (tmp_path / "work" / "thesis.tex").read_text() == "years"
    for nameless in (Path(), Path("..")):
        with pytest.raises(UserError, match="has no name of its own"):
            write_rows(nameless, [{"a": 1}])
    with pytest.raises(UserError, match=r"is written as \.jsonl, a directory"):
        check_writable(tmp_path / "a.xml", (".jsonl", ""))
    assert (tmp_path / "a").read_text() == string.ascii_letters


def test_what_a_data_set_holds_out_stays_held_out(tmp_path: Path) -> None:
    """Parts are told apart by name; a column `split` of the rows' own says it better."""
    datasets.disable_progress_bars()
    names = ("train", "test", "validation", "test_prefs", "train_prefs", "testimonies")
    splits = {name: datasets.Dataset.from_list([{"a": name}]) for name in names}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "d"))
    assert {row.values["a"]: row.values["split"] for row in good(tmp_path / "d")} == {
        "train": "train", "test": "heldout", "validation": "heldout", "test_prefs": "heldout",
        "train_prefs": "train", "testimonies": "train",
    }  # fmt: skip
    own = {"test": datasets.Dataset.from_list([{"a": 1, "split": "train"}])}
    datasets.DatasetDict(own).save_to_disk(str(tmp_path / "own"))
    assert [row.values["split"] for row in good(tmp_path / "own")] == ["train"]
    splits["train"].save_to_disk(str(tmp_path / "whole"))
    assert [row.values for row in good(tmp_path / "whole")] == [{"a": "train"}]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Dataset scripts are no longer supported, but found it.py"),
        datasets.exceptions.DatasetGenerationError("An error occurred\nwhile it was made"),
        ValueError("Config name is missing."),
    ],
)
def test_a_data_set_that_cannot_be_made_is_the_users_mistake(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(_: str) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(UserError, match=r"owner/name is neither .* the hub \([^\n]+\)\."):
        list(read_rows("owner/name"))


def test_what_is_wrong_with_a_broken_table_is_one_paragraph(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_rows(path, [{"a": f"text {n}"} for n in range(50)])
    data = bytearray(path.read_bytes())
    data[4:200:7] = bytes(byte ^ 0x55 for byte in data[4:200:7])
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"cannot be read as Parquet") as caught:
        list(read_rows(path))
    assert "\n" not in str(caught.value)
