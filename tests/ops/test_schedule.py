from __future__ import annotations

import pytest

from heed.ops.schedule import SCHEDULES


@pytest.mark.parametrize(
    ("name", "half", "end"), [("constant", 1.0, 1.0), ("linear", 0.5, 0.0), ("cosine", 0.5, 0.0)]
)
def test_without_warmup(name: str, half: float, end: float) -> None:
    schedule = SCHEDULES[name]
    assert schedule(0.0, 0.0) == 1
    assert schedule(0.5, 0.0) == pytest.approx(half)
    assert schedule(1.0, 0.0) == pytest.approx(end)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_rises_in_a_line_to_the_peak(name: str) -> None:
    schedule = SCHEDULES[name]
    assert [schedule(done, 0.2) for done in (0.0, 0.05, 0.1)] == pytest.approx([0, 0.25, 0.5])
    assert schedule(0.2, 0.2) == pytest.approx(1)
    # Past the warm-up what is left of the training is the whole schedule.
    assert schedule(0.6, 0.2) == pytest.approx(schedule(0.5, 0.0))
