"""From votes to who is better: win rates, ratings, ranks, cycles, and which judges to believe.

All of it is by one judge at a time; intervals are clustered by prompt, for several votes on one
prompt are not independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from heed.evaluation.contestants import is_decoy
from heed.evaluation.fooled import Pairing, decoy_pairings, fooled_by
from heed.evaluation.votes import LENGTH, Vote, by_pair, contest
from heed.recipe.compare import GOLD
from heed.stats.agreement import cohen_kappa
from heed.stats.contests import Contest
from heed.stats.controlled import Controlled, controlled_win_rates
from heed.stats.cycles import Cycles, cycles
from heed.stats.intervals import Estimate, proportion_interval
from heed.stats.rating_bootstrap import bootstrap_ratings
from heed.stats.ratings import Rating, bradley_terry
from heed.stats.style import STYLES
from heed.stats.win_rates import WinRate, win_rate

RIDGE = 0.5
"""Keeps ratings finite where somebody won or lost every vote; a few votes outweigh it."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class BesideBaseline:
    """One contestant against the baseline; None where the rate cannot be controlled."""

    raw: WinRate
    ties: Estimate
    length: Controlled | None
    style: Controlled | None


@dataclass(frozen=True)
class Standings:
    """What one judge's votes say.

    `ratings` are Bradley-Terry's of all but decoys, the best first, with sandwich intervals and
    ranks; `resampled` their bootstrap intervals. `pairs` is the win rate of the first of each
    ordered pair; `sides` counts votes for the left, the right and neither, as shown.
    """

    judge: str
    votes: int
    prompts: int
    sides: tuple[int, int, int]
    ratings: Sequence[Rating]
    resampled: Mapping[str, Estimate]
    pairs: Mapping[Pair, WinRate]
    baseline: str | None
    beside: Mapping[str, BesideBaseline]
    cycles: Cycles | None
    decoys: Sequence[Pairing]
    notes: Sequence[str]

    @property
    def fooled_by(self) -> list[str]:
        return fooled_by(list(self.decoys))


def standings(
    votes: Sequence[Vote], baseline: str | None = None, *, seed: int = 0, resamples: int = 1000
) -> Standings:
    """What the votes of one judge say.

    Args:
        votes: all by one judge.
        baseline: the contestant that others' controlled win rates are against, if any.
        seed: of the resampling.
        resamples: of the bootstrap and of chance cycles.

    Raises:
        ValueError: there are no votes, or they are of several judges.
    """
    judges = {vote.judge for vote in votes}
    if len(judges) != 1:
        raise ValueError(f"standings are by one judge, not by {len(judges)}")
    judge = judges.pop()
    notes: list[str] = []
    met = by_pair(votes)
    pairs = _win_rates(met)
    real = [vote for vote in votes if not (is_decoy(vote.left) or is_decoy(vote.right))]
    ratings, resampled = _ratings(real, notes, seed, resamples)
    left, right, scores = _columns(real)
    return Standings(
        judge=judge,
        votes=len(votes),
        prompts=len({vote.prompt for vote in votes}),
        sides=(
            sum(vote.score > 0.5 for vote in real),
            sum(vote.score < 0.5 for vote in real),
            sum(vote.score == 0.5 for vote in real),
        ),
        ratings=ratings,
        resampled=resampled,
        pairs=pairs,
        baseline=baseline,
        beside=_beside(met, pairs, baseline, notes),
        cycles=cycles(left, right, scores, resamples=resamples, seed=seed) if real else None,
        decoys=decoy_pairings(
            {pair: found.rate for pair, found in pairs.items()},
            {
                key: len({vote.prompt for vote in own})
                for pair, own in met.items()
                for key in (pair, pair[::-1])
            },
            baseline,
            infallible=judge == GOLD,
        ),
        notes=notes,
    )


