"""Who is found among simulated annotators, and what a weighted vote gains on the plain majority.

    python -m benchmarks.annotators [--simulations 200] [--jobs 2]

Crowds of the embedded world label pairs of its own answers (good, wrong, rambling, rude and
harmful as in its corpus), sides at random. The known gold reward says which answer is better, and
the crowd is made by hand, so it is known who should be flagged.

Power: 12 attentive people, one who always clicks left, one who mostly clicks at random, one who
loves the left side; 60 labels each, 3 an item. Detection is the share of simulations in which the
person has a flag; of the random clicker only flags for disagreement count, at an attentive
person's speed. The false-flag rate is that of one attentive person, for a flag of any kind.

Consensus: 15 people of whom some are spammers (every other one always left, the rest at random).
Each vote's decision is held against the gold on the items whose answers differ in it; where the
majority is tied it is credited with one half. The gain is paired over the simulations.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from scipy import stats

from heed.feedback.crowd import decided, fit_reliability
from heed.feedback.preferences import Preference
from heed.feedback.quality import annotator_reports
from heed.stats.consensus import dawid_skene, plurality
from heed.stats.intervals import mean_interval, proportion_interval
from heed.types import Annotation, Item
from heed.world.annotators import Person, SimulatedAnnotator, draw_people
from heed.world.gold import Gold
from heed.world.world import CORPUS, CORPUS_HARMFUL, World

LABELS = 60
ATTENTIVE = 12
AT_RANDOM = 1e-9
"""The reliability of who clicks at random without hurrying; the world's own spammers hurry."""
BIASES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
STATED_BIAS = 5.0
RELIABILITIES = (AT_RANDOM, 0.1, 0.25, 0.5, 0.75)
SPAMMERS = (0, 2, 4, 6)
WORLD = World(0)


@lru_cache(maxsize=200_000)
def gold(prompt_id: str, text: str) -> Gold:
    return WORLD.gold(WORLD.prompt(prompt_id), text)


@dataclass(frozen=True)
class Study:
    """What one simulated crowd gave: the items and all that was said of them."""

    items: dict[str, Item]
    annotations: list[Annotation]


