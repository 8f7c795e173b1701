"""`heed rollouts`: what it says before it serves."""

from __future__ import annotations

from pathlib import Path
from socket import socket
from typing import Any

import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.models import device
from heed.models.language_model import save_language_model


@pytest.mark.parametrize(("dtype", "told"), [("bfloat16", True), ("auto", False)])
def test_half_precision_without_hardware_for_it_is_said(
    toy_lm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, told: bool
) -> None:
    save_language_model(toy_lm(), tmp_path / "model")
    monkeypatch.setattr(device, "instruction_sets", lambda: ["avx2"])
    served: list[socket] = []
    monkeypatch.setattr("heed.web.server.serve", lambda _, sock: served.append(sock))
    words = ["rollouts", str(tmp_path / "model"), "--dtype", dtype, "--device", "cpu"]
    result = CliRunner().invoke(app, [*words, "--port", "0"])
    assert result.exit_code == 0, result.output
    (sock,) = served
    sock.close()
    said = " ".join(result.stderr.split())
    assert ("Set --dtype to float32 or auto." in said) is told
    assert result.stdout.startswith("Rollouts of ")
