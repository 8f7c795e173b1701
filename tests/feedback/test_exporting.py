"""Exports: what goes out comes back, and what cannot go out is counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from databases import KINDS, fresh_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heed.data.preferences import read_preferences
from heed.errors import UserError
from heed.feedback.contents import annotation_lines, read_contents
from heed.feedback.exporting import (
    TARGETS,
    export_project,
)
from heed.feedback.importing import import_file
from heed.store import annotations, guidelines, items, projects
from heed.store.database import Store
from heed.types import GRADES, Annotation, Item, Message, Prompt, Verdict

SOURCES = {"ada": "people", "bob [x]": "people", "judge": "judge", "": "", "zoë\u2028": "simulated"}
NAMES = [name for name in SOURCES if name]
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from("\r\n\t\"'\\,\u2028\u0085\ufeff\U0001f469\u200d\u0301\u202e"),
    max_size=20,
)
names = texts.filter(bool)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)


def verdicts(k: int) -> st.SearchStrategy[Verdict]:
    ranks = st.lists(st.integers(1, k), min_size=k, max_size=k).filter(lambda r: min(r) == 1)
    words = st.sampled_from(["tie", "both_bad", "cannot_tell"])
    grades = [st.sampled_from(list(GRADES))] if k == 2 else []
    return st.one_of(words, ranks.map(tuple), *grades)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Item, list[Annotation]]:
    k = draw(st.integers(2, 4))
    prompt = Prompt(
        draw(names), tuple(draw(st.lists(messages, min_size=1, max_size=3))), draw(texts),
        draw(st.sampled_from(["train", "heldout"])),
    )  # fmt: skip
    item = Item(
        draw(names), prompt, tuple(draw(st.lists(texts, min_size=k, max_size=k))),
        draw(st.just(()) | st.lists(texts, min_size=k, max_size=k).map(tuple)),
        draw(st.none() | verdicts(k)), draw(st.floats(-9, 9)),
    )  # fmt: skip
    keys = st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.integers(0, 2))
    said = [
        Annotation(
            item.id, name, draw(verdicts(k)), draw(st.floats(0, 1e6)), draw(texts), SOURCES[name],
            occasion, revision, tuple(draw(st.permutations(range(k)))), draw(texts),
            tuple(draw(st.lists(names, max_size=2))), draw(texts), draw(texts),
        )
        for name, occasion, revision in sorted(draw(st.sets(keys, max_size=4)))
    ]  # fmt: skip
    return item, said


contents = st.lists(labelled(), min_size=1, max_size=4, unique_by=lambda pair: pair[0].id)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blank") / "store.db"
    Store.open(path).close()
    return path


def fill(store: Store, pairs: Sequence[tuple[Item, Sequence[Annotation]]]) -> None:
    with store.write() as session:
        project = projects.create(session, "p")
        items.add(session, project.id, [item for item, _ in pairs])
        annotations.add(session, project.id, [one for _, said in pairs for one in said])


@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(contents)
def test_a_round_trip_changes_nothing(
    blank: Path, tmp_path_factory: pytest.TempPathFactory, pairs: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    stores = [Store.open(shutil.copy(blank, folder / f"{name}.db")) for name in ("here", "there")]
    fill(stores[0], pairs)
    export_project(stores[0], "p", folder / "first.jsonl")
    report = import_file(stores[1], "p", folder / "first.jsonl")
    assert report.items == len(pairs)
    assert report.annotations == sum(len(said) for _, said in pairs)
    export_project(stores[1], "p", folder / "second.jsonl.gz")
    export_project(stores[1], "p", folder / "second.jsonl")
    assert (folder / "first.jsonl").read_bytes() == (folder / "second.jsonl").read_bytes()
    again = import_file(stores[0], "p", folder / "second.jsonl.gz")
    assert (again.items, again.annotations, again.known) == (0, 0, len(pairs))
    for store in stores:
        store.close()


def asked(text: str, *answers: str, **more: Any) -> Item:
    return Item(text, Prompt.of(text), answers, **more)


def said(item: Item, name: str, verdict: Verdict, **more: Any) -> Annotation:
    order = tuple(range(len(item.answers)))
    return Annotation(item.id, name, verdict, **{"source": "people", "order": order, **more})


RICE = asked("Rice?", "Rinse, then boil.", "No.", models=("A", "B"))
BEANS = asked("Beans?", "Soak.", "Buy\ncans.", "Why?", models=("A", "B", "C"))
TALK = Item(
    "talk", Prompt("talk", (Message("user", "Hi"), Message("assistant", "Hi."),
                            Message("user", "Tea?"))), ("Yes.", "Human: no\n\nHuman: yes"),
)  # fmt: skip
LABELS = [
    (RICE, [said(RICE, "ada", 7), said(RICE, "ada", 2, revision=1, rewrite="Rinse twice."),
            said(RICE, "bob", 5, order=(1, 0)), said(RICE, "cy", "tie"),
            said(RICE, "dot", "cannot_tell")]),
    (BEANS, [said(BEANS, "ada", (1, 2, 2)), said(BEANS, "bob", "both_bad")]),
    (TALK, [said(TALK, "ada", 1)]),
]  # fmt: skip


@pytest.fixture(params=KINDS)
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store of the labels above, in turn on each database."""
    opened = fresh_store(request.param, tmp_path)
    fill(opened, LABELS)
    with opened.write() as session:
        found = projects.find(session, "p")
        assert found is not None
        guidelines.publish(session, found.id, "Be *kind*.")
    yield opened
    opened.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_databases_write_the_same(full: Store, blank: Path, tmp_path: Path) -> None:
    export_project(full, "p", tmp_path / "a.jsonl")
    other = Store.open(shutil.copy(blank, tmp_path / "other.db"))
    import_file(other, "q", tmp_path / "a.jsonl")
    export_project(other, "q", tmp_path / "b.jsonl")
    other.close()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    with full.read() as session:
        project = projects.find(session, "p")
    assert project is not None
    assert "".join(annotation_lines(full, project)) == (tmp_path / "a.jsonl").read_text()


