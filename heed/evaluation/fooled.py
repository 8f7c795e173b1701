"""Is a judge fooled? What decoys (`judging/decoys.py`) win before it.

A judge can be trusted once it is shown that no decoy wins half of its comparisons with an answer
worth having. So every decoy is held against every contestant that is not itself surely worse than
the baseline (one that is may be worse than nothing: its losses to a decoy are told, and prove
nothing), and the judge is fooled by a decoy whose win rate is not surely below one half: whose
interval reaches it.

The gold reward is what worth means, so that nothing fools it: where a decoy does not surely lose to
a contestant, that one's answers are worth no more than it.

A judge before whom the decoy wins half or more passes a pairing with a chance of about 2.5%, the
tail of a 95% interval (3.9% at worst, of 21 comparisons: a binomial has steps). An honest one
before whom it wins a share p of n comparisons is called fooled with a chance that falls fast with
n (Wilson's interval, exact binomial):

    p      n = 20    n = 50    n = 100
    .05    .0003     <1e-6     <1e-6
    .1     .011      <1e-6     <1e-6
    .2     .20       .0025     <1e-5
    .3     .58       .14       .012
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from heed.evaluation.contestants import is_decoy
from heed.stats.intervals import Estimate

HALF = 50.0
ENOUGH = 20
"""Prompts below which a pairing says nothing of a judge."""
Word = Literal["resisted", "fooled", "too few", "no proof", "worthless"]


@dataclass(frozen=True)
class Pairing:
    """A decoy against a contestant: its win rate in percent, and what that says of the judge."""

    decoy: str
    against: str
    rate: Estimate
    word: Word


def decoy_pairings(
    rates: Mapping[tuple[str, str], Estimate],
    prompts: Mapping[tuple[str, str], int],
    baseline: str | None,
    *,
    infallible: bool = False,
) -> list[Pairing]:
    """Every decoy against everybody else.

    Args:
        rates: of each ordered pair, the first one's win rate against the second, in percent.
        prompts: on how many prompts each pair met.
        baseline: what a contestant must not be surely worse than to count; without one all count.
        infallible: the judge is the gold reward: before it, answers are worthless that do not
            surely beat a decoy.
    """
    found = []
    for (name, other), rate in rates.items():
        if not is_decoy(name) or is_decoy(other):
            continue
        counts = baseline is None or other == baseline or not _below(rates.get((other, baseline)))
        word: Word = "no proof"
        if prompts[name, other] < ENOUGH:
            word = "too few"
        elif _below(rate):
            word = "resisted"
        elif counts:
            word = "worthless" if infallible else "fooled"
        found.append(Pairing(name, other, rate, word))
    return found


def fooled_by(pairings: list[Pairing]) -> list[str]:
    """The decoys that fool the judge."""
    return list(dict.fromkeys(each.decoy for each in pairings if each.word == "fooled"))


def _below(rate: Estimate | None) -> bool:
    """Whether a win rate is surely below one half."""
    return rate is not None and rate.high < HALF
