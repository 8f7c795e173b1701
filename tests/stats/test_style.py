from __future__ import annotations

import time

import pytest

from heed.stats.style import STYLES, bold, headers, length, list_items, style_differences

ANSWER = """# Title
Some **bold words** and __more__, a snake__case__name and 2 ** 3 ** 2.

## Part
- one
  * two, **also
  bold**
1. three
2) four
+ five
- - -
-none
1.5 litres
#hashtag

```python
# no header
- no item
x = "**not bold**"
```
**open

closed**
"""


def test_counts_by_hand() -> None:
    assert headers(ANSWER) == 2
    assert list_items(ANSWER) == 5
    assert bold(ANSWER) == 3
    assert length(ANSWER) == len(ANSWER)
    assert [count("") for count in STYLES.values()] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```\n# a\n", 0),  # a fence that is never closed
        ("~~~\n# a\n~~~\n# b", 1),
        ("````\n```\n# a\n````\n# b", 1),  # a shorter fence closes nothing
        ("```inline```\n# a", 1),
        ("   # a\n    # code\n####### seven\n###### six\n#", 2),
        ("# a\r\n# b\r\n", 2),
    ],
)
def test_headers_and_fences(text: str, found: int) -> None:
    assert headers(text) == found


@pytest.mark.parametrize("unit", ["**a ", "__a ", "```\n", "- ", "* * ", "#", "**", "**a\n"])
def test_hostile_texts_take_no_time(unit: str) -> None:
    start = time.monotonic()
    for count in STYLES.values():
        count(unit * 20_000)
    assert time.monotonic() - start < 5


def test_differences_are_the_models_minus_the_baselines() -> None:
    found = style_differences(["# Yes\n- **one**", "No."], ["No.", "1. a\n2. b"])
    assert {name: values.tolist() for name, values in found.items()} == {
        "length": [12, -6], "lists": [1, -2], "headers": [1, 0], "bold": [1, 0],
    }  # fmt: skip
    with pytest.raises(ValueError, match="zip"):
        style_differences(["a"], [])
