"""What gates ask of comparisons that come from several sources: does one contradict the others?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from heed.evaluation.baselines import tfidf_baseline
from heed.gates.finding import Finding
from heed.gates.imports import Hits, swapped
from heed.recipe import Collect, Records, RewardModelling, SwappedGate, listed
from heed.stages.workplace import Workplace
from heed.types import Comparison

FOLDS = 2
"""Parts in which the others' own labels are predicted, each from the rest."""
MOST = 3000
"""Comparisons that are learned from, and looked at, of a source and of the others."""


def contradicting(
    work: Workplace, stage: Records | Collect | RewardModelling, gate: SwappedGate
) -> Finding | None:
    """The comparisons of a stage, or of several that a reward learns from, by their source: by
    labels of the same answers where there are enough, or else by what the others predict.
    """
    several = isinstance(stage, RewardModelling)
    names = listed(stage.comparisons) if isinstance(stage, RewardModelling) else [stage.name]
    if several and len(names) == 1:
        return None  # asked of that stage itself
    pairs = [
        pair
        for name in names
        for split in ("comparisons", "heldout")
        if work.path(name, f"{split}.jsonl").exists()
        for pair in work.records(name, split, Comparison)
    ]
    sources = _by_source(pairs)
    if len(sources) < 2:
        return None
    given = {"share": gate.share, "false_alarms": gate.false_alarms}
    rest = {name: [p for p in pairs if _source(p) != name] for name in sources}
    side_by_side = {name: overlap(own, rest[name]) for name, own in sources.items()}
    found = swapped(side_by_side, by="other labels of the same answers", **given)
    if found is not None:
        return found
    return swapped(
        {name: predicted(own, rest[name]) for name, own in sources.items()},
        by="a simple reward that learned from the others would",
        **given,
    )


def _source(pair: Comparison) -> str:
    """Who labelled it; of transcripts, which file it stood in."""
    return pair.source or pair.prompt.family


def _by_source(pairs: Sequence[Comparison]) -> Mapping[str, list[Comparison]]:
    found: dict[str, list[Comparison]] = {}
    for pair in pairs:
        found.setdefault(_source(pair), []).append(pair)
    return found


def overlap(own: Sequence[Comparison], rest: Sequence[Comparison]) -> tuple[Hits, Hits]:
    """How often labels are those that others gave the same two answers: a source's by the rest,
    the rest's by each other.
    """
    votes: Counter[tuple[Hashable, str]] = Counter()
    for pair in rest:
        votes[_answers(pair), pair.chosen] += 1
    return _shares(own, votes, 0), _shares(rest, votes, 1)


def _answers(pair: Comparison) -> Hashable:
    return pair.prompt.messages, frozenset((pair.chosen, pair.rejected))


def _shares(
    pairs: Sequence[Comparison], votes: Mapping[tuple[Hashable, str], int], themselves: int
) -> Hits:
    """The share of the votes on its answers that is as each label says, its own left out."""
    right, prompts = [], []
    for pair in pairs:
        unit = _answers(pair)
        alike, other = votes[unit, pair.chosen] - themselves, votes[unit, pair.rejected]
        if alike + other:
            right.append(alike / (alike + other))
            prompts.append(pair.prompt.messages)
    return Hits(right, prompts)


def predicted(own: Sequence[Comparison], rest: Sequence[Comparison]) -> tuple[Hits, Hits]:
    """How often labels are what words predict (tf-idf, logistic regression) of a model that learned
    from the rest: a source's, and the rest's own, in folds by prompt.
    """
    own, rest = _spread(own, MOST), _spread(rest, MOST)
    fold = {pair.prompt.messages: 0 for pair in rest}
    fold = {name: at % FOLDS for at, name in enumerate(fold)}
    right: list[float] = []
    prompts: list[Hashable] = []
    for number in range(FOLDS):
        test = [pair for pair in rest if fold[pair.prompt.messages] == number]
        train = [pair for pair in rest if fold[pair.prompt.messages] != number]
        right += tfidf_baseline(train, test)
        prompts += [pair.prompt.messages for pair in test]
    hits = Hits(tfidf_baseline(rest, own), [pair.prompt.messages for pair in own])
    return hits, Hits(right, prompts)


def _spread(pairs: Sequence[Comparison], most: int) -> list[Comparison]:
    few = min(most, len(pairs))
    return [pairs[at * len(pairs) // few] for at in range(few)]
