"""Imports: all of a file or nothing of it, and every mistake by its line."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heed.data.preferences import read_preferences
from heed.data.tables import LONGEST
from heed.errors import UserError
from heed.feedback.contents import read_contents
from heed.feedback.importing import import_file
from heed.store import projects
from heed.store.database import Store

ROBOT = [{"role": "robot", "content": "x"}]
NO_TEXT: list[Any] = [None, 5, True, {}, [1], "\ud800", "a\x00b"]
NO_PROMPT: list[Any] = [5, True, {}, [], [1], " ", ROBOT, [{"role": "user"}], "\udfff", "\x00"]
ANSWERS = ["Rinse, then boil.", "Boil it."]
PERSON = {"annotator": "ada", "verdict": 2, "order": [0, 1]}
ITEM = {"id": "i", "prompt": {"id": "p", "messages": [{"role": "user", "content": "Rice?"}]},
        "answers": ANSWERS}  # fmt: skip

GOOD: dict[str, dict[str, Any]] = {
    "trl": {"prompt": "Rice?", "chosen": "Rinse, then boil.", "rejected": "Boil it."},
    "items": {"prompt": "Rice?", "answers": ANSWERS},
    "unpaired": {"prompt": "Rice?", "completion": "Boil it.", "label": True},
    "hh": {"chosen": "\n\nHuman: Rice?\n\nAssistant: Rinse.",
           "rejected": "\n\nHuman: Rice?\n\nAssistant: No."},
    "heed": {"item": ITEM, "annotations": [PERSON]},
    "argilla": {"id": "r", "fields": {"prompt": "Rice?", "response_1": "a", "response_2": "b"},
                "responses": {"preference": [{"value": "response_1", "user_id": "u"}]}},
    "ultrafeedback": {"instruction": "Rice?",
                      "completions": [{"response": "a", "overall_score": 4},
                                      {"response": "b", "overall_score": 2}]},
}  # fmt: skip
WRONG: dict[str, dict[str, list[Any]]] = {
    "trl": {
        "prompt": NO_PROMPT, "chosen": NO_TEXT, "rejected": [*NO_TEXT, ROBOT],
        "margin": ["much", True, [], "nan", {}], "annotator": [[], {}, 5.5, " ", "x" * 200],
    },
    "items": {
        "prompt": [*NO_PROMPT, None],
        "answers": [None, "x", [], ["a"], ["a", 1], ["a", ""], ["a", "\x00"],
                    ["a", "b" * 500_000]],
        "known": [0, 9, "maybe", [1], [1, 3], [0, 1], [2, 2], True, 2.5, {}],
        "models": [["m"], 5, [1, 2]], "priority": ["high", [], True], "split": ["test", 5],
        "id": [[], {}, 1.5, "x" * 600],
    },
    "unpaired": {"prompt": NO_PROMPT, "completion": NO_TEXT, "label": [None, 2, "maybe"]},
    "hh": {"chosen": NO_TEXT, "rejected": NO_TEXT},
    "heed": {
        "item": [None, 5, {}, {**ITEM, "id": ""}, {**ITEM, "answers": ["a"]},
                 {**ITEM, "known": 9}, {**ITEM, "answers": "ab"}],
        "annotations": [None, 5, [5], [{}], [{**PERSON, "verdict": 9}], [PERSON, PERSON],
                        [{**PERSON, "annotator": ""}], [{**PERSON, "order": [0, 0]}],
                        [{**PERSON, "order": [0, 1, 2], "verdict": "tie"}],
                        [{**PERSON, "seconds": -1}], [{**PERSON, "revision": -1}],
                        [{**PERSON, "occasion": 2**40}], [{**PERSON, "tags": ["x" * 500]}]],
    },
    "argilla": {
        "fields": [{}, {"prompt": "Rice?"}, {"response_1": "a", "response_2": "b"},
                   {"prompt": 5, "response_1": "a", "response_2": "b"},
                   {"prompt": "Rice?", "response_1": "a", "response_2": 5}],
        "responses": [5, {"preference": [5]}, {"mood": [{"value": "fine", "user_id": "u"}]}],
        "suggestions": [[1]],
    },
    "ultrafeedback": {
        "instruction": NO_PROMPT,
        "completions": [None, [], [5, 5], [{"response": "a", "overall_score": 1}],
                        [{"response": "a"}, {"response": "b"}],
                        [{"response": "a", "overall_score": "x"}] * 2],
    },
}  # fmt: skip
BROKEN_LINES = {
    "cut": b'{"prompt": "a", "chosen": ',
    "bare words": b"{prompt: a}",
    "single quotes": b"{'prompt': 'a'}",
    "open array": b"[1, 2",
    "array": b"[]",
    "null": b"null",
    "number": b"3",
    "text": b'"text"',
    "two objects": b'{"a": 1}{"b": 2}',
    "NUL": b"\x00",
    "latin-1": b'{"prompt": "caf\xe9"}',
    "NaN": b'{"prompt": NaN}',
    "Infinity": b'{"prompt": -Infinity}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "huge number": b'{"prompt": ' + b"1" * 5_000 + b"}",
    "huge line": b'{"prompt": "' + b"x" * LONGEST + b'"}',
    "tab in text": b'{"prompt": "a\tb"}',
}
ROW = b'{"prompt": "p", "chosen": "a", "rejected": "b"}'
BROKEN_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "holds no rows"),
    "blank": ("a.jsonl", b"\n\n \n", "holds no rows"),
    "only a BOM": ("a.jsonl", b"\xef\xbb\xbf", "holds no rows"),
    "not a line of JSON": ("a.jsonl", b"hello\nworld\n", "a.jsonl, line 1: this is not JSON"),
    "UTF-16": ("a.jsonl", ROW.decode().encode("utf-16"), "UTF-16"),
    "unknown suffix": ("a.xlsx", ROW, "what kind of file"),
    "no suffix": ("data", ROW, "what kind of file"),
    "cut gzip": ("a.jsonl.gz", gzip.compress(ROW * 100)[:-12], "a.jsonl.gz, after line"),
    "no gzip": ("a.jsonl.gz", ROW, "a.jsonl.gz, after line 0: cannot be read"),
    "zipped parquet": ("a.parquet.gz", gzip.compress(b"PAR1"), "what kind of file"),
    "no parquet": ("a.parquet", b"PAR1 or not", "a.parquet, after row 0"),
    "empty parquet": ("a.parquet", b"", "a.parquet, after row 0"),
    "open array": ("a.json", b"[" + ROW, "a.json, line 1: after this record"),
    "no comma": ("a.json", b"[" + ROW + b"\n" + ROW + b"]", "a.json, line 1: after this record"),
    "after the array": ("a.json", b"[" + ROW + b"] x", "something stands after"),
    "cut array": ("a.json", b"[" + ROW + b",\n{", "a.json, line 2: this is not JSON"),
    "array not UTF-8": ("a.json", b'[{"a": 1},\n"\xe9"]', "a.json, line 2: this is not UTF-8"),
    "empty array": ("a.json", b"[]", "holds no rows"),
    "empty json": ("a.json", b"", "holds no rows"),
    "empty csv": ("a.csv", b"", "holds no rows"),
    "only a header": ("a.csv", b"prompt,chosen,rejected\n", "holds no rows"),
    "two equal columns": ("a.csv", b"prompt,chosen,chosen\na,b,c\n", "a.csv, line 1: each column"),
    "a nameless column": ("a.csv", b"prompt,,chosen\na,b,c\n", "a.csv, line 1: each column"),
    "csv with semicolons": ("a.csv", b"prompt;chosen;rejected\na;b;c\n", "by semicolons"),
    "unknown columns": ("a.jsonl", b'{"text": "a", "stars": 5}', r"text, stars.*trl: prompt"),
    "too many columns": (
        "a.jsonl",
        b'{"prompt": "p", "chosen": "a", "rejected": "b", "completion": "c", "label": true}',
        "more than one format: trl, unpaired",
    ),
    "demonstrations": ("a.jsonl", b'{"prompt": "p", "completion": "c"}', "1 demonstrations"),
    "votes alone": ("a.csv", b"id,worker,winner,left,right\n1,w,left,a,b\n", "--companion"),
    "only equal answers": (
        "a.jsonl", b'{"prompt": "p", "chosen": "a", "rejected": "a"}', "1 equal answers"
    ),
}  # fmt: skip
BROKEN_CSV = {
    "short": b"p,a\n",
    "long": b"p,a,b,c\n",
    "quote inside": b'p,"a"x,b\n',
    "NUL": b"p,a\x00,b\n",
    "latin-1": b"caf\xe9,a,b\n",
    "blank prompt": b" ,a,b\n",
}


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store to copy: making one takes longer than most tests here."""
    path = tmp_path_factory.mktemp("blank") / "store.db"
    Store.open(path).close()
    return path


