"""Files that another process writes, read as they grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heed.report.growing import BATCH, Growing
from heed.report.series import Series


def test_only_what_is_new_and_whole_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    growing = Growing(path)
    assert growing.more() == (False, [])
    path.write_text('{"a": 1}\nnonsense\n[2]\n{"a": 3')
    assert growing.more() == (False, [{"a": 1}])
    with path.open("a") as file:
        file.write('4}\n{"a": 5}\n')
    assert growing.more() == (False, [{"a": 34}, {"a": 5}])
    assert growing.more() == (False, [])


def test_a_long_file_comes_in_batches_and_is_not_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' * (3 * BATCH + 7))
    growing = Growing(path)
    assert [(anew, len(rows)) for anew, rows in growing.batches()] == [
        (False, BATCH), (False, BATCH), (False, BATCH), (False, 7),
    ]  # fmt: skip
    read = []
    inner = growing._read
    growing._read = lambda file: read.append(file.tell()) or inner(file)  # type: ignore[func-returns-value, method-assign]
    with path.open("a") as file:
        file.write('{"a": 2}\n')
    assert growing.more() == (False, [{"a": 2}])
    assert read == [path.stat().st_size - len('{"a": 2}\n')]


@pytest.mark.parametrize("longer", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_written_anew_is_read_from_its_beginning(
    tmp_path: Path, longer: bool, in_place: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    growing = Growing(path)
    growing.more()
    text = '{"a": 7}\n' * (3 if longer else 1)
    if in_place:
        path.write_text(text)
    else:
        (tmp_path / "other").write_text(text)
        (tmp_path / "other").replace(path)
    assert growing.more() == (True, [{"a": 7}] * (3 if longer else 1))
    path.unlink()
    assert growing.more() == (True, [])
    assert growing.more() == (False, [])


def test_long_curves_are_thinned_to_means() -> None:
    series = Series()
    for step in range(1, 1001):
        series.add(step, float(step % 2))
    steps, values = series.thinned(100)
    assert len(steps) == 100
    assert (steps[0], values[0], series.last) == (5.5, 0.5, 0.0)
    assert np.allclose(np.diff(steps), 10)
    odd = Series()
    for step in range(5):
        odd.add(step, float(step))
    assert odd.thinned(2) == ([1.0, 3.5], [1.0, 3.5])
    assert odd.thinned(5) == ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0, 4.0])
