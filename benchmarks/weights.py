"""Does weighting comparisons by their annotators' reliability make a better reward model?

    python -m benchmarks.weights RUN [--learner reward] [--seeds 3] [--items 1200] [--epochs N]

RUN is a run of the recipe `quickstart` whose `sft` and `collect` are finished. Its answers to
training prompts are labelled anew, 3 people an item, sides at random for each of them, by crowds of
the embedded world: its own 14 attentive people and 2 spammers, and crowds of 15 of whom 2, 4 or 6
are spammers (half of them always left, half at random, none in a hurry) and one a lover of the left
side. What they said is made into comparisons in several ways, and each trains a reward model: the
recipe's (from the SFT policy, with the settings of its reward stage), or a linear one on TF-IDF,
which costs next to nothing and so can have many seeds.

Every way gets the same items and labels, the same initial head, and as many optimiser steps as the
unweighted one has in the recipe's epochs, or so many epochs of its own comparisons (--epochs; in a
recipe they are 2). A seed draws items, people and labels anew. Measured on RUN's pairs on held-out
prompts: how often the model prefers the answer of the higher gold total, and how often it would
agree with an attentive person of the crowd (in expectation, in closed form).

Measurements are appended to the file of --results; those that stand there are not made again.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.annotators import gold
from benchmarks.weightings import (
    CROWDS,
    PLAIN,
    WAYS,
    Study,
    ask,
    attends,
    crowd_of,
    unweighted,
)
from heed.config import load_recipe
from heed.evaluation.accuracy import correctness
from heed.evaluation.baselines import tfidf_baseline
from heed.files import read_records
from heed.models.modes import disable_dropout
from heed.models.reward_model import new_reward_model
from heed.models.rows import pair_rows
from heed.ops.order import Order
from heed.recipe import Reward
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.learned import LearnedReward
from heed.run import StageRun
from heed.stages.workplace import context_of
from heed.stats.intervals import Estimate, difference_interval, mean_interval
from heed.trainer import Trainer
from heed.types import Comparison, Item
from heed.world.annotators import preference

# What learns from them


@dataclass(frozen=True)
class Lesson:
    """Comparisons to learn from, and in how many passes."""

    run: Path
    seed: int
    train: list[Comparison]
    epochs: float


def reward_settings() -> Reward:
    settings = load_recipe("quickstart").stage("reward")
    assert isinstance(settings, Reward)
    return settings


def reward_model(lesson: Lesson, heldout: list[Comparison]) -> list[float]:
    """A reward model as the recipe's reward stage trains it: its correctness."""
    settings = reward_settings()
    policy, seed = lesson.run / "sft" / "policy", lesson.seed
    model = new_reward_model(policy, device="cpu", dtype="float32", seed=seed)
    disable_dropout(model.model)
    context = context_of(model, settings.context)
    data = pair_rows(model.chat, lesson.train, context)
    order = Order(len(data), settings.batch, seed)
    method = reward_modelling(model, data, order)
    with tempfile.TemporaryDirectory() as place:
        Trainer(
            method=method,
            settings=settings,
            run=StageRun(settings, "", Path(place), Path(place), writes=False),
            iterations=order.steps(lesson.epochs),
            seed=seed,
            monitor=None,
        ).train()
    return correctness(LearnedReward(model, context=context), heldout)


def linear(lesson: Lesson, heldout: list[Comparison]) -> list[float]:
    """Logistic regression on TF-IDF, which knows no margins: its correctness."""
    return tfidf_baseline(lesson.train, heldout)


LEARNERS: Mapping[str, Callable[[Lesson, list[Comparison]], list[float]]] = {
    "reward": reward_model,
    "linear": linear,
}


# Measuring


@dataclass(frozen=True)
class Task:
    """One training: what learns, from how many items, who labelled, how comparisons are made.

    epochs: of the way's own comparisons; None: the steps of the unweighted way.
    """

    learner: str
    items: int
    epochs: float | None
    crowd: str
    seed: int
    way: str


@dataclass(frozen=True)
class Measured:
    """Accuracy by held-out pair: `gold` of those that gold tells apart, `people` of all."""

    task: Task
    rows: int
    gold: list[float]
    people: list[float]


@cache
def pool(run: Path) -> tuple[list[Item], list[Item]]:
    """The run's items on training and on held-out prompts."""
    items = read_records(run / "collect" / "items.jsonl", Item)
    return (
        [item for item in items if item.prompt.split == "train"],
        [item for item in items if item.prompt.split == "heldout"],
    )


def better(item: Item) -> float:
    """1 where gold prefers the first answer, 0 where the second, 1/2 where neither."""
    one, other = (gold(item.prompt.id, text).total for text in item.answers)
    return (1 + float(np.sign(one - other))) / 2


@lru_cache(maxsize=1)
def labelled(run: Path, count: int, crowd: str, seed: int) -> tuple[Study, list[float]]:
    """What a crowd said, and how likely its attentive people prefer held-out first answers."""
    train, heldout = pool(run)
    items = random.Random(f"{seed}/items").sample(train, count)
    people = crowd_of(crowd, seed)
    attentive = [each for each in people if attends(each.person)]
    study = Study(
        {item.id: item for item in items},
        ask(people, items, seed),
        frozenset(each.name for each in attentive),
    )
    return study, [preference(attentive, item.pair()) for item in heldout]