@pytest.fixture(scope="module")
def shared(blank: Path) -> Iterator[Store]:
    """One store for many tests, each with a project of its own."""
    opened = Store.open(shutil.copy(blank, blank.with_name("shared.db")))
    yield opened
    opened.close()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:100]


@pytest.fixture
def store(blank: Path, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(shutil.copy(blank, tmp_path / "store.db"))
    yield opened
    opened.close()


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def another(format: str) -> list[dict[str, Any]]:
    """A good row of each format about another prompt."""
    told = json.dumps(GOOD[format]).replace("Rice", "Beans").replace('"id": "', '"id": "other-')
    rows = [json.loads(told)]
    if format == "unpaired":
        rows.append({**rows[0], "completion": "Soak.", "label": False})
    return rows


def untouched(store: Store, project: str) -> None:
    with store.read() as session:
        assert projects.find(session, project) is None


def refused(store: Store, path: Path, place: str, project: str = "p") -> str:
    """The message of an import that must fail and name the place."""
    with pytest.raises(UserError) as caught:
        import_file(store, project, path)
    untouched(store, project)
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wrong_rows() -> list[Any]:
    return [
        pytest.param(format, column, value, id=f"{format}-{column}-{number}")
        for format, columns in WRONG.items()
        for column, values in columns.items()
        for number, value in enumerate(values)
    ]


def test_there_are_many_malformed_inputs() -> None:
    assert len(wrong_rows()) + len(BROKEN_LINES) + len(BROKEN_FILES) + len(BROKEN_CSV) >= 150


@pytest.mark.parametrize(("format", "column", "value"), wrong_rows())
def test_a_wrong_value_is_named_by_its_line(
    shared: Store, project: str, tmp_path: Path, format: str, column: str, value: Any
) -> None:
    first = another(format)
    place = f"a.jsonl, line {len(first) + 1}"
    path = write(tmp_path / "a.jsonl", *first, {**GOOD[format], column: value})
    refused(shared, path, place, project)
    report = import_file(shared, project, path, keep_good=True)
    assert (report.format, report.items) == (format, 1)
    assert [error[0] for error in report.errors] == [f"{tmp_path}/{place}"]


@pytest.mark.parametrize("name", BROKEN_LINES)
def test_a_broken_line_is_named_and_kept_aside(
    shared: Store, project: str, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([ROW, BROKEN_LINES[name], ROW.replace(b'"p"', b'"q"')]))
    message = refused(shared, path, "a.jsonl, line 2: ", project)
    aside = tmp_path / "a.jsonl.rejected.jsonl"
    assert str(aside) in message
    assert json.loads(aside.read_text())["line"] == 2
    report = import_file(shared, project, path, keep_good=True)
    assert (report.items, len(report.errors), report.kept_aside) == (2, 1, aside)


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_refused(shared: Store, project: str, tmp_path: Path, name: str) -> None:
    file, data, words = BROKEN_FILES[name]
    (tmp_path / file).write_bytes(data)
    with pytest.raises(UserError, match=words):
        import_file(shared, project, tmp_path / file)
    with pytest.raises(UserError):
        import_file(shared, project, tmp_path / file, keep_good=True)
    untouched(shared, project)


@pytest.mark.parametrize("name", BROKEN_CSV)
def test_a_broken_row_of_csv_is_named(
    shared: Store, project: str, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'prompt,chosen,rejected\n"two\nlines",a,b\n' + BROKEN_CSV[name] + b"q,a,b\n")
    refused(shared, path, "a.csv, line 4: ", project)
    assert import_file(shared, project, path, keep_good=True).items == 2


def test_what_is_not_there_is_said(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "a.jsonl", GOOD["trl"])
    refused(store, tmp_path / "missing.jsonl", "does not exist")
    refused(store, tmp_path / "missing", "does not exist")
    refused(store, tmp_path / "folder", "Give one file: a.jsonl")
    with pytest.raises(UserError, match=r"owner/name is neither a file nor a directory"):
        import_file(store, "p", "owner/name")
    with pytest.raises(UserError, match=r"There is no format 'xml'\. Choose one of: heed"):
        import_file(store, "p", write(tmp_path / "a.jsonl", GOOD["trl"]), format="xml")


@pytest.mark.parametrize("format", GOOD)
def test_the_same_file_again_changes_nothing(store: Store, tmp_path: Path, format: str) -> None:
    path = write(tmp_path / "a.jsonl", *another(format), *another(format)[::-1])
    first = import_file(store, "p", path)
    assert (first.items, first.known) == (1, 0)
    if format != "unpaired":
        assert first.duplicates == 1
    before = read_contents(store, "p")
    again = import_file(store, "p", path)
    assert (again.items, again.annotations, again.duplicates) == (0, 0, 0)
    assert again.known == len(path.read_text().splitlines()) // (4 if format == "unpaired" else 1)
    assert read_contents(store, "p") == before


def test_swapped_sides_are_found(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"prompt": "p", "answers": ["x", "y"]})
    write(tmp_path / "b.jsonl", {"prompt": "p", "a": "y", "b": "x"})
    write(tmp_path / "c.jsonl", {"prompt": "p", "chosen": "y", "rejected": "x"},
          {"prompt": "p", "chosen": "x", "rejected": "y"})  # fmt: skip
    assert import_file(store, "p", tmp_path / "a.jsonl").items == 1
    assert import_file(store, "p", tmp_path / "b.jsonl").known == 1
    report = import_file(store, "p", tmp_path / "c.jsonl")
    assert (report.items, report.annotations, report.repeats) == (0, 2, 1)
    contents = read_contents(store, "p")
    (item,) = contents.items.values()
    assert item.answers == ("x", "y")
    assert [(one.ranks, one.occasion) for one in contents.latest] == [((2, 1), 0), ((1, 2), 1)]


