"""The figures behind the owner's pages, worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from heed.web.figures import pace


def test_the_pace_leaves_pauses_out() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = [0, 30, 60, 60 + 3600, 60 + 3630]
    found = pace([start + timedelta(seconds=at) for at in seconds], 240)
    assert found.gap.mean == 30.0
    assert found.gap.n == 3
    assert found.per_hour == 120.0
    assert found.hours_left.mean == 2.0
    assert math.isnan(pace([start], 5).hours_left.mean)
