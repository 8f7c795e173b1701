"""What the machine and its control group let a process have."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed import host

GIB = 2**30


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group's folder; the machine has 64 GiB to spare."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {64 * 2**20} kB\n")
    monkeypatch.setattr(host, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(host, "_CGROUP", tmp_path)
    return tmp_path


def test_without_a_limit_it_is_the_machine_s(group: Path) -> None:
    assert host.available_memory() == 64 * GIB
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text(f"{GIB}\n")
    assert host.available_memory() == 64 * GIB


def test_files_that_were_read_make_room(group: Path) -> None:
    (group / "memory.max").write_text(f"{16 * GIB}\n")
    (group / "memory.current").write_text(f"{15 * GIB}\n")
    assert host.available_memory() == GIB
    (group / "memory.stat").write_text(f"anon {3 * GIB}\ninactive_file {12 * GIB}\nslab 1\n")
    assert host.available_memory() == 13 * GIB
    (group / "memory.current").write_text(f"{30 * GIB}\n")
    assert host.available_memory() == 0


def test_cores_that_are_granted(group: Path) -> None:
    assert host.allowed_cores() is None
    (group / "cpu.max").write_text("150000 100000\n")
    assert host.allowed_cores() == 1.5
    (group / "cpu.max").write_text("max 100000\n")
    assert host.allowed_cores() is None


def test_where_nobody_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_MEMINFO", tmp_path / "none")
    assert host.available_memory() is None
