from __future__ import annotations

import math

import numpy as np
import pytest

from heed.gates.finding import Finding
from heed.gates.imports import Hits, swapped


def asked(sources: dict[str, tuple[Hits, Hits]], share: float = 0.15) -> Finding | None:
    return swapped(sources, by="others", share=share, false_alarms=0.01)


def hits(ones: int, of: int, start: int = 0) -> Hits:
    return Hits([1.0] * ones + [0.0] * (of - ones), range(start, start + of))


def test_by_hand() -> None:
    # a = .55 of 100, b = .9 of 100, share .25: .5 * .4 - .05 = .15 over its error.
    found = asked({"import": (hits(55, 100), hits(90, 100, 100))}, share=0.25)
    assert found is not None
    error = math.sqrt(200 / 199 * (0.55 * 0.45 / 100 + 0.25 * 0.9 * 0.1 / 100))
    assert found.statistic == pytest.approx(0.15 / error)
    assert found.threshold == pytest.approx(2.345, abs=1e-3)
    assert found.tripped
    assert found.says.startswith("The labels of import are as others say in 55.0% of 100 cases")


def test_the_worst_source_is_named_and_all_are_counted() -> None:
    good, bad = hits(90, 100), hits(10, 100, 200)
    found = asked({"a": (good, good), "b": (bad, good), "c": (good, good)})
    assert found is not None
    assert found.tripped
    assert "labels of b" in found.says
    alone = asked({"b": (bad, good)})
    assert alone is not None
    assert alone.threshold < found.threshold


def test_too_few_or_no_noise() -> None:
    assert asked({}) is None
    assert asked({"a": (hits(0, 49), hits(100, 100))}) is None
    assert asked({"a": (hits(0, 100), Hits([1.0] * 100, ["p"] * 100))}) is None
    sure = asked({"a": (hits(0, 60), hits(60, 60))})
    assert sure is not None
    assert sure.tripped
    fine = asked({"a": (hits(60, 60), hits(60, 60))})
    assert fine is not None
    assert not fine.tripped


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.15, 0, 0.02), (0.3, 0.95, 1)])
def test_power_and_false_alarms(share: float, least: float, most: float) -> None:
    """Two sources of 3,000 labels, of which others are right in 71%; the bound is .15."""
    rng = np.random.default_rng(0)
    trips = 0
    for _ in range(500):
        rest = (rng.random(3000) < 0.71).astype(float)
        own = (rng.random(3000) < 0.5 + (1 - 2 * share) * 0.21).astype(float)
        found = asked(
            {"a": (Hits(own.tolist(), range(3000)), Hits(rest.tolist(), range(3000, 6000)))}
        )
        trips += found is not None and found.tripped
    assert least <= trips / 500 <= most
