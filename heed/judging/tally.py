"""How a judge behaved over many pairs: consistency, ties, replies without a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heed.judging.judge import Judgement, side


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over judged pairs.

    `judged`: pairs. `replies`: times the judge was asked. `retried`: orders asked more than once.
    `cut`: replies that ran into the sampler's max_new_tokens. `unparsable`: pairs without a
    verdict in one order or both. `consistent`: pairs whose two orders gave one verdict.
    `first`, `second`: pairs whose two orders both chose the answer that was shown first (second).
    `ties`: pairs with the verdict "tie", most of them orders that disagreed.
    """

    judged: int
    replies: int
    retried: int
    cut: int
    unparsable: int
    consistent: int
    first: int
    second: int
    ties: int

    @property
    def consistency(self) -> float | None:
        """Share of the pairs with two verdicts on which both orders agree."""
        return _share(self.consistent, self.judged - self.unparsable)

    @property
    def tie_share(self) -> float | None:
        return _share(self.ties, self.judged)

    @property
    def unparsable_share(self) -> float | None:
        return _share(self.unparsable, self.judged)

    def to_json(self) -> dict[str, float | int | None]:
        """Counts and shares, for a stage's summary; a share of nothing is null."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        shares = ("consistency", "tie_share", "unparsable_share")
        return {**counts, **{name: getattr(self, name) for name in shares}}


def tally(judgements: Sequence[Judgement]) -> Tally:
    """Count what the judgements show of the judge."""
    opinions = [each for one in judgements for each in (one.as_given, one.swapped)]
    sides = [(side(one.as_given.verdict), side(one.swapped.verdict)) for one in judgements]
    return Tally(
        judged=len(judgements),
        replies=sum(each.attempts for each in opinions),
        retried=sum(each.attempts > 1 for each in opinions),
        cut=sum(reply.finish == "length" for each in opinions for reply in each.replies),
        unparsable=sum(one.unparsable for one in judgements),
        consistent=sum(one.consistent for one in judgements),
        first=sides.count(("left", "right")),
        second=sides.count(("right", "left")),
        ties=sum(one.verdict == "tie" for one in judgements),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
