"""`heed doctor`: the page, the JSON, the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.doctoring import libraries
from heed.doctoring.libraries import Probed

runner = CliRunner()
FACTS = {"threads": 2, "capability": "AVX2", "built_for_cuda": None, "mps": False, "cuda": []}


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Libraries that can be imported, without importing them; whether speed was asked for."""
    asked: list[bool] = []

    def probe(*, speed: bool) -> Probed:
        asked.append(speed)
        row = {"device": "cpu", "float32": 100.0, "bfloat16": 200.0, "copy": 10.0}
        return Probed(imported=["torch"], torch=FACTS, speed=[row] if speed else None)

    monkeypatch.setattr(libraries, "probe", probe)
    return asked


def test_the_page(healthy: list[bool], tmp_path: Path) -> None:
    result = runner.invoke(app, ["doctor", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    for text in ("Versions", "torch", "100 GF/s in float32, 200 in bfloat16", "SQLite work",
                 "Nothing that Heed needs is broken."):  # fmt: skip
        assert text in result.stdout
    assert "reachable" not in result.stdout
    assert not (tmp_path / "runs").exists()
    runner.invoke(app, ["doctor", "--quick"])
    assert healthy == [True, False]


def test_what_is_broken_is_exit_code_1(
    healthy: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Probed(failed={"torch": "OSError: no libtorch"})
    monkeypatch.setattr(libraries, "probe", lambda *, speed: broken)
    result = runner.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    (torch,) = [each for each in found["checks"] if each["level"] == "broken"]
    assert (torch["name"], torch["says"]) == ("torch", "cannot be imported: OSError: no libtorch")
    assert "Heed cannot work as it is: torch." in found["summary"]


def test_a_terminal_that_knows_ascii_alone() -> None:
    """With torch broken, too, so that this takes no time: the page comes out all the same."""
    program = (
        "from heed.doctoring import libraries; "
        "libraries.probe = lambda *, speed: libraries.Probed(failed={'torch': 'gone'}); "
        "from heed.cli.main import app; app(['doctor'])"
    )
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environ, check=False
    )
    assert done.returncode == 1, done.stderr
    text = done.stdout.decode("ascii")
    assert "!! torch" in text
    assert "ok python" in text
