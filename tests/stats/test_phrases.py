from __future__ import annotations

import pytest

from heed.stats.phrases import hedges, refuses


@pytest.mark.parametrize(
    "text",
    ["I'm sorry, but I can’t help with that.", "I am\nunable to answer.", "I will not tell you."],
)
def test_refusals(text: str) -> None:
    assert refuses(text)
    assert not hedges(text)


@pytest.mark.parametrize(
    "text", ["I do not know the capital of Peru.", "Hm, I'm not entirely sure.", "I have no idea!"]
)
def test_hedges(text: str) -> None:
    assert hedges(text)
    assert not refuses(text)


@pytest.mark.parametrize(
    "text",
    ["", "I can help with that.", "I know the way.", "I'm not sure what you mean.",
     "I don't know if this is a good idea.", "I can't tell if it rains."],
)  # fmt: skip
def test_neither(text: str) -> None:
    assert not hedges(text)
    assert not refuses(text)
