"""What an import cannot hold is counted and said; what compares nothing is kept aside."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heed.data.tables import length
from heed.errors import UserError
from heed.feedback.contents import read_contents
from heed.feedback.exporting import export_project
from heed.feedback.importing import import_file
from heed.store.database import Store

PAIR = {"prompt": "Rice?", "chosen": "Rinse.", "rejected": "No."}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store.db")
    yield opened
    opened.close()


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_ranking_comes_back_with_a_warning_of_its_weights(store: Store, tmp_path: Path) -> None:
    item = {"id": "i", "prompt": {"id": "p", "messages": [{"role": "user", "content": "Rice?"}]},
            "answers": ["a", "b", "c"]}  # fmt: skip
    said = {"annotator": "ada", "verdict": [1, 2, 3], "order": [0, 1, 2]}
    ranked = write(tmp_path / "a.jsonl", {"item": item, "annotations": [said]})
    assert import_file(store, "there", ranked).warnings == []
    export_project(store, "there", tmp_path / "trl.csv", format="trl")
    report = import_file(store, "back", tmp_path / "trl.csv")
    assert (report.annotations, report.weighted) == (3, 3)
    assert report.warnings[0].startswith("3 rows carry a weight other than 1, which a label does")
    plain = write(tmp_path / "b.jsonl", {**PAIR, "weight": 1}, {**PAIR, "prompt": "Tea?"})
    assert import_file(store, "plain", plain).weighted == 0


def test_ones_own_contradiction_is_counted_and_the_first_one_trains(
    store: Store, tmp_path: Path
) -> None:
    other = {**PAIR, "chosen": "No.", "rejected": "Rinse."}
    path = write(tmp_path / "a.jsonl", PAIR, {**PAIR, "margin": 1.0}, other)
    report = import_file(store, "p", path)
    assert (report.annotations, report.repeats, report.contradictory) == (3, 2, 1)
    assert "1 verdicts contradict an earlier one of the same annotator" in report.warnings[0]
    export_project(store, "p", tmp_path / "out.jsonl", format="trl-plain")
    (row,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(row)["chosen"] == "Rinse."


@pytest.mark.parametrize("format", ["trl", "trl-plain", "hh", "unpaired"])
def test_the_split_comes_back(store: Store, tmp_path: Path, format: str) -> None:
    names = {"train": "train", "heldout": "heldout", "test": "heldout", "validation": "heldout",
             "x": "train"}  # fmt: skip
    rows = [{**PAIR, "prompt": f"{name}?", "split": name} for name in names]
    import_file(store, "p", write(tmp_path / "a.jsonl", *rows))
    export_project(store, "p", tmp_path / "b.jsonl", format=format, split="all")
    import_file(store, "back", tmp_path / "b.jsonl")
    for project in ("p", "back"):
        prompts = [item.prompt for item in read_contents(store, project).items.values()]
        assert {one.text.removesuffix("?"): one.split for one in prompts} == names


def test_rows_that_compare_nothing_are_kept_aside(store: Store, tmp_path: Path) -> None:
    def spoken(question: str, answer: str) -> str:
        return f"\n\nHuman: {question}\n\nAssistant: {answer}"

    good = {"chosen": spoken("Rice?", "Rinse."), "rejected": spoken("Rice?", "No.")}
    unlike = {"chosen": spoken("Rice?", "Rinse."), "rejected": spoken("Tea?", "No.")}
    report = import_file(store, "p", write(tmp_path / "hh.jsonl", good, unlike))
    assert (report.items, sum(report.set_aside.values())) == (1, 1)
    assert report.kept_aside == tmp_path / "hh.jsonl.rejected.jsonl"
    kept = json.loads(report.kept_aside.read_text())
    assert (kept["line"], kept["row"]) == (2, unlike)
    assert kept["reason"] in report.set_aside


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "p", "answers": ["a", " "]}, "line 2: one of the answers is empty"),
        ({"prompt": "p", "answers": list("abcdefghij")}, "10 answers: people rank 9 at most"),
        ({"prompt": "p", "chosen": "a"}, "read as 'items' .*this row's columns are prompt, chosen"),
        ({"item": 5}, "this row's columns are item"),
    ],
)
def test_bad_rows_say_what_helps(store: Store, tmp_path: Path, row: Any, said: str) -> None:
    good = {"prompt": "Rice?", "answers": list("abcdefghi")}
    with pytest.raises(UserError, match=said):
        import_file(store, "p", write(tmp_path / "a.jsonl", good, row))
    assert import_file(store, "p", write(tmp_path / "b.jsonl", good)).items == 1


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(store: Store, tmp_path: Path, mark: str, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"prompt{mark}a{mark}b\np{mark}x{mark}y\n")
    with pytest.raises(UserError, match=f"a.csv, line 1: the columns are separated by {name}"):
        import_file(store, "p", path)


def test_no_words_of_the_validator_leak(store: Store, tmp_path: Path) -> None:
    item = {"id": "i", "prompt": {"id": "p", "messages": []}, "answers": ["a"]}
    path = write(tmp_path / "a.jsonl", {"item": item, "annotations": []})
    with pytest.raises(UserError) as caught:
        import_file(store, "p", path)
    assert "Value error" not in str(caught.value)


def test_the_length_of_a_file_is_known_before_it_is_read(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *[{**PAIR, "prompt": f"{n}?"} for n in range(7)])
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    import_file(store, "p", path)
    export_project(store, "p", tmp_path / "a.parquet", format="trl")
    assert [length(one) for one in (path, zipped, tmp_path / "a.parquet")] == [7, 7, 7]
    (tmp_path / "cut.jsonl.gz").write_bytes(zipped.read_bytes()[:-12])
    assert length(tmp_path / "cut.jsonl.gz") == length(tmp_path / "none.jsonl") == 0
