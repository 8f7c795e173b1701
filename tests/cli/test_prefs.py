"""`heed prefs`, as a person would use it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from needs import data_folder
from typer.testing import CliRunner, Result

from heed.cli.main import app
from heed.data.formats import FORMATS
from heed.feedback.exporting import TARGETS

ROWS = [
    {"prompt": f"{n}?", "chosen": "Yes, of course.", "rejected": "No.", "margin": 1,
     "annotator": name, "source": source}
    for n in range(6)
    for name, source in (("ada", "people"), ("bob [x]", "people"), ("gpt", "judge"))
]  # fmt: skip
ROWS[1] |= {"chosen": "No.", "rejected": "Yes, of course."}

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["prefs", *words])


@pytest.fixture
def votes(tmp_path: Path) -> str:
    write(tmp_path / "votes.jsonl", ROWS)
    return "votes.jsonl"


def write(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def figures(result: Result) -> dict[str, list[str]]:
    """The tables' rows by their first cell."""
    cells = [line.split("   ") for line in result.stdout.splitlines() if line.strip()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in cells]
    return {row[0]: row[1:] for row in rows if row}


def test_in_and_out_again(run: Run, votes: str, tmp_path: Path) -> None:
    imported = run("import", votes)
    assert imported.exit_code == 0, imported.output
    assert imported.stdout == "Imported (trl): items: 6; annotations: 18.\n"
    assert run("import", votes).stdout.endswith("rows that were there before: 18.\n")
    exported = run("export", "train.parquet", "--format", "trl", "--weigh", "--ties", "half")
    assert exported.exit_code == 0, exported.output
    assert "18 rows written to train.parquet; nothing left out" in exported.stdout
    again = run("import", "train.parquet", "--store", "other.db", "--project", "again")
    assert again.stdout.startswith("Imported (trl): items: 6; annotations: 18")


def test_stats_of_a_file_and_of_a_store_are_the_same(run: Run, votes: str) -> None:
    run("import", votes, "--project", "p")
    of_file, of_store = run("stats", votes), run("stats", "--project", "p")
    assert of_file.exit_code == of_store.exit_code == 0, of_file.output + of_store.output
    assert of_file.stdout == of_store.stdout
    found = figures(of_file)
    assert (found["items"], found["labels"]) == (["6"], ["18"])
    assert found["longer preferred"][0].startswith("0.944 [")
    assert found["people"] == ["2", "12"]
    assert found["bob [x]"][0] == "6"


def test_names_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    """Neither markup of ours nor a terminal's."""
    names = ["x\\[/b]", "[red]", "\x1b[31m", "a\nb", "漢字"]
    rows = [{**ROWS[0], "annotator": name, "source": name} for name in names]
    write(tmp_path / "names.jsonl", [{**row, "prompt": str(n)} for n, row in enumerate(rows)])
    for command in ("stats", "agreement"):
        result = run(command, "names.jsonl")
        assert result.exit_code == 0, result.output
        for shown in ("x\\[/b]", "[red]", "\\x1b[31m", "a\\nb", "漢字"):
            assert shown in result.stdout


