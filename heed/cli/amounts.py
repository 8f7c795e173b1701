"""Amounts as the pages of the terminal say them: short, and in the unit that suits."""

from __future__ import annotations

from textwrap import wrap

UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """A number in five letters; nothing for none."""
    if not value:
        return ""
    for unit, letter in UNITS:
        if value >= unit:
            return f"{value / unit:.3g}{letter}" if value < 1000 * unit else f"{value:.1e}"
    return f"{value:.0f}"


def stored(value: float) -> str:
    """Bytes, in MiB or GiB."""
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def times(seconds: tuple[float, float] | None) -> str:
    """A range in the unit that suits its end."""
    if seconds is None or not seconds[1]:
        return ""
    unit, letter = next(
        (pair for pair in ((3600.0, "h"), (60.0, "min")) if seconds[1] >= 2 * pair[0]), (1.0, "s")
    )
    low, high = (f"{value / unit:.{0 if value / unit >= 10 else 1}f}" for value in seconds)
    return f"{low}-{high} {letter}"


def wrapped(text: str) -> list[str]:
    """A sentence on lines of a terminal's width."""
    return wrap(text, 80)
