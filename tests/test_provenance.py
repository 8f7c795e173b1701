"""Where a run came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from heed.provenance import git_state, provenance


def test_provenance_outside_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert provenance()["git"] is None


def test_git_state_says_commit_and_changes(tmp_path: Path) -> None:
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
                                   "--allow-empty", "-m", "first"]):  # fmt: skip
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "new").write_text("x")
    assert git_state(tmp_path)["dirty"] is True
