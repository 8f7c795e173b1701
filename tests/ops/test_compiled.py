"""What is compiled is built once, and done without where it cannot be."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from heed.ops import compiled
from heed.ops.fused import fused
from heed.ops.logprobs import SIGNATURE, SOURCE

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


@pytest.mark.usefixtures("afresh")
def test_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library lies in the user's cache, and is found there the next time."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert compiled.compiled([SOURCE], SIGNATURE, torch.float32, CPU) is not None
    (made,) = (tmp_path / "heed").iterdir()
    assert made.name.startswith("vocabulary-")
    before = made.stat()
    _forget()
    assert compiled.compiled([SOURCE], SIGNATURE, torch.bfloat16, CPU) is not None
    assert list((tmp_path / "heed").iterdir()) == [made]
    assert made.stat() == before


def test_a_processor_that_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled, "CPUINFO", tmp_path / "none")
    assert compiled._processor() == platform.machine()