@pytest.mark.parametrize("command", ["import", "export", "stats", "agreement"])
def test_help_fills_its_lines(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line breaks where no word has room any more, not where the source does."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    help = run(command, "--help").stdout.split("╭", maxsplit=1)[0]
    for above, below in pairwise(line.split() for line in help.splitlines()):
        goes_on = above and below and "-" not in below
        assert not goes_on or len(" ".join(above)) + len(below[0]) > 70, help


def test_help_names_the_formats(run: Run) -> None:
    importing, exporting = (run(verb, "--help").stdout for verb in ("import", "export"))
    for name in FORMATS.keys() - {"demonstrations"}:  # which hold nothing to compare
        assert f"- {name}:" in importing
    assert all(name in exporting for name in TARGETS)


def test_agreement_with_the_judge_beside_people(run: Run, votes: str) -> None:
    result = run("agreement", votes)
    assert result.exit_code == 0, result.output
    found = figures(result)
    assert found["two say the same"][-1].startswith("0.833 [")
    assert found["gpt (judge)"][0].startswith("0.917 [")
    assert found["gpt (judge)"][2].startswith("0.833 [")


def test_bad_rows_are_named_and_the_good_ones_kept(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [ROWS[0], {"prompt": 5, "chosen": "a", "rejected": "b"}])
    refused = run("import", "a.jsonl")
    assert refused.exit_code == 2
    assert "1 row cannot be used: a.jsonl, line 2: the column 'prompt'" in refused.stderr
    assert "--keep-good" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    kept = run("import", "a.jsonl", "--keep-good")
    assert kept.exit_code == 0
    assert "rows in error: 1. The rows left out stand in a.jsonl.rejected" in kept.stdout
    assert kept.stderr.startswith("a.jsonl, line 2: ")
    stats = run("stats", "a.jsonl")
    assert "1 rows left out; the first: a.jsonl, line 2" in stats.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import", "missing.jsonl"], "missing.jsonl does not exist"),
        (["import", "nobody/nothing"], "neither a file nor a directory"),
        (["stats"], "There is no store at feedback.db"),
        (["stats", "missing.jsonl"], "does not exist"),
        (["agreement", "items.jsonl"], "Nothing was labelled yet"),
        (["agreement", "--format", "trl", "--store", "items.jsonl"], "a store needs neither"),
        (["export", "a.jsonl", "--store", "nowhere.db"], "There is no store at nowhere.db"),
        (["export", "a.jsonl", "--store", "items.jsonl"], "Cannot open the store"),
        (["stats", "demos.jsonl"], "holds no comparison"),
        (["import", "items.jsonl", "--companion", "texts.jsonl"], "leave out texts.jsonl"),
        (["stats", "items.jsonl", "--companion", "texts.jsonl"], "leave out texts.jsonl"),
        (["import", "odd.jsonl"], r"the columns (odd\[/tag]\) fit no format"),
    ],
)
def test_mistakes_end_with_one_paragraph(
    run: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    write(tmp_path / "items.jsonl", [{"prompt": "p", "answers": ["a", "b"]}])
    write(tmp_path / "demos.jsonl", [{"prompt": "p", "completion": "a"}])
    write(tmp_path / "odd.jsonl", [{"odd\\[/tag]\\": 1}])
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("a.jsonl*"))


def test_the_environment_names_the_store(
    run: Run, votes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEED_STORE", "kept/labels.db")
    assert run("import", votes).exit_code == 0
    assert (tmp_path / "kept" / "labels.db").exists()
    for words in (["stats"], ["agreement"], ["export", "a.jsonl", "--format", "trl"]):
        done = run(*words)
        assert done.exit_code == 0, done.output
    assert not (tmp_path / "feedback.db").exists()


def test_held_out_prompts_are_exported_when_asked_for(run: Run, tmp_path: Path) -> None:
    rows = [
        {"item": {"id": side, "answers": ["a", "b"], "prompt": {
            "id": side, "split": side, "messages": [{"role": "user", "content": "?"}]}},
         "annotations": [{"annotator": "ada", "verdict": 1}]}
        for side in ("train", "heldout")
    ]  # fmt: skip
    write(tmp_path / "items.jsonl", rows)
    assert run("import", "items.jsonl").exit_code == 0
    done = run("export", "a.jsonl", "--format", "trl")
    assert "1 rows written to a.jsonl; left out: 1 labels on held-out prompts" in done.stdout
    assert run("export", "b.jsonl", "--format", "trl", "--split", "all").exit_code == 0
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    assert [json.loads(line)["split"] for line in lines] == ["train", "heldout"]


def test_stats_of_unlabelled_items(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "items.jsonl", [{"prompt": "p", "answers": ["a", "b"], "known": 2}])
    found = figures(run("stats", "items.jsonl"))
    assert (found["of them gold"], found["labels"]) == (["1"], ["0"])
    assert found["longer preferred"] == ["-"]


def test_llmfao_as_published(run: Run) -> None:
    folder = data_folder("HEED_LLMFAO_DATA", "the llmfao votes")
    found = figures(run("agreement", f"{folder}/crowd-comparisons.csv"))
    assert found["labels"] == ["8,931"]
    assert found["Krippendorff's alpha, side"][0].startswith("0.291 [")
    assert found["Fleiss' kappa, side"][0].startswith("0.292 [")
    assert found["two say the same"][0].startswith("0.532 [")
    assert found["where both prefer a side"][0].startswith("0.701 [")


def test_no_torch(tmp_path: Path, votes: str) -> None:
    program = "import sys; from heed.cli.main import app\ntry: app()\nfinally: print(*sys.modules)"
    for words in (["import", votes], ["export", "a", "--format", "trl", "--weigh"]):
        done = subprocess.run(
            [sys.executable, "-c", program, "prefs", *words],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not {"torch", "transformers"} & set(done.stdout.splitlines()[-1].split())
