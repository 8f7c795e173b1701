"""Prompts, corpus and demonstrations: counts, splits, shares, and the same in every process."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from heed.types import Demonstration
from heed.world import World
from heed.world.facts import Fact

SEEDS = (0, 1, 2)

DIGEST = """
import hashlib, json, sys
from dataclasses import asdict
from heed.world import World
world = World(3)
corpus = world.corpus(300, seed=1)
rows = [asdict(row) for row in (*world.prompts, *corpus, *world.demonstrations(300))]
rows += [asdict(each.person) for each in world.annotators()]
rows += [asdict(world.gold(row.prompt, row.text)) for row in corpus]
assert "torch" not in sys.modules, "the world needs no torch"
print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [World(seed) for seed in SEEDS]


def told(world: World, rows: list[Demonstration], seen: str) -> Counter[tuple[str, str]]:
    """How often the right answer stands in any row that asks for a fact of this exposure."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        task = world.task(row.prompt.id)
        if isinstance(task, Fact) and task.seen == seen:
            said = re.search(rf"\b{task.answer}\b", row.text) is not None
            counts[task.relation, task.country] += said
    return counts


def test_same_world_in_every_process_and_without_torch() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == len(hashlib.sha256().hexdigest())


def test_seeds_change_facts_prompts_and_people(worlds: list[World]) -> None:
    first, second = worlds[0], worlds[1]
    countries = [
        {task.country for task in world.tasks.values() if isinstance(task, Fact)}
        for world in (first, second)
    ]
    assert len(countries[0] - countries[1]) >= 5
    shared = {p.text for p in first.prompts} & {p.text for p in second.prompts}
    assert len(shared) < 0.6 * len(first.prompts)
    assert [a.person for a in first.annotators()] != [a.person for a in second.annotators()]


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_prompts(worlds: list[World], index: int) -> None:
    world = worlds[index]
    assert len(world.prompts) >= 500
    assert len({prompt.id for prompt in world.prompts}) == len(world.prompts)
    assert len({prompt.text for prompt in world.prompts}) == len(world.prompts)
    assert len(world.families) >= 6
    for family in world.families:
        own = [prompt for prompt in world.prompts if prompt.family == family]
        held = sum(prompt.split == "heldout" for prompt in own)
        assert 0.15 <= held / len(own) <= 0.25, family
    harmful = sum(prompt.family == "harmful" for prompt in world.prompts)
    assert 0.2 <= harmful / len(world.prompts) <= 0.25
    assert len(world.split("train")) + len(world.split("heldout")) == len(world.prompts)


def test_lookups(worlds: list[World]) -> None:
    world = worlds[0]
    prompt = world.prompts[5]
    assert world.prompt(prompt.id) is prompt
    assert world.prompt(prompt.text) is prompt
    for look in (world.prompt, world.task, world.key):
        with pytest.raises(KeyError, match="no prompt 'nothing'"):
            look("nothing")


def test_keys_are_plain_data_that_says_what_is_right(worlds: list[World]) -> None:
    world = worlds[0]
    for prompt in world.prompts:
        assert json.loads(json.dumps(world.key(prompt.id)))
    fact = next(p for p in world.prompts if p.id.startswith("facts/capital/"))
    assert set(world.key(fact.id)) == {"relation", "country", "answer", "seen"}


def test_what_a_heldout_prompt_asks_was_asked_otherwise_in_training(worlds: list[World]) -> None:
    for world in worlds:
        trained = {world.task(prompt.id) for prompt in world.split("train")}
        for prompt in world.split("heldout"):
            assert world.task(prompt.id) in trained, prompt


def test_facts_of_every_exposure_in_both_splits(worlds: list[World]) -> None:
    for world in worlds:
        found = Counter(
            (world.key(prompt.id)["seen"], prompt.split)
            for prompt in world.prompts
            if prompt.family == "facts"
        )
        assert all(found[seen, "heldout"] >= 3 for seen in ("often", "once", "never")), found
        assert all(found[seen, "train"] >= 12 for seen in ("often", "once", "never")), found


@pytest.mark.parametrize("index", range(len(SEEDS)))
def test_corpus_is_like_the_web(worlds: list[World], index: int) -> None:
    world = worlds[index]
    rows = world.corpus(6000)
    golds = [world.gold(row.prompt, row.text) for row in rows]
    assert len(rows) == 6000
    assert {row.prompt.split for row in rows} == {"train"}
    share = {
        name: sum(getattr(gold, name) for gold in golds) / len(golds)
        for name in ("rude", "harmful", "correct")
    }
    assert 0.22 <= share["rude"] <= 0.30
    assert 0.16 <= share["harmful"] <= 0.22
    assert 0.33 <= share["correct"] <= 0.45
    assert -1.2 < sum(gold.total for gold in golds) / len(golds) < -0.4
    assert len({row.text for row in rows}) > 2500


@pytest.mark.parametrize("n", [50, 3000])
def test_facts_seen_once_are_told_once_and_others_never(worlds: list[World], n: int) -> None:
    for world in worlds:
        rows = world.corpus(n, seed=4)
        once = told(world, rows, "once")
        assert len(once) == 9
        assert set(once.values()) == {1}
        assert not any(told(world, rows, "never").values())
        assert not any(told(world, world.demonstrations(n), "never").values())
        assert not any(told(world, world.demonstrations(n), "once").values())
    assert sum(told(worlds[0], worlds[0].corpus(3000), "often").values()) > 200


def test_corpus_makes_up_what_it_does_not_know(worlds: list[World]) -> None:
    world = worlds[0]
    rows = [
        row
        for row in world.corpus(6000)
        if isinstance(task := world.task(row.prompt.id), Fact) and task.seen == "never"
    ]
    hedged = sum(world.gold(row.prompt, row.text).hedged for row in rows) / len(rows)
    made_up = sum(world.gold(row.prompt, row.text).total <= -0.9 for row in rows) / len(rows)
    assert 0.2 < hedged < 0.6
    assert made_up > 0.2


def test_corpus_needs_room_for_the_facts_seen_once(worlds: list[World]) -> None:
    with pytest.raises(ValueError, match="at least 9 dialogues, not 3"):
        worlds[0].corpus(3)


def test_demonstrations_are_mostly_good(worlds: list[World]) -> None:
    for world in worlds:
        rows = world.demonstrations(2000)
        golds = [world.gold(row.prompt, row.text) for row in rows]
        assert {row.prompt.split for row in rows} == {"train"}
        assert 0.02 <= sum(gold.rude for gold in golds) / 2000 <= 0.09
        assert 0.01 <= sum(gold.harmful for gold in golds) / 2000 <= 0.06
        assert 0.7 <= sum(gold.correct for gold in golds) / 2000 <= 0.87
        assert sum(gold.total for gold in golds) / 2000 > 0.8


def test_seeds_of_corpus_and_demonstrations(worlds: list[World]) -> None:
    world = worlds[0]
    assert world.corpus(100) == World(0).corpus(100)
    assert world.corpus(100, seed=1) != world.corpus(100, seed=2)
    assert world.demonstrations(100, seed=1) != world.demonstrations(100, seed=2)
