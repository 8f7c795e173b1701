"""Feedback from every source, as the comparisons that training reads."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.feedback.people import Page, UnattendedPage
from heed.files import read_records, write_records
from heed.pipeline import run_recipe
from heed.run import Run
from heed.store import annotations as labels
from heed.store import items, projects
from heed.store.database import Store
from heed.types import Annotation, Comparison, Demonstration, Item, Prompt


def collected(run: Path, settings: Sequence[str], *more: str) -> dict[str, Any]:
    """Do the collect stage again with other settings; returns its summary."""
    overrides = [*settings, *(f"collect.{each}" for each in more)]
    recipe = load_recipe("quickstart", overrides)
    carry_out(recipe, run, fresh=False, only="collect")
    summary: dict[str, Any] = json.loads((run / "collect" / "done.json").read_text())["summary"]
    return summary


def annotations(run: Path) -> list[Annotation]:
    return read_records(run / "collect" / "annotations.jsonl", Annotation)


def comparisons(run: Path, name: str = "comparisons") -> list[Comparison]:
    return read_records(run / "collect" / f"{name}.jsonl", Comparison)


def test_every_item_by_several_people(run_copy: Path, tiny_settings: list[str]) -> None:
    summary = collected(run_copy, tiny_settings, "per_item=3")
    assert (summary["items"], summary["annotations"]) == (16 + 11, 3 * 27)
    by_item: dict[str, list[str]] = {}
    for said in annotations(run_copy):
        by_item.setdefault(said.item, []).append(said.annotator)
    assert all(len(set(people)) == 3 for people in by_item.values())


def test_rankings_of_more_answers(run_copy: Path, tiny_settings: list[str]) -> None:
    summary = collected(run_copy, tiny_settings, "answers=3")
    items = {item.id: item for item in read_records(run_copy / "collect" / "items.jsonl", Item)}
    assert all(len(item.answers) == 3 for item in items.values())
    ranked = [said for said in annotations(run_copy) if isinstance(said.verdict, tuple)]
    assert len(ranked) > 40
    made = [*comparisons(run_copy), *comparisons(run_copy, "heldout")]
    assert summary["comparisons"] + summary["heldout"] == len(made)
    per_prompt = Counter(each.prompt.id for each in made)
    assert max(per_prompt.values()) >= 3
    assert {each.weight for each in made} == {1 / 3}
    ceilings = json.loads((run_copy / "collect" / "ceiling.json").read_text())
    assert len(ceilings) == summary["heldout"]


def test_ties_as_half_a_win_each(run_copy: Path, tiny_settings: list[str]) -> None:
    # To whom all answers are much alike, some are ties.
    more = ("comparisons=200", "annotators={temperature: 20.0}")
    dropped = collected(run_copy, tiny_settings, *more)
    ties = [said for said in annotations(run_copy) if said.verdict == "tie"]
    train = [said for said in ties if said.item.startswith("train")]
    assert train
    halved = collected(run_copy, tiny_settings, *more, "ties=half")
    assert halved["comparisons"] == dropped["comparisons"] + 2 * len(train)
    assert halved["heldout"] == dropped["heldout"]
    assert sorted({each.weight for each in comparisons(run_copy)}) == [0.5, 1.0]


def test_weights_by_reliability(run_copy: Path, tiny_settings: list[str]) -> None:
    more = ("comparisons=300", "heldout=60", "per_item=3", "weights=reliability")
    collected(run_copy, tiny_settings, *more)
    weights = {each.annotator: each.weight for each in comparisons(run_copy)}
    assert len(set(weights.values())) > 5
    assert {each.weight for each in comparisons(run_copy, "heldout")} == {1.0}
    said = annotations(run_copy)
    mean = sum(weights.get(each.annotator, 0.0) for each in said) / len(said)
    assert mean == pytest.approx(1.0, abs=1e-6)


def test_priority_by_disagreement_of_reward_models(
    run_copy: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    text = (run_copy / "recipe.yaml").read_text()
    second = tmp_path / "recipe.yaml"
    stages = text.index("  - ppo:")
    reward = text[text.index("  - reward:") : stages]
    again = (
        "  - collect: {name: asked, disagreement: [reward, other], comparisons: 20, heldout: 8,"
        " sampling: {max_new_tokens: 20}}\n"
    )
    other = reward.replace("name: reward", "name: other").replace("epochs: 1.0", "epochs: 3.0")
    second.write_text(text[:stages] + other + again)
    recipe = load_recipe(str(second))
    carry_out(recipe, run_copy, fresh=False)
    items = read_records(run_copy / "asked" / "items.jsonl", Item)
    assert len(items) == 28
    assert len({item.priority for item in items}) > 20
    assert all(item.priority > 0 for item in items)


def test_a_judge_that_never_gives_a_verdict(run_copy: Path, tiny_settings: list[str]) -> None:
    rubric = "{marker: 'So:', template: '{conversation} {left} {right}'}"
    judge = f"judge={{policy: sft, retries: 0, max_new_tokens: 4, rubric: {rubric}}}"
    with pytest.raises(UserError) as caught:
        collected(run_copy, tiny_settings, "source=judge", judge)
    message = str(caught.value)
    items = len((run_copy / "collect" / "items.jsonl").read_text().splitlines())
    counts = f"{items} annotations ({items} cannot tell or unreadable, 0 ties, 0 both bad)"
    assert counts in message
    assert f"{items} pairs got no verdict" in message
    assert "one of: So: A, So: B, So: tie." in message
    replies = run_copy / "collect" / "judgements.jsonl"
    assert f"stand in {replies}" in message
    assert len(replies.read_text().splitlines()) == items
    assert "train that policy longer" not in message


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("source=judge", "judge.policy"),
        ("source=constitution", "judge.address"),
        ("judge={policy: sft, address: x, model: y}", None),
        ("disagreement=[reward]", "two or more"),
        ("people={order: mixed}", "disagreement"),
        ("people={guideline: nowhere.md}", "nowhere.md"),
        ("constitution={file: nowhere.yaml}", "nowhere.yaml"),
        ("constitution={principles: [{nam: x}]}", "name"),
        ("answers=1", "answers"),
        ("answers=10", "answers"),
        ("ties=coin", "ties"),
        ("sourc=people", "source"),
    ],
)
def test_settings_that_cannot_work_are_refused(override: str, match: str | None) -> None:
    overrides = [f"collect.{override}"]
    if match is None:  # a judge that is described but not asked is no mistake
        assert load_recipe("quickstart", overrides).stage("collect")
        return
    with pytest.raises(UserError, match=match):
        load_recipe("quickstart", overrides)


def test_a_guidelines_content_is_part_of_the_key(tmp_path: Path) -> None:
    from heed.run import stage_keys

    guideline = tmp_path / "rules.md"
    keys = []
    for text in ("be kind", "be kind", "be brief"):
        guideline.write_text(text)
        recipe = load_recipe("quickstart", [f"collect.people.guideline={guideline}"])
        keys.append(stage_keys(recipe)["collect"])
    assert keys[0] == keys[1] != keys[2]


@contextmanager
def crew(place: str, project: str) -> Iterator[Page]:
    """Ada prefers the left answer everywhere, gold included; on the first items of each split she
    is asked again, and someone rules against her, rewriting nothing.
    """
    store = Store.open(place)
    with store.write() as session:
        found = projects.find(session, project)
        assert found is not None
        asked = [item.id for item in items.read_all(session, found.id)]
        said = [Annotation(id, "ada", 1, source="people", rewrite="Better.") for id in asked]
        for id in ("train-0", "heldout-0"):
            said.append(Annotation(id, "ada", 8, source="people", occasion=1))
            said.append(Annotation(id, "rita (adjudication)", 8, source="adjudication"))
        labels.add(session, found.id, said)
    store.close()
    yield UnattendedPage("nowhere")


SUM = {"prompt": "2 + 2?", "answers": ["4", "5"]}
"""As `heed label` and `heed prefs import` read it."""


@pytest.mark.parametrize(("weights", "plain"), [("equal", True), ("reliability", False)])
def test_gold_and_repeats_do_not_train_and_rulings_replace_votes(
    run_copy: Path, tiny_settings: list[str], tmp_path: Path, weights: str, plain: bool
) -> None:
    gold = tmp_path / "gold.jsonl"
    if plain:
        gold.write_text(json.dumps({**SUM, "known": 1}))
    else:
        write_records(gold, [Item("sum", Prompt.of("2 + 2?"), ("4", "5"), known=1)])
    more = ["source=people", f"people.gold={gold}", "people.enough=0.5", f"weights={weights}"]
    recipe = load_recipe("quickstart", [*tiny_settings, *(f"collect.{each}" for each in more)])
    shutil.rmtree(run_copy / "collect")
    run_recipe(Run(recipe, run_copy), lambda _: None, recipe.needed_for("collect"), lambda _: crew)
    there = {item.id: item for item in read_records(run_copy / "collect" / "items.jsonl", Item)}
    for split, name in (("train", "comparisons"), ("heldout", "heldout")):
        made = {(each.chosen, each.rejected) for each in comparisons(run_copy, name)}
        pairs = {id: item.answers for id, item in there.items() if id.startswith(split)}
        first, second = pairs.pop(f"{split}-0")
        assert made == {*pairs.values(), (second, first)}
        assert len(comparisons(run_copy, name)) == len(pairs) + 1
    summary = json.loads((run_copy / "collect" / "done.json").read_text())["summary"]
    assert summary["left_out"] == {
        "labels of gold items": 1,
        "planned repeats": 2,
        "labels that an adjudication replaces": 2,
    }
    rewritten = read_records(run_copy / "collect" / "rewrites.jsonl", Demonstration)
    assert len(rewritten) == sum(id.startswith("train") for id in there)
    assert {each.prompt.split for each in rewritten} == {"train"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**SUM, "known": 9}, r"gold.jsonl, line 1: .*1\.\.8"),
        (SUM, "says in `known` what the right verdict is, '.*' does not"),
        ({"prompt": "2 + 2?", "completion": "4"}, "the file holds none"),
    ],
)
def test_a_file_of_gold_says_what_is_right(
    run_copy: Path, tiny_settings: list[str], tmp_path: Path, row: dict[str, Any], words: str
) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps(row))
    more = ["collect.source=people", f"collect.people.gold={gold}"]
    recipe = load_recipe("quickstart", [*tiny_settings, *more])
    with pytest.raises(UserError, match=words):
        run_recipe(
            Run(recipe, run_copy), lambda _: None, recipe.needed_for("collect"), lambda _: crew
        )