def attentive(seed: int, count: int) -> list[Person]:
    """So many attentive people of the world's own kind, drawn anew for every seed."""
    drawn = [
        person
        for batch in range(count // 10 + 1)
        for person in draw_people(1000 * seed + batch)
        if not person.spammer
    ]
    return [replace(person, name=f"attentive {k}") for k, person in enumerate(drawn[:count])]


def suspects(seed: int, left_bias: float, reliability: float) -> list[Person]:
    """The attentive and three others."""
    *honest, lover, clicker, left = attentive(seed, ATTENTIVE + 3)
    return [
        *honest,
        replace(lover, name="lover", left_bias=left_bias),
        replace(clicker, name="random", reliability=reliability),
        replace(left, name="left", always_left=True),
    ]


def with_spammers(seed: int, spammers: int) -> list[Person]:
    """Fifteen people, so many of them spammers."""
    people = attentive(seed, 15)
    return [
        replace(each, always_left=True)
        if k < spammers and k % 2 == 0
        else replace(each, reliability=AT_RANDOM)
        if k < spammers
        else each
        for k, each in enumerate(people)
    ]


def questions(count: int, rng: random.Random) -> dict[str, Item]:
    """Pairs of unlike answers to train prompts, of kinds drawn as in the corpus."""
    items: dict[str, Item] = {}
    while len(items) < count:
        prompt = rng.choice(WORLD.split("train"))
        mix = CORPUS_HARMFUL if prompt.family == "harmful" else CORPUS
        kinds = rng.choices(tuple(mix), weights=tuple(mix.values()), k=2)
        one, other = (WORLD.answer(prompt, kind, rng) for kind in kinds)
        if one.strip() != other.strip():
            name = f"item {len(items)}"
            items[name] = Item(name, prompt, (one, other))
    return items


def ask(seed: int, people: Sequence[Person], per_item: int) -> Study:
    """Every item to so many different people, about `LABELS` labels each."""
    rng = random.Random(f"{seed}/ask")
    items = questions(LABELS * len(people) // per_item, rng)
    crowd = [
        SimulatedAnnotator(person, lambda prompt, text: gold(prompt.id, text), seed)
        for person in people
    ]
    given = dict.fromkeys((each.name for each in crowd), 0)
    said = []
    for item in items.values():
        rested = sorted(crowd, key=lambda each: (given[each.name], rng.random()))
        for each in rested[:per_item]:
            given[each.name] += 1
            said.append(each.annotate_item(item, rng.choice(((0, 1), (1, 0)))))
    return Study(items, said)


# Power


@dataclass(frozen=True)
class Found:
    """Who was flagged in one simulation; `honest` holds the attentive one by one."""

    lover: bool
    counted: bool
    clicker: bool
    left: bool
    honest: tuple[bool, ...]
    left_share: float


def find(left_bias: float, reliability: float, seed: int) -> Found:
    study = ask(seed, suspects(seed, left_bias, reliability), 3)
    reports = {each.annotator: each for each in annotator_reports(study.annotations, study.items)}
    lover = reports["lover"]
    return Found(
        lover=any(flag.kind == "side" for flag in lover.flags),
        # The test that only counts left verdicts, corrected for as many people.
        counted=_counted(lover.left.mean, lover.left.n, len(reports)),
        clicker=any(flag.kind == "agreement" for flag in reports["random"].flags),
        left=bool(reports["left"].flags),
        honest=tuple(bool(reports[f"attentive {k}"].flags) for k in range(ATTENTIVE)),
        left_share=lover.left.mean,
    )


def _counted(share: float, n: int, people: int) -> bool:
    return bool(stats.binomtest(round(share * n), n).pvalue < 0.05 / people)


def power(run: Callable[..., list[Found]]) -> None:
    print("left bias | left share | found  by counting lefts alone | false flags an honest person")
    for bias in BIASES:
        found = run(partial(find, bias, AT_RANDOM))
        share = np.mean([each.left_share for each in found])
        print(
            f"{bias:9.1f} | {share:10.2f} | {rate([each.lover for each in found])}   "
            f"{rate([each.counted for each in found])} | {false_flags(found)}"
        )
    print("\nattention of the random clicker | found | always left found | false flags")
    for reliability in RELIABILITIES:
        found = run(partial(find, STATED_BIAS, reliability))
        print(
            f"{reliability:31.2f} | {rate([each.clicker for each in found])} | "
            f"{rate([each.left for each in found])} | {false_flags(found)}"
        )


def rate(hits: Sequence[bool]) -> str:
    share = proportion_interval([float(hit) for hit in hits])
    return f"{share.mean:.3f} [{share.low:.3f}, {share.high:.3f}]"


def false_flags(found: Sequence[Found]) -> str:
    """Attentive people of one simulation are not independent: the simulation is the cluster."""
    hits = [float(hit) for each in found for hit in each.honest]
    clusters = [k for k, each in enumerate(found) for _ in each.honest]
    share = proportion_interval(hits, clusters)
    return f"{share.mean:.4f} [{share.low:.4f}, {share.high:.4f}]"


# Consensus


def right(spammers: int, per_item: int, seed: int) -> tuple[float, float, float]:
    """The share of decisions that agree with gold: majority, weighted vote, Dawid-Skene."""
    study = ask(seed, with_spammers(seed, spammers), per_item)
    votes = decided(study.annotations)
    model = fit_reliability(votes, {})
    weighted = dict(zip(model.items, model.log_odds > 0, strict=True))
    lists = _lists(votes)
    plain = plurality(*lists)
    counted = dict(zip(plain.items, plain.labels, strict=True))
    full = dawid_skene(*lists, smoothing=1.0)
    classed = dict(zip(full.items, full.labels, strict=True))
    scores = []
    for unit in model.items:
        item = study.items[unit[0]]  # type: ignore[index]
        one, other = (gold(item.prompt.id, text).total for text in item.answers)
        if one != other:
            best, chosen = one > other, counted[unit]
            half = 0.5 if chosen is None else float(chosen == best)
            scores.append((half, float(weighted[unit] == best), float(classed[unit] == best)))
    mean = np.mean(scores, axis=0)
    return float(mean[0]), float(mean[1]), float(mean[2])


def _lists(votes: Sequence[Preference]) -> tuple[list[object], list[str], list[bool]]:
    units: list[object] = [each.unit for each in votes]
    return units, [each.annotator for each in votes], [each.said == "first" for each in votes]


def consensus(run: Callable[..., list[tuple[float, float, float]]]) -> None:
    print("\nspammers of 15 | labels an item | majority | weighted vote, gain | Dawid-Skene, gain")
    for spammers in SPAMMERS:
        for per_item in (3, 5):
            table = np.array(run(partial(right, spammers, per_item)))
            plain, weighted, full = table.T
            print(
                f"{spammers:14d} | {per_item:14d} | {plain.mean():8.3f} | "
                f"{weighted.mean():.3f} {gain(weighted - plain)} | "
                f"{full.mean():.3f} {gain(full - plain)}"
            )


def gain(differences: np.ndarray) -> str:
    mean = mean_interval(differences)
    return f"{100 * mean.mean:+.1f} points [{100 * mean.low:+.1f}, {100 * mean.high:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    settings = parser.parse_args()
    print(f"python -m benchmarks.annotators --simulations {settings.simulations}\n")
    with ProcessPoolExecutor(settings.jobs) as pool:
        seeds = range(settings.simulations)

        def run(simulate: Callable[[int], object]) -> list[object]:
            return list(pool.map(simulate, seeds, chunksize=5))

        power(run)  # type: ignore[arg-type]
        consensus(run)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
