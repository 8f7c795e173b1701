"""Loading without the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from heed.loading import uncollected


class Ring:
    """An object in a cycle with itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_it_rests_within_and_works_again_behind() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_had_it_off_has_it_off_again() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


def test_an_error_leaves_it_on_and_nothing_frozen() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_what_was_made_is_left_alone_and_what_comes_later_is_not() -> None:
    with uncollected():
        kept = weakref.ref(Ring())
    later = weakref.ref(Ring())
    gc.collect()
    assert kept() is not None
    assert later() is None
