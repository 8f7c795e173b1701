"""A function of the user's as a reward."""

from __future__ import annotations

from pathlib import Path

import pytest
from answered import said

from heed.errors import UserError
from heed.rewards.function import load_function


def test_it_scores_completions(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def words(completions):\n    return [len(c.text.split()) for c in completions]\n"
    )
    assert load_function(file, "words")([said("one two"), said("")]) == [2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("def other():\n    pass\n", "has no function 'words'; it has other"),
     ("words = 3\n", "has no function 'words'; it has none at all"),
     ("import nothing_of_that_name\n", "cannot be run as Python: ModuleNotFoundError"),
     ("def words(:\n", "cannot be run as Python: SyntaxError")],
)  # fmt: skip
def test_what_cannot_be_called(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        load_function(file, "words")