def measure(run: Path, task: Task) -> Measured:
    """Train on one way to make comparisons, and see what comes of it on the held-out pairs."""
    torch.set_num_threads(1)
    study, attentive = labelled(run, task.items, task.crowd, task.seed)
    labels = len(unweighted(study))
    made = weighing(labels, WAYS[task.way](study))
    epochs = task.epochs or reward_settings().epochs * labels / len(made)
    heldout = pool(run)[1]
    pairs = [Comparison(item.prompt, item.answers[0], item.answers[1]) for item in heldout]
    first = LEARNERS[task.learner](Lesson(run, task.seed, made, epochs), pairs)
    gold_says = [better(item) for item in heldout]
    return Measured(
        task,
        len(made),
        [1 - abs(a - b) for a, b in zip(first, gold_says, strict=True) if b != 0.5],
        [round(p * a + (1 - p) * (1 - a), 6) for a, p in zip(first, attentive, strict=True)],
    )


def weighing(total: float, made: Sequence[Comparison]) -> list[Comparison]:
    """The same with weights of this sum: what the linear model's ridge stands against."""
    factor = total / sum(each.weight for each in made)
    return [replace(each, weight=each.weight * factor) for each in made]


def measure_all(
    results: Path, tasks: Sequence[Task], job: Callable[[Task], Measured], jobs: int
) -> dict[Task, Measured]:
    """What is not in the file yet is measured and appended to it."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {Task(**row["task"]): Measured(**{**row, "task": Task(**row["task"])}) for row in rows}
    with ProcessPoolExecutor(jobs) as workers:
        for found in workers.map(job, [task for task in tasks if task not in done]):
            done[found.task] = found
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(found)) + "\n")
    return {task: done[task] for task in tasks}


# The table

ACCURACIES = ("gold", "people")
HEAD = (
    "| crowd | comparisons | rows | gold | gain, points [over seeds] [over prompts] "
    "| attentive people | gain, points [over seeds] [over prompts] |"
)


def table(found: Mapping[Task, Measured], prompts: Mapping[str, list[str]]) -> None:
    """A row a crowd and way: accuracies, and what they gain on the unweighted way's."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for task, measured in found.items():
        groups.setdefault((task.crowd, task.way), []).append(measured)  # by seed, in order
    crowds, ways = (list(dict.fromkeys(names)) for names in zip(*groups, strict=True))
    print(f"{HEAD}\n|{'---|' * 7}")
    for (crowd, way), own in groups.items():
        plain = groups[crowd, PLAIN]
        cells = [_gain(_rows(own, name), _rows(plain, name), prompts[name]) for name in ACCURACIES]
        print(f"| {crowd} | {way} | {np.mean([each.rows for each in own]):.0f} |", *cells)
    for way in ways[1:]:
        cells = []
        for name in ACCURACIES:
            # The crowds of one seed share items and people: they give one value.
            ours, theirs = (
                np.mean([_rows(groups[crowd, one], name).mean(axis=1) for crowd in crowds], axis=0)
                for one in (way, PLAIN)
            )
            cells.append(f"{ours.mean():.3f} | {points(mean_interval(ours - theirs))} |")
        print(f"| all | {way} | |", *cells)


def _rows(measured: Sequence[Measured], name: str) -> NDArray[np.float64]:
    """Accuracies, seeds by held-out pairs."""
    return np.array([getattr(each, name) for each in measured])


def _gain(own: NDArray[np.float64], plain: NDArray[np.float64], prompts: list[str]) -> str:
    if np.array_equal(own, plain):
        return f"{own.mean():.3f} | |"
    seeds = mean_interval(own.mean(axis=1) - plain.mean(axis=1))
    within = difference_interval(own.mean(axis=0), plain.mean(axis=0), prompts, prompts)
    return f"{own.mean():.3f} | {points(seeds)} [{bounds(within)}] |"


def points(gain: Estimate) -> str:
    return f"{100 * gain.mean:+.1f} [{bounds(gain)}]"


def bounds(gain: Estimate) -> str:
    return f"{100 * gain.low:+.1f}, {100 * gain.high:+.1f}"


def quoted(names: Sequence[str]) -> str:
    return " ".join(shlex.quote(name) for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--learner", choices=LEARNERS, default="reward")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--crowds", nargs="+", choices=CROWDS, default=[*CROWDS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--items", type=int, default=1200)
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("weights.jsonl"))
    asked = parser.parse_args()
    ways = list(dict.fromkeys([PLAIN, *asked.ways]))
    tasks = [
        Task(asked.learner, asked.items, asked.epochs, crowd, seed, way)
        for seed in range(asked.seeds)
        for crowd in asked.crowds
        for way in ways
    ]
    found = measure_all(asked.results, tasks, partial(measure, asked.run), asked.jobs)
    heldout = pool(asked.run)[1]
    prompts = {
        "gold": [item.prompt.id for item in heldout if better(item) != 0.5],
        "people": [item.prompt.id for item in heldout],
    }
    epochs = f" --epochs {asked.epochs}" if asked.epochs else ""
    print(
        f"python -m benchmarks.weights RUN --learner {asked.learner} --seeds {asked.seeds} "
        f"--items {asked.items}{epochs} --crowds {quoted(asked.crowds)} --ways {quoted(ways)}\n"
    )
    table(found, prompts)


if __name__ == "__main__":
    main()
