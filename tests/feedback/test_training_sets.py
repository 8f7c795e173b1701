"""Training sets: which of a project's labels an export is made of, and on which prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heed.data.preferences import read_preferences
from heed.feedback.exporting import export_project
from heed.store import annotations as labels
from heed.store import items, projects
from heed.store.database import Store
from heed.types import Annotation, Item, Prompt, Verdict

RICE = Item("rice", Prompt.of("Rice?"), ("Rinse, then boil.", "No."))
BEANS = Item("beans", Prompt.of("Beans?"), ("Soak.", "Buy cans.", "Why?"))
TEA = Item("tea", Prompt.of("Tea?"), ("Yes.", "Always."))
GOLD = Item("gold", Prompt.of("2 + 2?"), ("4", "5"), known=1)
HELD = Item("held", Prompt.of("Held?", split="heldout"), ("Yes.", "No."))


def said(item: Item, name: str, verdict: Verdict, **more: Any) -> Annotation:
    order = tuple(range(len(item.answers)))
    return Annotation(item.id, name, verdict, **{"source": "people", "order": order, **more})


def ruled(item: Item, verdict: Verdict, **more: Any) -> Annotation:
    return said(item, "cy (adjudication)", verdict, source="adjudication", **more)


MEASURED = [
    (RICE, [said(RICE, "ada", 8), said(RICE, "ada", 1, occasion=1, rewrite="Rinse twice."),
            said(RICE, "bob", 8), ruled(RICE, 8), ruled(RICE, 1, revision=1)]),
    (BEANS, [said(BEANS, "ada", (1, 2, 3)), said(BEANS, "ada", (3, 2, 1), occasion=1)]),
    (TEA, [said(TEA, "ada", 1), said(TEA, "bob", 1), ruled(TEA, "both_bad")]),
    (GOLD, [said(GOLD, "ada", 1, rewrite="four"), said(GOLD, "bob", 8)]),
    (HELD, [said(HELD, "ada", 1, rewrite="Perhaps.")]),
]  # fmt: skip


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Store]:
    """A store with gold items, planned repeats, adjudications and a held-out prompt."""
    opened = Store.open(tmp_path / "measured.db")
    with opened.write() as session:
        project = projects.create(session, "p")
        items.add(session, project.id, [item for item, _ in MEASURED])
        labels.add(session, project.id, [one for _, all_said in MEASURED for one in all_said])
    yield opened
    opened.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("options", [{}, {"one_per_item": True}, {"weigh": True}])
def test_only_labels_that_train_are_exported(
    measured: Store, tmp_path: Path, options: dict[str, Any]
) -> None:
    report = export_project(measured, "p", tmp_path / "a.jsonl", format="trl", **options)
    rows = read(tmp_path / "a.jsonl")
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [
        ("Rinse, then boil.", "No."), ("Soak.", "Buy cans."), ("Soak.", "Why?"),
        ("Buy cans.", "Why?"),
    ]  # fmt: skip
    assert {row["split"] for row in rows} == {"train"}
    assert rows[0]["weight"] == 1.0
    assert report.dropped == {
        "labels of gold items": 2,
        "labels on held-out prompts": 1,
        "planned repeats": 2,
        "labels that an adjudication replaces": 4,
        "both bad": 1,
    }
    about = json.loads(report.about.read_text())
    assert (about["split"], about["dropped"]) == ("train", report.dropped)


def test_the_side_of_the_split_can_be_chosen(measured: Store, tmp_path: Path) -> None:
    def sides(split: Any, format: str) -> list[str]:
        export_project(measured, "p", tmp_path / "a.jsonl", format=format, split=split)
        return [row["split"] for row in read(tmp_path / "a.jsonl")]

    assert sides("heldout", "trl") == ["heldout"]
    assert sides("all", "trl") == ["train"] * 4 + ["heldout"]
    assert sides("heldout", "unpaired") == ["heldout"] * 2
    assert sides(None, "demonstrations") == ["train"]
    assert sides("all", "demonstrations") == ["train", "heldout"]
    report = export_project(measured, "p", tmp_path / "a.jsonl", format="hh", split="heldout")
    assert report.dropped["labels on training prompts"] == 9


def test_what_is_no_training_set_holds_everything(measured: Store, tmp_path: Path) -> None:
    export_project(measured, "p", tmp_path / "a.jsonl")
    _, found = read_preferences(tmp_path / "a.jsonl")
    assert found.items == [item for item, _ in MEASURED]
    assert len(found.annotations) == sum(len(all_said) for _, all_said in MEASURED)