def agreement(votes: Iterable[Vote], *, seed: int = 0) -> dict[Pair, Estimate]:
    """Cohen's kappa of each two judges, on the pairs that both voted on: won, lost or tied.

    Of several votes of one judge on a pair the mean counts. Decoys are left out, on which all
    honest judges agree. The interval is a bootstrap over prompts.
    """
    said: dict[str, dict[tuple[str, str, str], list[float]]] = {}
    prompts: dict[tuple[str, str, str], str] = {}
    for vote in votes:
        if is_decoy(vote.left) or is_decoy(vote.right):
            continue
        own = vote if vote.left < vote.right else vote.swapped
        key = (own.item, own.left, own.right)
        prompts[key] = own.prompt
        said.setdefault(own.judge, {}).setdefault(key, []).append(own.score)
    words = {
        judge: {key: _word(sum(scores) / len(scores)) for key, scores in table.items()}
        for judge, table in said.items()
    }
    found = {}
    for one, other in combinations(words, 2):
        common = [key for key in words[one] if key in words[other]]
        if common:
            found[one, other] = cohen_kappa(
                [words[one][key] for key in common],
                [words[other][key] for key in common],
                clusters=[prompts[key] for key in common],
                seed=seed,
            )
    return found


def _word(score: float) -> int:
    return int(score > 0.5) - int(score < 0.5)


def _columns(votes: Sequence[Vote]) -> tuple[list[str], list[str], list[float]]:
    return (
        [vote.left for vote in votes],
        [vote.right for vote in votes],
        [vote.score for vote in votes],
    )


def _win_rates(met: Mapping[Pair, Sequence[Vote]]) -> dict[Pair, WinRate]:
    """Of both orders of each pair."""
    found = {}
    for (one, other), own in met.items():
        prompts = [vote.prompt for vote in own]
        scores = [vote.score for vote in own]
        found[one, other] = win_rate(scores, prompts)
        found[other, one] = win_rate([1 - score for score in scores], prompts)
    return found


def _ratings(
    votes: Sequence[Vote], notes: list[str], seed: int, resamples: int
) -> tuple[list[Rating], dict[str, Estimate]]:
    """With intervals by the sandwich and by the bootstrap."""
    if not votes:
        return [], {}
    left, right, scores = _columns(votes)
    prompts = [vote.prompt for vote in votes]
    clusters = prompts if len(set(prompts)) > 1 else None
    if clusters is None:
        notes.append("All votes are on one prompt: intervals take them for independent.")
    ridge = 0.0
    try:
        ratings = bradley_terry(left, right, scores, clusters=clusters)
    except ValueError as error:
        ridge = RIDGE
        notes.append(f"Ratings are pulled together (ridge {RIDGE}): {error}.")
        ratings = bradley_terry(left, right, scores, clusters=clusters, ridge=ridge)
    resampled = bootstrap_ratings(
        left, right, scores, clusters=clusters, ridge=ridge, resamples=resamples, seed=seed
    )
    return ratings, resampled


def _beside(
    met: Mapping[Pair, Sequence[Vote]],
    pairs: Mapping[Pair, WinRate],
    baseline: str | None,
    notes: list[str],
) -> dict[str, BesideBaseline]:
    """Everyone who met the baseline, decoys apart."""
    if baseline is None:
        return {}
    own: dict[str, Sequence[Vote]] = {}
    for (one, other), votes in met.items():
        name = other if one == baseline else one
        if baseline in (one, other) and not is_decoy(name):
            own[name] = votes if other == baseline else [vote.swapped for vote in votes]
    by_length = _controlled(own, (LENGTH,), notes)
    by_style = _controlled(own, tuple(STYLES), notes)
    return {
        name: BesideBaseline(
            raw=pairs[name, baseline],
            ties=proportion_interval(
                [float(vote.score == 0.5) for vote in votes], [vote.prompt for vote in votes]
            ),
            length=by_length.get(name),
            style=by_style.get(name),
        )
        for name, votes in own.items()
    }


def _controlled(
    own: Mapping[str, Sequence[Vote]], styles: tuple[str, ...], notes: list[str]
) -> dict[str, Controlled]:
    """The controlled rates of the whole field, or none and a note where one has none."""
    label = LENGTH if styles == (LENGTH,) else "style"
    contests: dict[str, Contest] = {}
    try:
        for name, votes in own.items():
            contests[name] = contest(votes, styles)
        return controlled_win_rates(contests) if contests else {}
    except ValueError as error:
        notes.append(f"Win rates are not controlled for {label}: {error}.")
        return {}