@pytest.fixture
def store(blank: Path, tmp_path: Path) -> Any:
    opened = Store.open(shutil.copy(blank, tmp_path / "full.db"))
    fill(opened, LABELS)
    yield opened
    opened.close()


def test_comparisons_carry_what_they_are_worth(store: Store, tmp_path: Path) -> None:
    report = export_project(store, "p", tmp_path / "a.jsonl", format="trl")
    rows = read(tmp_path / "a.jsonl")
    told = [(row["annotator"], row["chosen"][0]["content"], row["margin"], row["weight"])
            for row in rows]  # fmt: skip
    assert told == [
        ("ada", "Rinse, then boil.", 2 / 3, 1.0),
        ("bob", "Rinse, then boil.", 0.0, 1.0),
        ("ada", "Soak.", 0.0, 1 / 3),
        ("ada", "Soak.", 0.0, 1 / 3),
        ("ada", "Yes.", 1.0, 1.0),
    ]
    assert {row["source"] for row in rows} == {"people"}
    assert [turn["role"] for turn in rows[-1]["prompt"]] == ["user", "assistant", "user"]
    assert report.dropped == {"ties": 1, "both bad": 1, "cannot tell": 1}
    about = json.loads(report.about.read_text())
    assert about["ties"] == {"policy": "drop", "meaning": "a tie makes no comparison"}
    assert (about["rows"], about["annotations"], about["revisions"]) == (5, 7, 1)
    assert about["dropped"] == report.dropped


