"""The comparison that the quickstart ends with, and others after the same evaluation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai_server import serving

from heed.config import load_recipe
from heed.evaluation.votes import Vote
from heed.feedback.people import Page, UnattendedPage, nobody
from heed.files import read_records
from heed.judging.decoys import DECOYS
from heed.pipeline import run_recipe
from heed.run import Run
from heed.store import annotations as labels
from heed.store import items, projects
from heed.store.database import Store
from heed.types import Annotation, Item
from heed.world.world import World

LABELS = ("base", "sft", "dpo", "ppo")


@pytest.fixture
def votes(finished_run: Path) -> list[Vote]:
    return read_records(finished_run / "compare" / "votes.jsonl", Vote)


@pytest.fixture
def found(finished_run: Path) -> dict[str, Any]:
    return json.loads((finished_run / "compare" / "compare.json").read_text())


@pytest.fixture
def asked(finished_run: Path) -> list[Item]:
    return read_records(finished_run / "compare" / "items.jsonl", Item)


def test_everyone_meets_on_every_prompt(asked: list[Item]) -> None:
    prompts = len({item.prompt.id for item in asked})
    met = Counter(tuple(sorted(item.models)) for item in asked)
    assert len(met) == 6 + len(LABELS) * len(DECOYS)
    assert set(met.values()) == {prompts}


def test_gold_votes_are_the_worlds(votes: list[Vote], asked: list[Item]) -> None:
    world, by_id = World(0), {item.id: item for item in asked}
    gold = [vote for vote in votes if vote.judge == "gold"]
    assert len(gold) == len(asked)
    for vote in gold:
        item = by_id[vote.item]
        worth = {
            name: world.gold(item.prompt, text).total
            for name, text in zip(item.models, item.answers, strict=True)
        }
        gap = worth[vote.left] - worth[vote.right]
        assert vote.score == (0.5 if abs(gap) <= 1e-6 else float(gap > 0))


def test_figures_follow_from_the_votes(votes: list[Vote], found: Any) -> None:
    assert found["baseline"] == "sft"
    assert set(found["judges"]) == {"gold", "reward"}
    for judge, each in found["judges"].items():
        own = [vote for vote in votes if vote.judge == judge]
        scores = [v.score for v in own if (v.left, v.right) == ("ppo", "sft")]
        scores += [1 - v.score for v in own if (v.left, v.right) == ("sft", "ppo")]
        mean = 100 * sum(scores) / len(scores)
        assert each["pairs"]["ppo"]["sft"]["mean"] == pytest.approx(mean)
        assert each["against_baseline"]["ppo"]["win_rate"]["mean"] == pytest.approx(mean)
        assert {row["name"] for row in each["ratings"]} == set(LABELS)
        assert {row["decoy"] for row in each["decoys"]} == {f"decoy: {name}" for name in DECOYS}
    (both,) = found["agreement"]
    assert both["judges"] == ["gold", "reward"]


def test_who_learned_from_a_judge_is_named(finished_run: Path) -> None:
    notes = json.loads((finished_run / "compare" / "done.json").read_text())["summary"]["notes"]
    assert any(note.startswith("ppo was trained on reward") for note in notes)
    assert any(note.startswith("dpo learned from the comparisons") for note in notes)
    assert not any(note.startswith("sft") for note in notes)


PAIRS = 36


@contextmanager
def desk(place: str, project: str) -> Iterator[Page]:
    """Ada prefers the first answer of every pair as soon as the page is open."""
    store = Store.open(place)
    with store.write() as session:
        found = projects.find(session, project)
        assert found is not None
        shown = items.read_all(session, found.id)
        said = [Annotation(each.id, "ada", 2, source="people") for each in shown]
        labels.add(session, found.id, said)
    store.close()
    yield UnattendedPage("nowhere")


def test_a_judge_and_people_beside_each_other(run_copy: Path, tiny_settings: list[str]) -> None:
    """The judge always says A: in both orders that is a tie, and everything fools it."""
    with serving(lambda *_: "Verdict: A", models=["left"]) as server:
        model = f"{{address: '{server.address}/v1', model: left, name: left}}"
        judges = f"compare.judges={{model: {model}, people: {{}}}}"
        recipe = load_recipe("quickstart", [*tiny_settings, judges, f"compare.pairs={PAIRS}"])
        run = Run(recipe, run_copy)
        run_recipe(run, lambda _: None, recipe.needed_for("compare"), lambda _: desk)
        place = run_copy / "compare"
        found = json.loads((place / "compare.json").read_text())
        assert len(server.bodies) == 2 * PAIRS
        assert set(found["judges"]) == {"left", "people"}
        left = found["judges"]["left"]
        assert left["votes"] == found["judges"]["people"]["votes"] == PAIRS
        assert {each["mean"] for row in left["pairs"].values() for each in row.values()} == {50}
        assert found["judges"]["people"]["sides"]["left"] == 12  # of decoys' pairs none is counted
        assert {each["word"] for each in left["decoys"]} == {"too few"}
        assert found["accounts"]["left"]["judge"]["first"] == PAIRS
        # What was judged before a stop is not asked again, nor are people.
        for name in ("done.json", "compare.json", "votes.jsonl"):
            (place / name).unlink()
        before = (place / "items.jsonl").read_bytes()
        run_recipe(run, lambda _: None, recipe.needed_for("compare"), lambda _: nobody)
        assert len(server.bodies) == 2 * PAIRS
        assert (place / "items.jsonl").read_bytes() == before
        assert json.loads((place / "compare.json").read_text()) == found


def test_policies_sampled_anew(run_copy: Path, tiny_settings: list[str]) -> None:
    anew = [
        "compare.evaluate=null",
        "compare.policies={new: ppo, old: sft}",
        "compare.records=records",
        "compare.sampling.max_new_tokens=8",
        "compare.answers=2",
        "compare.prompts=30",
        "compare.judges={gold: true}",
    ]
    recipe = load_recipe("quickstart", [*tiny_settings, *anew])
    run_recipe(Run(recipe, run_copy), lambda _: None, recipe.needed_for("compare"))
    found = json.loads((run_copy / "compare" / "compare.json").read_text())
    assert found["baseline"] == "new"
    assert found["judges"]["gold"]["prompts"] == 30
    assert found["judges"]["gold"]["pairs"]["old"]["new"]["n"] == 60
    said = read_records(run_copy / "compare" / "items.jsonl", Item)
    assert {item.prompt.split for item in said} == {"heldout"}