def test_the_same_id_with_another_content_is_an_error(store: Store, tmp_path: Path) -> None:
    row = {"id": "q1", "prompt": "p", "answers": ["x", "y"], "known": 2}
    import_file(store, "p", write(tmp_path / "a.jsonl", row))
    swapped = {**row, "answers": ["y", "x"], "known": 7}
    assert import_file(store, "p", write(tmp_path / "b.jsonl", swapped)).known == 1
    for change, words in (
        ({"answers": ["x", "z"]}, "belongs to another prompt or other answers"),
        ({"known": 3}, "its known verdict 2"),
    ):
        path = write(tmp_path / "c.jsonl", {**row, **change})
        with pytest.raises(UserError, match=f"c.jsonl, line 1: .*{words}"):
            import_file(store, "p", path)
    report = import_file(store, "p", write(tmp_path / "d.jsonl", {**row, "id": "q2"}))
    assert (report.items, report.alike) == (1, 1)


def test_a_contradiction_on_record_is_an_error(store: Store, tmp_path: Path) -> None:
    import_file(store, "p", write(tmp_path / "a.jsonl", GOOD["heed"]))
    other = {"item": ITEM, "annotations": [{**PERSON, "verdict": 7}]}
    before = read_contents(store, "p")
    with pytest.raises(UserError, match="'ada' is on record with another verdict on 'i'"):
        import_file(store, "p", write(tmp_path / "b.jsonl", another("heed")[0], other))
    assert read_contents(store, "p") == before


