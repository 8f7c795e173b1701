"""What is compiled is built once, and done without where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from heed.ops import compiled
from heed.ops.fused import fused

CPU = torch.device("cpu")


def _forget() -> None:
    compiled._library.cache_clear()
    compiled._functions.cache_clear()


@pytest.fixture
def afresh() -> Iterator[None]:
    _forget()
    yield
    _forget()


@pytest.mark.usefixtures("afresh")
def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HEED_COMPILED", "no")
    assert fused(torch.float32, CPU) is None
    monkeypatch.delenv("HEED_COMPILED")
    assert fused(torch.float64, CPU) is None
    monkeypatch.setenv("CC", "false")
    assert fused(torch.float32, CPU) is None
    _forget()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert fused(torch.float32, CPU) is None
    assert list(tmp_path.rglob("*.so")) == []