def test_ties_can_be_half_a_win_each(store: Store, tmp_path: Path) -> None:
    report = export_project(store, "p", tmp_path / "a.jsonl", format="trl", ties="half")
    tied = [row for row in read(tmp_path / "a.jsonl") if row["annotator"] == "cy"]
    assert [row["weight"] for row in tied] == [0.5, 0.5]
    assert tied[0]["chosen"] == tied[1]["rejected"]
    assert "ties" not in report.dropped
    assert json.loads(report.about.read_text())["ties"]["policy"] == "half"


def test_one_comparison_an_item_by_vote(store: Store, tmp_path: Path) -> None:
    report = export_project(
        store, "p", tmp_path / "a.jsonl", format="trl", one_per_item=True, weigh=True
    )
    rows = read(tmp_path / "a.jsonl")
    assert [row["chosen"][0]["content"] for row in rows] == [
        "Rinse, then boil.", "Soak.", "Soak.", "Yes."
    ]  # fmt: skip
    assert {row["annotator"] for row in rows} == {"majority"}
    assert "ties" not in report.dropped
    assert report.dropped["pairs of answers with an even vote"] == 1
    about = json.loads(report.about.read_text())
    assert "majority" in about["votes"]
    assert "half a vote" in about["ties"]["meaning"]
    assert "reliability" in about["weights"]


def test_reliability_weighs_and_silences(store: Store, tmp_path: Path) -> None:
    with store.write() as session:
        project = projects.create(session, "crowd")
        asks = [asked(f"{n}?", "yes", "no", known=1 if n < 30 else None) for n in range(40)]
        items.add(session, project.id, asks)
        told = [said(item, name, grade) for item in asks
                for name, grade in (("right", 2), ("right too", 1), ("wrong", 7))]  # fmt: skip
        annotations.add(session, project.id, told)
    report = export_project(store, "crowd", tmp_path / "a.jsonl", format="trl", weigh=True)
    rows = read(tmp_path / "a.jsonl")
    assert {row["annotator"] for row in rows} == {"right", "right too"}
    assert report.dropped == {
        "labels of gold items": 90, "verdicts of annotators of weight 0": 10
    }  # fmt: skip


@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv", ".parquet", ""])
@pytest.mark.parametrize("format", ["trl", "trl-plain", "hh"])
def test_training_sets_come_back_as_they_went(
    store: Store, tmp_path: Path, format: str, kind: str
) -> None:
    export_project(store, "p", tmp_path / f"a{kind}", format=format)
    _, found = read_preferences(tmp_path / f"a{kind}")
    assert not found.errors
    by_id = {item.id: item for item in found.items}
    best = set()
    for one in found.annotations:
        assert one.ranks is not None
        item = by_id[one.item]
        best.add((item.prompt.text, one.annotator, item.answers[one.ranks.index(1)]))
    expected = {("Rice?", "ada", "Rinse, then boil."), ("Rice?", "bob", "Rinse, then boil."),
                ("Beans?", "ada", "Soak.")}  # fmt: skip
    assert best == expected | ({("Tea?", "ada", "Yes.")} if format == "trl" else set())


@pytest.mark.parametrize(("format", "pairs"), [("trl", 2), ("argilla", 0)])
def test_a_project_learns_nothing_from_its_own_exports(
    store: Store, tmp_path: Path, format: str, pairs: int
) -> None:
    before = read_contents(store, "p")
    export_project(store, "p", tmp_path / "a.json", format=format)
    report = import_file(store, "p", tmp_path / "a.json")
    assert (report.items, report.repeats, report.known > 0) == (pairs, 0, True)
    after = read_contents(store, "p")
    # TRL tells a ranking of three as pairs of answers, which are items of their own.
    assert list(after.items)[: len(before.items)] == list(before.items)
    assert [one for one in after.history if one.item in before.items] == list(before.history)


