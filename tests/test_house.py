"""The house's rules that no linter knows: small files, small functions, no heaps."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "heed").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"),
                *(ROOT / "tests").rglob("*.py")])  # fmt: skip
FILE_LINES, FUNCTION_LINES, METHOD_LINES, TRAINER_LINES = 400, 60, 120, 250


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    assert path.name not in {"utils.py", "helpers.py", "misc.py"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


def test_the_training_loop_is_short() -> None:
    assert (ROOT / "heed" / "trainer.py").read_text().count("\n") <= TRAINER_LINES


def _imported_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "statement",
    [
        "import heed.types, heed.config, heed.recipe, heed.run, heed.files",
        "import heed.stats.intervals, heed.stats.diversity",
        "import heed.data.transcripts",
        "import heed.world.world",
        "import heed.cli.main",
    ],
)
def test_starts_without_torch(statement: str) -> None:
    assert not {"torch", "transformers"} & _imported_by(statement)
