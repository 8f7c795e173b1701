"""Names that are kept for votes and rulings."""

from __future__ import annotations

import pytest

from heed.web.aliases import reserved


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("bob (arena #2)", True), ("x (adjudication #15) ", True), ("bob (arena)", False),
        ("bob (arena #2) jr", False), ("", False),
    ],
)  # fmt: skip
def test_names_that_are_kept(name: str, kept: bool) -> None:
    assert reserved(name) is kept