def test_what_a_format_cannot_hold_is_counted(store: Store, tmp_path: Path) -> None:
    plain = export_project(store, "p", tmp_path / "a.csv", format="trl-plain")
    assert plain.dropped["prompts of several turns"] == 1
    told = export_project(store, "p", tmp_path / "a.jsonl", format="hh")
    assert told.dropped["dialogues that transcripts cannot tell"] == 1
    votes = export_project(store, "p", tmp_path / "votes.csv", format="llmfao")
    assert votes.dropped == {
        "items of more than two answers": 2,
        "prompts of several turns": 1,
        "verdicts that llmfao has no word for": 1,
    }
    assert "left out: " in str(votes)


def test_votes_come_back_with_their_sides(store: Store, tmp_path: Path) -> None:
    export_project(store, "p", tmp_path / "votes.csv", format="llmfao")
    assert (tmp_path / "votes.pairs.jsonl").exists()
    name, found = read_preferences(tmp_path / "votes.csv")
    assert name == "llmfao"
    assert found.items == [replace(RICE, prompt=replace(RICE.prompt, family=""))]
    assert [(one.annotator, one.order, one.ranks) for one in found.annotations] == [
        ("ada", (0, 1), (1, 2)), ("bob", (1, 0), (1, 2)), ("cy", (0, 1), (1, 1))
    ]  # fmt: skip


def test_records_of_argilla(store: Store, tmp_path: Path) -> None:
    export_project(store, "p", tmp_path / "a.json", format="argilla")
    name, found = read_preferences(tmp_path / "a.json")
    assert name == "argilla"
    assert [item.answers for item in found.items] == [item.answers for item, _ in LABELS]
    assert [(one.item, one.annotator, one.ranks) for one in found.annotations] == [
        ("Rice?", "ada", (1, 2)), ("Rice?", "bob", (1, 2)), ("Rice?", "cy", (1, 1)),
        ("Rice?", "dot", None), ("Beans?", "ada", (1, 2, 2)), ("Beans?", "bob", None),
        ("talk", "ada", (1, 2)),
    ]  # fmt: skip


def test_unpaired_rows_and_rewrites(store: Store, tmp_path: Path) -> None:
    export_project(store, "p", tmp_path / "u.parquet", format="unpaired")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "u.parquet"), cache_dir=str(tmp_path))
    assert loaded["label"][:] == [True, False] * 5
    export_project(store, "p", tmp_path / "d.jsonl", format="demonstrations")
    _, found = read_preferences(tmp_path / "d.jsonl")
    (demonstration,) = found.demonstrations
    assert (demonstration.prompt.text, demonstration.text) == ("Rice?", "Rinse twice.")


def test_guidelines_stand_in_the_sidecar(full: Store, tmp_path: Path) -> None:
    report = export_project(full, "p", tmp_path / "a.jsonl")
    (guideline,) = json.loads(report.about.read_text())["guidelines"]
    assert (guideline["version"], guideline["text"]) == (1, "Be *kind*.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "xml"}, "There is no format 'xml'"),
        ({"format": "heed", "weigh": True}, "have no place in it"),
        ({"format": "argilla", "ties": "half"}, "have no place in it"),
        ({"format": "heed", "split": "all"}, "a split has no place in it"),
        ({"format": "llmfao"}, "this format is written as .csv"),
    ],
)
def test_options_without_a_meaning_are_refused(
    store: Store, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        export_project(store, "p", tmp_path / "a.jsonl", **options)
    assert not list(tmp_path.glob("a.*"))


def test_nothing_to_export_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no project 'q'. It has: 'p'"):
        export_project(store, "q", tmp_path / "a.jsonl")
    with store.write() as session:
        empty = projects.create(session, "empty")
        items.add(session, empty.id, [RICE])
        annotations.add(session, empty.id, [said(RICE, "ada", "tie")])
    with pytest.raises(UserError, match=r"nothing to export as 'trl' \(left out: 1 ties\)"):
        export_project(store, "empty", tmp_path / "a.jsonl", format="trl")


def test_every_format_says_what_it_is() -> None:
    for target in TARGETS.values():
        assert [target.row, target.rewrite, target.whole].count(None) == 2
