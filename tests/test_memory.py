"""The most memory that a piece of work held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from heed import memory
from heed.memory import watch_memory

MIB = 2**20


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_each_watch_sees_its_own_peak() -> None:
    device = torch.device("cpu")
    large = watch_memory(device)
    held = np.ones(64 * MIB, dtype=np.uint8)
    with_it = large()
    del held
    small = watch_memory(device)
    without = small()
    assert with_it is not None
    assert without is not None
    assert with_it - without > 48 * MIB


def test_where_the_system_does_not_tell_it_is_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "nowhere")
    assert watch_memory(torch.device("cpu"))() is None
