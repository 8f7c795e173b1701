"""Two hundred malformed inputs through the real command line: one paragraph, exit code 2, file and
line named, no traceback, nothing changed and nothing half done.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from malformed import OF_RECIPES, OF_ROWS, Malformed
from typer.testing import CliRunner, Result

from heed.cli.main import app
from heed.models.language_model import new_language_model, save_language_model
from heed.models.tokenizers import train_bpe

runner = CliRunner()
SIZES = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip
NO_STAGE = "has no stage 'no such stage'"
"""What is said of a recipe that could be read, asked for a stage that none has."""
PLACE = re.compile(r"\b(line|row) \d+")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "lm"
    save_language_model(new_language_model(train_bpe(["hello there"], 300), SIZES, 0), path)
    return path


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def check(case: Malformed, result: Result, where: str) -> None:
    """One paragraph that names the file, and the line where one was spoiled."""
    told = f"{where}: {case.what}\n{result.output}\n{result.exception!r}"
    assert result.exception is None or isinstance(result.exception, SystemExit), told
    assert result.exit_code in (0, 2), told
    assert "Traceback" not in result.output, told
    if result.exit_code == 2:
        assert "Error: " in result.stderr, told
        paragraph = result.stderr[result.stderr.index("Error: ") :].strip()
        assert "\n\n" not in paragraph, told
        said = " ".join(paragraph.split())
        assert case.name in said or case.words or NO_STAGE in said, told
        assert len(said) < 3000, told
        if case.of_lines:
            assert PLACE.search(said), told


def spoiled(
    makers: Sequence[Callable[[random.Random], Malformed]], count: int, seed: int, folder: Path
) -> list[tuple[Malformed, Path]]:
    draw = random.Random(seed)
    cases = []
    for number in range(count):
        case = makers[number % len(makers)](draw)
        (folder / str(number)).mkdir(parents=True)
        path = folder / str(number) / case.name
        path.write_bytes(case.content)
        cases.append((case, path))
    return cases


def refused(results: Sequence[Result]) -> int:
    return sum(result.exit_code == 2 for result in results)


def test_files_of_rows_that_are_to_be_imported(tmp_path: Path) -> None:
    store = tmp_path / "feedback.db"
    good = tmp_path / "good.jsonl"
    good.write_text('{"prompt": "Which?", "answers": ["this", "that"]}\n')
    assert runner.invoke(app, ["prefs", "import", str(good), "--store", str(store)]).exit_code == 0

    def items() -> int:
        with closing(sqlite3.connect(store)) as database:
            return int(database.execute("select count(*) from item").fetchone()[0])

    results, before = [], items()
    for case, path in spoiled(OF_ROWS, 56, 1, tmp_path):
        result = runner.invoke(app, ["prefs", "import", str(path), "--store", str(store)])
        results.append(result)
        check(case, result, "prefs import")
        assert path.read_bytes() == case.content
        beside = {each.name for each in path.parent.iterdir()}
        assert beside <= {path.name, f"{path.name}.rejected.jsonl"}, beside
        if result.exit_code == 2:
            assert items() == before, case
        before = items()
    assert refused(results) > 40


def test_files_of_rows_that_a_recipe_is_made_for(model: Path, tmp_path: Path) -> None:
    results = []
    for case, path in spoiled(OF_ROWS, 36, 2, tmp_path):
        out = path.parent / "out" / "mine.yaml"
        result = runner.invoke(app, ["init", str(model), str(path), "--out", str(out)])
        results.append(result)
        check(case, result, "init")
        assert path.read_bytes() == case.content
        assert out.exists() == (result.exit_code == 0)
        assert {each.name for each in path.parent.iterdir()} <= {path.name, "out"}
    assert refused(results) > 25


def test_files_of_votes_that_are_to_be_compared(tmp_path: Path) -> None:
    results = []
    for case, path in spoiled(OF_ROWS, 36, 3, tmp_path):
        out = path.parent / "out"
        out.mkdir()
        (out / "compare.json").write_text("of an earlier one")
        result = runner.invoke(app, ["compare", "--annotations", str(path), "--out", str(out)])
        results.append(result)
        check(case, result, "compare")
        assert path.read_bytes() == case.content
        if result.exit_code == 2:
            assert tree(out) == {"compare.json": b"of an earlier one"}
        shutil.rmtree(out)
    assert refused(results) > 25


def test_recipes_and_overrides(tmp_path: Path) -> None:
    results = []
    for case, path in spoiled(OF_RECIPES, 76, 4, tmp_path):
        words = [word for each in case.words for word in ("--set", each)]
        result = runner.invoke(app, ["train", "no such stage", "--recipe", str(path), *words])
        results.append(result)
        check(case, result, "train")
        assert result.exit_code == 2
        assert tree(path.parent) == {path.name: case.content}
    read = [result for result in results if NO_STAGE in result.stderr]
    assert len(read) < len(results) / 3, "most of them are to be malformed"
