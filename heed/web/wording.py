"""Numbers in words, as the owner's pages write them: with their interval and their unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from heed.stats.intervals import Estimate
from heed.types import Verdict

UNKNOWN = "–"
STRENGTHS = {1: "significantly", 2: "clearly", 3: "slightly", 4: "negligibly"}
WITHOUT_A_SIDE = {"tie": "tie", "both_bad": "both bad", "cannot_tell": "cannot tell"}


def percent(share: float) -> str:
    """As a whole percentage."""
    return f"{100 * share:.0f}%" if math.isfinite(share) else UNKNOWN


def share(estimate: Estimate) -> Markup:
    """A share with its interval below it, both in percent."""
    return _with_interval(
        percent(estimate.mean),
        f"{100 * estimate.low:.0f} to {100 * estimate.high:.0f}%",
        estimate,
    )


def coefficient(estimate: Estimate) -> Markup:
    """A coefficient of agreement with its interval below it."""
    return _with_interval(
        f"{estimate.mean:.2f}".replace("-", "−"),
        f"{estimate.low:.2f} to {estimate.high:.2f}".replace("-", "−"),
        estimate,
    )


def duration(hours: float) -> str:
    """Hours as people say them: 45 s, 12 min, 3 h 20 min, 15 h."""
    if not math.isfinite(hours):
        return UNKNOWN
    seconds = round(hours * 3600)
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 600:
        whole, rest = divmod(minutes, 60)
        return f"{whole} h {rest} min" if rest else f"{whole} h"
    return f"{minutes / 60:,.0f} h"


def seconds(value: float) -> str:
    """Seconds with the digits that matter."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:.1f} s" if value < 10 else f"{value:,.0f} s"


def hours_of(estimate: Estimate, labels: float) -> Markup:
    """The time that so many labels take at seconds each, with its interval below it."""
    low, high = (duration(max(0.0, end) * labels / 3600) for end in (estimate.low, estimate.high))
    return _with_interval(duration(estimate.mean * labels / 3600), f"{low} to {high}", estimate)


def money_of(estimate: Estimate, labels: float, pay_per_hour: float, currency: str) -> Markup:
    """What so many labels cost at seconds each and an hourly pay, with its interval below it."""
    rate = labels * pay_per_hour / 3600
    low, high = (money(max(0.0, end) * rate, "").strip() for end in (estimate.low, estimate.high))
    return _with_interval(money(estimate.mean * rate, currency), f"{low} to {high}", estimate)


def money(amount: float, currency: str) -> str:
    """An amount with its currency; a small one with more digits, since a label costs cents."""
    if not math.isfinite(amount):
        return UNKNOWN
    return f"{amount:,.3f} {currency}" if 0 < amount < 1 else f"{amount:,.2f} {currency}"


def count(number: float, noun: str) -> str:
    """A number and its noun: 1 label, 2 labels."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def verdict(said: Verdict, order: Sequence[int]) -> str:
    """What was said, in terms of the item's own order: A is its first answer."""
    if isinstance(said, str):
        return "all bad" if said == "both_bad" and len(order) > 2 else WITHOUT_A_SIDE[said]
    names = [letter(place) for place in order]
    if isinstance(said, int):
        better = names[0] if said <= 4 else names[1]
        return f"{better} {STRENGTHS[min(said, 9 - said)]} better"
    levels = {rank: [n for n, r in zip(names, said, strict=True) if r == rank] for rank in said}
    return " > ".join(" = ".join(sorted(levels[rank])) for rank in sorted(levels))


def letter(place: int) -> str:
    """The letter of an answer, A for the first; past Z its number."""
    return chr(ord("A") + place) if place < 26 else f"answer {place + 1}"


def _with_interval(words: str, interval: str, estimate: Estimate) -> Markup:
    if not math.isfinite(estimate.mean):
        return Markup(UNKNOWN)
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return escape(words) + (Markup("<small>{}</small>").format(interval) if known else Markup(""))
