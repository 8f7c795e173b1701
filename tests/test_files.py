"""Writes are whole or not there; records come back as they went."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from heed.errors import UserError
from heed.files import discard, new_directory, read_records, write_json, write_records, write_text
from heed.types import (
    Annotation,
    Comparison,
    Completion,
    Demonstration,
    Item,
    Message,
    Pair,
    Prompt,
)

PROMPT = Prompt("p", (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Go")))
RECORDS = [
    PROMPT,
    Completion(PROMPT, "a\nb", "length", "m", (1, 2), (3,), (-0.5,), (-0.25,)),
    Demonstration(PROMPT, "text"),
    Pair("i", PROMPT, "l", "r"),
    Annotation("i", "ann", 8, 2.5),
    Annotation("i", "ann", "both_bad"),
    Annotation("i", "ann", (2, 1, 2), order=(2, 0, 1), rewrite="r", tags=("t",), comment="c"),
    Item("i", PROMPT, ("a", "b", "c"), ("m", "n", "o"), (1, 2, 3), 0.5),
    Item("i", PROMPT, ("a", "b"), known=7),
    Comparison(PROMPT, "é", "\u2028", 1 / 3),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_round_trip(tmp_path: Path, record: object) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    assert write_records(path, [record, record]) == 2
    assert read_records(path, type(record)) == [record, record]


def test_a_broken_record_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [PROMPT])
    with path.open("a") as file:
        file.write('\n{"id": 3}\n')
    with pytest.raises(UserError, match=r"records.jsonl, line 3: not a Prompt record \(field id\)"):
        read_records(path, Prompt)
    with pytest.raises(UserError, match="Cannot read"):
        read_records(tmp_path / "none.jsonl", Prompt)


def test_text_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr("os.fsync", _full_disk)
    with pytest.raises(OSError, match="disk is full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with new_directory(path) as directory:
        (directory / "a").write_text("1")
        (directory / "a").chmod(0o600)
        (directory / "sub").mkdir()
    assert stat.S_IMODE((path / "a").stat().st_mode) == 0o644
    with new_directory(path) as directory:
        write_json(directory / "b", {"x": 1})
    assert [entry.name for entry in path.iterdir()] == ["b"]
    with pytest.raises(RuntimeError):
        _fail_halfway(path)
    assert [entry.name for entry in path.iterdir()] == ["b"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_grade_is_one_to_eight() -> None:
    with pytest.raises(ValueError, match=r"1\.\.8"):
        Annotation("i", "a", 9)
    sides = [Annotation("i", "a", grade).prefers_left for grade in range(1, 9)]
    assert sides == [True] * 4 + [False] * 4
    assert Annotation("i", "a", "tie").prefers_left is None


def _full_disk(descriptor: int) -> None:
    raise OSError("disk is full")


def _fail_halfway(path: Path) -> None:
    with new_directory(path) as directory:
        (directory / "c").write_text("1")
        raise RuntimeError


def test_an_error_of_the_disk_names_the_file_that_was_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(path, "new")
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="No space left") as caught, new_directory(tmp_path / "m"):
        raise RuntimeError("Error while serializing: I/O error: No space (os error 28)")
    assert caught.value.filename == str(tmp_path / "m")
    with pytest.raises(FileNotFoundError) as lost, new_directory(tmp_path / "m") as folder:
        (folder.parent / "other").read_text()
    assert lost.value.filename == str(tmp_path / "other")
    with pytest.raises(RuntimeError, match="a defect"), new_directory(tmp_path / "m"):
        raise RuntimeError("a defect")
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"
    with pytest.raises(NotADirectoryError):
        write_text(path / "b" / "c.json", "new")


def test_discarding_is_one_step(tmp_path: Path) -> None:
    discard(tmp_path / "a")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".a.old").mkdir()  # what a kill left of an earlier one
    discard(tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_directory_that_stepped_aside_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "old.txt").write_text("old")
    rename = Path.rename

    def broken(self: Path, target: Path) -> Path:
        if target == place and (self / "new.txt").exists():
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises((KeyboardInterrupt, OSError)), new_directory(place) as folder:
        (folder / "new.txt").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert (place / "old.txt").read_text() == "old"
