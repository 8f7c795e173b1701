"""The most memory that a piece of work held, and memory that stays when it is freed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heed import memory
from heed.memory import watch_memory

MIB = 2**20
AGAIN = """
import json, resource, sys
import numpy as np
from heed.memory import give_back, keep_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def held():
    pages = open("/proc/self/statm").read().split()[1]
    return int(pages) * resource.getpagesize()

kept = sys.argv[1] == "keep" and keep_freed()
for _ in range(3):
    before = faults()
    blocks = [np.ones(40 << 20, dtype=np.uint8) for _ in range(3)]
    del blocks
again, full = faults() - before, held()
give_back()
print(json.dumps({"kept": kept, "again": again, "full": full, "after": held()}))
"""
"""Three blocks of 40 MiB, three times: the faults of the third time, and what is held then."""
CHOSEN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def _again(*given: str, **more: str) -> dict[str, int]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(CHOSEN)}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, *given],
        capture_output=True, text=True, check=True, env={**plain, **more},
    )  # fmt: skip
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(memory._glibc() is None, reason="needs glibc")
def test_what_is_freed_is_kept_until_it_is_given_back() -> None:
    usual, keeping = _again("leave"), _again("keep")
    assert keeping["kept"] is True
    assert usual["again"] > 100 * (keeping["again"] + 1)
    assert keeping["full"] - usual["full"] > 100 * MIB
    assert keeping["full"] - keeping["after"] > 100 * MIB


@pytest.mark.skipif(memory._glibc() is None, reason="needs glibc")
def test_who_has_chosen_how_memory_is_allocated_is_heeded() -> None:
    chosen = _again("keep", MALLOC_ARENA_MAX="2")
    assert chosen["kept"] is False
    assert chosen["again"] > 100


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    assert memory.keep_freed() is False
    memory.give_back()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_each_watch_sees_its_own_peak() -> None:
    device = torch.device("cpu")
    large = watch_memory(device)
    held = np.ones(64 * MIB, dtype=np.uint8)
    with_it = large()
    del held
    memory.give_back()  # as between stages: a test before this one may have had freed memory kept
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
