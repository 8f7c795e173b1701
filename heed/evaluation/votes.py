"""Votes between two contestants, whoever cast them, with what there is to know of the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from heed.data.alpaca_eval import Judged
from heed.stats.contests import Contest
from heed.stats.style import STYLES
from heed.types import Annotation, Item

LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Vote:
    """Somebody's word on one pair; `left` and `right` are the contestants as they were shown.

    `judge` is who was asked (a judge, or people at large), `annotator` who answered. `score` is
    the left one's: 1 won, 0 lost, .5 a tie, between them what a judge is unsure of. `differences`
    are the left answer's counts less the right one's, by name of `stats/style.py: STYLES`; those
    that are not known are not there.
    """

    judge: str
    item: str
    prompt: str
    left: str
    right: str
    score: float
    annotator: str = ""
    differences: Mapping[str, float] = field(default_factory=dict)

    @property
    def swapped(self) -> Vote:
        """The same word, of the right one."""
        return Vote(
            self.judge, self.item, self.prompt, self.right, self.left, 1 - self.score,
            self.annotator, {name: -value for name, value in self.differences.items()},
        )  # fmt: skip


def votes_of(judge: str, items: Iterable[Item], said: Iterable[Annotation]) -> list[Vote]:
    """What annotations say of each two answers whose authors are known and not the same.

    "Both bad" is a tie, as in the arena; "cannot tell" says nothing. A ranking is a vote on each
    two of its answers.
    """
    known = {item.id: item for item in items}
    counted: dict[tuple[str, int], dict[str, int]] = {}
    votes = []
    for annotation in said:
        item = known[annotation.item]
        ranks = annotation.ranks
        if annotation.verdict == "both_bad":
            ranks = (1,) * len(item.answers)
        if ranks is None or not item.models:
            continue
        for first, second in combinations(annotation.order, 2):
            if item.models[first] == item.models[second]:
                continue
            a, b = (_counts(counted, item, place) for place in (first, second))
            votes.append(
                Vote(
                    judge=judge,
                    item=item.id,
                    prompt=item.prompt.id,
                    left=item.models[first],
                    right=item.models[second],
                    score=0.5 + 0.5 * np.sign(ranks[second] - ranks[first]).item(),
                    annotator=annotation.annotator,
                    differences={name: a[name] - b[name] for name in STYLES},
                )
            )
    return votes


def _counts(
    counted: dict[tuple[str, int], dict[str, int]], item: Item, place: int
) -> dict[str, int]:
    """An answer's counts of style, taken once."""
    if (item.id, place) not in counted:
        text = item.answers[place]
        counted[item.id, place] = {name: count(text) for name, count in STYLES.items()}
    return counted[item.id, place]


def votes_of_alpaca_eval(judged: Iterable[Judged], judge: str = "judge") -> list[Vote]:
    """AlpacaEval's preferences, the model on the left; those that could not be read are left out.

    Entries that name their annotator are that judge's.
    """
    votes = []
    for each in judged:
        if each.win is None:
            continue
        if each.answers is None:
            own, other = each.characters[1], each.characters[0]
            differences = {LENGTH: float(own - other)}
        else:
            baseline, answer = each.answers
            differences = {n: float(count(answer) - count(baseline)) for n, count in STYLES.items()}
        votes.append(
            Vote(
                judge=each.annotator or judge,
                item=f"{each.item}\n{each.model}",
                prompt=each.item,
                left=each.model,
                right=each.baseline or "baseline",
                score=each.win,
                annotator=each.annotator,
                differences=differences,
            )
        )
    return votes


def by_pair(votes: Iterable[Vote]) -> dict[tuple[str, str], list[Vote]]:
    """The votes on each two, told from the one of them that was met first."""
    pairs: dict[tuple[str, str], list[Vote]] = {}
    for vote in votes:
        turned = (vote.right, vote.left) in pairs
        own = vote.swapped if turned else vote
        pairs.setdefault((own.left, own.right), []).append(own)
    return pairs


def contest(votes: Sequence[Vote], styles: Iterable[str] = ()) -> Contest:
    """Votes on one pair as the left one's contest with the right one, an item being a prompt.

    Raises:
        ValueError: a difference is not known of all of them.
    """
    wanted = list(styles)
    if any(name not in vote.differences for vote in votes for name in wanted):
        raise ValueError("the answers are not all at hand, so that their style is unknown")
    return Contest(
        [vote.prompt for vote in votes],
        np.array([vote.score for vote in votes], dtype=np.float64),
        {name: np.array([vote.differences[name] for vote in votes], float) for name in wanted},
    )
