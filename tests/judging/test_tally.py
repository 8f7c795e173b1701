"""Counts of how a judge behaved, by hand."""

from __future__ import annotations

from typing import Any

from heed.judging.judge import Judgement, Opinion, Reply
from heed.judging.tally import Tally, tally


def opinion(verdict: Any, tries: int = 1, finish: Any = "stop") -> Opinion:
    return Opinion((Reply("...", finish),) * tries, verdict)


def test_counts_and_shares() -> None:
    judgements = [
        Judgement("1", "j", opinion(2), opinion(2)),
        Judgement("2", "j", opinion(7, tries=2), opinion(6)),
        Judgement("3", "j", opinion(2), opinion(7)),  # the first shown, twice
        Judgement("4", "j", opinion(7), opinion(2)),  # the second shown, twice
        Judgement("5", "j", opinion("tie"), opinion("tie")),
        Judgement("6", "j", opinion(None, tries=3, finish="length"), opinion(2)),
    ]
    counted = tally(judgements)
    assert counted == Tally(
        judged=6, replies=15, retried=2, cut=3, unparsable=1, consistent=3, first=1, second=1,
        ties=3,
    )  # fmt: skip
    assert counted.consistency == 3 / 5
    assert counted.tie_share == 3 / 6
    assert counted.unparsable_share == 1 / 6
    assert counted.to_json()["consistency"] == 3 / 5
    assert counted.to_json()["judged"] == 6


def test_of_nothing() -> None:
    assert tally([]).to_json()["tie_share"] is None
