from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heed.ops.packing import first_fit_decreasing


def test_by_hand() -> None:
    # 7 and 3 fill a bin, so do the two 5s; 4 and 1 are left.
    assert first_fit_decreasing([4, 5, 7, 1, 3, 5], 10) == [[2, 4], [1, 5], [0, 3]]


def test_a_document_longer_than_a_bin_stands_alone() -> None:
    assert first_fit_decreasing([3, 12, 7], 10) == [[1], [0, 2]]
    assert first_fit_decreasing([], 10) == []


@given(st.lists(st.integers(1, 30)), st.integers(1, 40))
def test_every_document_once_and_no_bin_too_full(lengths: list[int], capacity: int) -> None:
    bins = first_fit_decreasing(lengths, capacity)
    assert sorted(place for places in bins for place in places) == list(range(len(lengths)))
    loads = [sum(lengths[place] for place in places) for places in bins]
    for places, load in zip(bins, loads, strict=True):
        assert load <= capacity or len(places) == 1
        assert places == sorted(places)
    # Never can two bins be poured together: the later one's documents had no room in the former.
    for later in range(1, len(bins)):
        assert all(load + loads[later] > capacity for load in loads[:later])
