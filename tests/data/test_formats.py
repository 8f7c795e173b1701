"""What each format of rows says, and how it is told by its columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.data.formats import FORMATS, recognise
from heed.data.preferences import Gathering, read_preferences
from heed.data.rows import Row
from heed.errors import UserError
from heed.types import Annotation, Item, Message

USER = {"role": "user", "content": "Rice?"}
SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [USER, {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "Brown"}]


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def read(tmp_path: Path, *rows: dict[str, Any], name: str = "a.jsonl") -> Gathering:
    path = tmp_path / name
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    _, found = read_preferences(path)
    assert not found.errors
    return found


def one(tmp_path: Path, *rows: dict[str, Any]) -> tuple[Item, Annotation]:
    found = read(tmp_path, *rows)
    (item,), (annotation,) = found.items, found.annotations
    return item, annotation


def best(item: Item, annotation: Annotation) -> str:
    assert annotation.ranks is not None
    return item.answers[annotation.ranks.index(1)]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "Rice?", "chosen": "Rinse it.", "rejected": "No."}, ["Rice?"]),
        ({"prompt": [USER], "chosen": answer("Rinse it."), "rejected": answer("No.")}, ["Rice?"]),
        (
            {"prompt": TURNS, "chosen": answer("Rinse it."), "rejected": answer("No.")},
            ["Rice?", "Which?", "Brown"],
        ),
        (
            {"chosen": [*TURNS, *answer("Rinse it.")], "rejected": [*TURNS, *answer("No.")]},
            ["Rice?", "Which?", "Brown"],
        ),
        (
            # UltraFeedback, binarised: the prompt is there three times.
            {"prompt": "Rice?", "prompt_id": "9", "messages": [USER, *answer("Rinse it.")],
             "chosen": [USER, *answer("Rinse it.")], "rejected": [USER, *answer("No.")],
             "score_chosen": 8.0},
            ["Rice?"],
        ),
        (
            {"prompt": [SYSTEM, USER], "chosen": [USER, *answer("Rinse it.")],
             "rejected": [USER, *answer("No.")]},
            ["Be brief.", "Rice?"],
        ),
        (
            {"prompt": "Rice?", "chosen": [SYSTEM, USER, *answer("Rinse it.")],
             "rejected": [SYSTEM, USER, *answer("No.")]},
            ["Be brief.", "Rice?"],
        ),
        (
            # TRL's completions of several messages go on where the prompt ends.
            {"prompt": [USER], "chosen": [*TURNS[1:], *answer("Rinse it.")],
             "rejected": [*TURNS[1:], *answer("No.")]},
            ["Rice?", "Which?", "Brown"],
        ),
        ({"chosen": "The rice is Rinse it.", "rejected": "The rice is No."}, ["The rice is"]),
    ],
    ids=["plain", "conversational", "turns", "implicit", "ultrafeedback", "no system", "system",
         "goes on", "implicit text"],
)  # fmt: skip
def test_trl_preferences(tmp_path: Path, row: dict[str, Any], prompt: list[str]) -> None:
    item, annotation = one(tmp_path, row)
    assert [turn.content for turn in item.prompt.messages] == prompt
    assert sorted(text.strip() for text in item.answers) == ["No.", "Rinse it."]
    assert best(item, annotation).strip() == "Rinse it."
    assert (annotation.annotator, annotation.source) == ("import", "import")
    assert annotation.verdict in ((1, 2), (2, 1))


@pytest.mark.parametrize(
    ("margin", "grade"), [(1, 1), (2 / 3, 2), ("0.3333333333333333", 3), (0.0, None), (5, 1)]
)
def test_a_margin_makes_a_grade(tmp_path: Path, margin: float | str, grade: int | None) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "margin": margin, "annotator": "ada"}
    item, annotation = one(tmp_path, {**row, "source": "people"})
    verdict = annotation.verdict
    assert (min(verdict, 9 - verdict) if isinstance(verdict, int) else None) == grade
    assert best(item, annotation) == "a"
    assert (annotation.annotator, annotation.source) == ("ada", "people")


def test_rows_without_a_comparison_are_counted_by_reason(tmp_path: Path) -> None:
    plain = {"prompt": "p", "chosen": "a", "rejected": "b"}
    found = read(
        tmp_path, plain, {**plain, "rejected": "a"}, {"chosen": "x", "rejected": "y"},
        {"chosen": [USER, *answer("a")], "rejected": [*TURNS, *answer("a")]},
        {"chosen": answer("a"), "rejected": answer("b")},
    )  # fmt: skip
    assert found.set_aside == {
        "equal answers": 1, "no shared beginning": 2, "unlike prompts": 1
    }  # fmt: skip


def test_transcripts(tmp_path: Path) -> None:
    ask = "\n\nHuman: Rice?\n\nAssistant:"
    rows = [
        {"chosen": f"{ask} Rinse.", "rejected": f"{ask} No."},
        {"chosen": f"{ask} Rinse.", "rejected": f"{ask} "},
    ]
    found = read(tmp_path, *rows, name="helpful-base.jsonl")
    assert found.items[0].prompt.family == "helpful-base"
    assert best(found.items[0], found.annotations[0]) == "Rinse."
    assert found.set_aside == {"empty answers": 1}


def test_unpaired_completions_are_ranked_within_their_prompt(tmp_path: Path) -> None:
    rows = [
        ("p", "good", True), ("p", "bad", "false"), ("q", "good", 1), ("q", "bad", 0),
        ("q", "worse", False), ("r", "alone", True), ("s", "both", True), ("s", "both", False),
    ]  # fmt: skip
    found = read(tmp_path, *({"prompt": p, "completion": c, "label": y} for p, c, y in rows))
    first, second = found.items
    assert best(first, found.annotations[0]) == "good"
    ranks = found.annotations[1].ranks
    assert ranks is not None
    assert dict(zip(second.answers, ranks, strict=True)) == {"good": 1, "bad": 2, "worse": 2}
    assert found.set_aside == {
        "completions without one of the other label": 1, "completions labelled both ways": 2
    }  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Rice?", "completion": "Rinse."},
        {"prompt": [USER], "completion": answer("Rinse.")},
        {"messages": [USER, *answer("Rinse.")]},
    ],
    ids=["plain", "conversational", "messages"],
)
def test_demonstrations(tmp_path: Path, row: dict[str, Any]) -> None:
    (found,) = read(tmp_path, row).demonstrations
    assert (found.prompt.messages, found.text) == ((Message("user", "Rice?"),), "Rinse.")


def test_items_to_label(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"prompt": "p", "answers": ["x", "y", "z"], "models": ["A", "B", "C"], "known": [1, 2, 3]},
        {"id": 7, "prompt": TURNS, "a": "x", "b": "y", "model_a": "A", "known": "tie",
         "family": "food", "split": "heldout", "priority": 2, "prompt_id": "t"},
    )  # fmt: skip
    first, second = found.items
    assert first.id.startswith("h-")
    assert first.known == (1, 2, 3)
    assert first.models == ("A", "B", "C")
    assert (second.id, second.known, second.priority) == ("7", "tie", 2.0)
    assert second.models == ("A", "")
    prompt = second.prompt
    assert (prompt.id, prompt.family, prompt.split) == ("t", "food", "heldout")
    assert not found.annotations


def test_items_from_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,answers,models,known,priority,id\np,"[""x"",""y""]",,3,,q1\nq,"[""x"",'
                    '""y""]","[""A"",""B""]",,0.5,\n')  # fmt: skip
    _, found = read_preferences(path)
    assert not found.errors
    first, second = found.items
    assert (first.id, first.known, first.models) == ("q1", 3, ())
    assert (second.models, second.priority) == (("A", "B"), 0.5)


def test_ultrafeedback_scores_become_a_ranking(tmp_path: Path) -> None:
    scores = {"a": 7.5, "b": 9, "c": 7.5, "d": 1}
    completions = [
        {"response": text, "model": text.upper(), "overall_score": score}
        for text, score in scores.items()
    ]
    item, annotation = one(tmp_path, {"instruction": "p", "completions": completions})
    assert annotation.ranks == (2, 1, 2, 4)
    assert item.models == ("A", "B", "C", "D")
    tied = [{**one, "overall_score": 1} for one in completions[:2]]
    assert one(tmp_path, {"instruction": "p", "completions": tied})[1].verdict == "tie"


def test_a_format_can_be_named_where_columns_do_not_tell(tmp_path: Path) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "completion": "c", "label": True}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    name, found = read_preferences(tmp_path / "a.jsonl", format="trl", annotator="ada")
    assert name == "trl"
    assert found.annotations[0].annotator == "ada"


def test_every_format_is_offered_when_none_fits() -> None:
    with pytest.raises(UserError) as caught:
        recognise([Row("a.csv", 2, {"text": "x", "stars": 3})])
    message = str(caught.value)
    assert message.startswith("a.csv, line 2: the columns (text, stars) fit no format")
    assert all(f"{name}: {format.accepts}" in message for name, format in FORMATS.items())