def test_an_annotator_has_one_source(store: Store, tmp_path: Path) -> None:
    rows = [{**GOOD["trl"], "annotator": "ada", "source": source} for source in ("people", "judge")]
    rows[1]["prompt"] = "Beans?"
    path = write(tmp_path / "a.jsonl", *rows)
    refused(store, path, "a.jsonl, line 2: 'ada' is known as source 'people'")


def test_an_annotator_of_another_source_is_named_by_line(store: Store, tmp_path: Path) -> None:
    """Names are the store's, not the project's: here it was another one that made her known."""
    signed = {**GOOD["trl"], "annotator": "ada"}
    import_file(store, "other", write(tmp_path / "a.jsonl", {**signed, "source": "people"}))
    rows = {**signed, "annotator": "bob"}, {**signed, "prompt": "Beans?"}
    path = write(tmp_path / "b.jsonl", *rows)
    refused(store, path, "b.jsonl, line 2: 'ada' is known as source 'people', this row says")
    report = import_file(store, "p", path, keep_good=True)
    assert (report.items, report.annotations, len(report.errors)) == (1, 1, 1)
    # What is there already adds nothing, whoever is said to have said it.
    assert import_file(store, "other", write(tmp_path / "c.jsonl", signed)).known == 1


def test_sides_are_drawn_evenly(store: Store, tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no"} for n in range(400)]
    heard: list[tuple[str, int, int]] = []
    import_file(
        store, "p", write(tmp_path / "a.jsonl", *rows), annotator="ada",
        progress=lambda *told: heard.append(told),
    )  # fmt: skip
    latest = read_contents(store, "p").latest
    assert {one.annotator for one in latest} == {"ada"}
    assert 150 < sum(one.verdict == (1, 2) for one in latest) < 250
    assert heard[0] == ("read", 1, 400)
    assert heard[-1] == ("store", 800, 800)


def test_the_report_says_it_in_a_line(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD["trl"], GOOD["trl"], {**GOOD["trl"], "prompt": 5},
                 {**GOOD["trl"], "chosen": "Boil it."})  # fmt: skip
    assert str(import_file(store, "p", path, keep_good=True)) == (
        "Imported (trl): items: 1; annotations: 1; duplicates: 1; equal answers: 1; "
        f"rows in error: 1. The rows left out stand in {path}.rejected.jsonl."
    )


def test_thousands_of_rows_take_seconds(store: Store, tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no"} for n in range(2_000)]
    start = time.process_time()
    assert import_file(store, "p", write(tmp_path / "a.jsonl", *rows)).items == 2_000
    assert time.process_time() - start < 4


def test_a_column_that_later_rows_lack(tmp_path: Path) -> None:
    """The first row tells the format; none of the others need be of it."""
    for format, row in GOOD.items():
        for column in row:
            write(tmp_path / "a.jsonl", *another(format), {**row, column: None})
            lacking = {name: value for name, value in row.items() if name != column}
            write(tmp_path / "b.jsonl", *another(format), lacking)
            found = [read_preferences(tmp_path / name)[1] for name in ("a.jsonl", "b.jsonl")]
            assert len(found[0].errors) == len(found[1].errors), (format, column)


def test_a_runs_items_can_be_labelled_elsewhere(store: Store, tmp_path: Path) -> None:
    report = import_file(store, "p", write(tmp_path / "items.jsonl", ITEM, ITEM))
    assert (report.format, report.items, report.duplicates) == ("items", 1, 1)
    assert read_contents(store, "p").items["i"].prompt.id == "p"
    refused(store, write(tmp_path / "a.jsonl", {**ITEM, "prompt": {}}), "a.jsonl, line 1", "q")
