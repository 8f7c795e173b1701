"""Argilla's exports, both ways, in the shapes that its client writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heed.data.argilla import record_row
from heed.data.preferences import Gathering, read_preferences
from heed.types import Annotation, Item, Message, Prompt, Verdict

FIELDS = {"prompt": "Rice?", "response_1": "Rinse.", "response_2": "No."}
THREE = {"instruction": "Rice?", "generation-0": "a", "generation-1": "b", "generation-2": "c"}


def read(tmp_path: Path, *records: dict[str, Any]) -> Gathering:
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    name, found = read_preferences(path)
    assert name == "argilla"
    assert not found.errors
    return found


def nested(fields: dict[str, Any], responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As `records.to_json` writes them."""
    rest = {"metadata": {}, "suggestions": {}, "vectors": {}, "_server_id": "b5c9"}
    return {"id": "r1", "fields": fields, "responses": responses, **rest, **more}


def response(value: Any, user: str = "u1", **more: str) -> dict[str, Any]:
    return {"value": value, "user_id": user, **more}


@pytest.mark.parametrize(
    ("responses", "verdict"),
    [
        ({"preference": [response("response_2")]}, (2, 1)),
        ({"preference": [response("1")]}, (1, 2)),
        ({"preference": [response("tie")]}, "tie"),
        ({"preference": [response("both_bad")]}, "both_bad"),
        ({"preference": [response("response_2")], "strength": [response(1)]}, 8),
        ({"ranking": [response(["response_2", "response_1"])]}, (2, 1)),
        ({"ranking": [response([{"value": "response_1", "rank": 1},
                                {"value": "response_2", "rank": 1}])]}, "tie"),
        ({"response_1-rating": [response(4)], "response_2-rating": [response(2)]}, (1, 2)),
        ({"response_1_rating": [response(2)], "response_2_rating": [response(2)]}, "tie"),
    ],
)  # fmt: skip
def test_nested_records_of_two_answers(
    tmp_path: Path, responses: dict[str, Any], verdict: Verdict
) -> None:
    found = read(tmp_path, nested(FIELDS, responses))
    (annotation,) = found.annotations
    assert annotation == Annotation("r1", "u1", verdict, source="people")
    assert found.items[0].answers == ("Rinse.", "No.")


def test_rankings_of_several_answers(tmp_path: Path) -> None:
    ranked = [{"value": name, "rank": rank} for name, rank in (("1", 1), ("0", 2), ("2", 2))]
    users = {"ranking": [response(["generation-2", "generation-0", "generation-1"]),
                         response(ranked, "u2"), response(["2", "1", "0"], "u3")]}  # fmt: skip
    found = read(tmp_path, nested(THREE, users))
    assert [one.ranks for one in found.annotations] == [(2, 3, 1), (2, 1, 2), (3, 2, 1)]


def test_drafts_do_not_count_and_suggestions_are_a_judges(tmp_path: Path) -> None:
    users = {"preference": [response("response_1", "u1", status="draft"),
                            response("response_2", "u2", status="submitted")],
             "comment": [response("so so", "u2")]}  # fmt: skip
    judged = {"preference": {"value": "response_1", "score": 0.9, "agent": "gpt"}}
    found = read(tmp_path, nested(FIELDS, users, suggestions=judged))
    person, judge = found.annotations
    assert (person.annotator, person.source, person.comment) == ("u2", "people", "so so")
    assert (judge.annotator, judge.source, judge.verdict) == ("gpt", "judge", (1, 2))


def test_flat_records(tmp_path: Path) -> None:
    """As `records.to_datasets` makes them."""
    row = {
        "id": "r1", "status": "completed", "_server_id": "b5", **FIELDS,
        "preference.responses": ["response_1", "response_2"],
        "preference.responses.users": ["u1", "u2"],
        "preference.responses.status": ["submitted", "discarded"],
        "preference.suggestion": "response_2",
        "preference.suggestion.score": None,
        "preference.suggestion.agent": None,
    }  # fmt: skip
    found = read(tmp_path, row)
    assert [(one.annotator, one.verdict) for one in found.annotations] == [
        ("u1", (1, 2)), ("judge", (2, 1))
    ]  # fmt: skip
    unanswered = {**FIELDS, "id": "r2", "preference.responses": None}
    assert not read(tmp_path, unanswered).annotations


def test_what_is_written_is_read(tmp_path: Path) -> None:
    messages = (Message("system", "Be brief."), Message("user", "Rice?"))
    pair = Item("i", Prompt("p", messages), ("a", "b"), ("M", ""))
    many = Item("j", Prompt.of("Beans?"), ("a", "b", "c"))
    verdicts: dict[str, list[Verdict]] = {
        "i": [1, 7, "tie", "both_bad", "cannot_tell", (1, 2)],
        "j": [(2, 1, 2), (3, 2, 1), "tie"],
    }
    rows = []
    for item in (pair, many):
        order = tuple(range(len(item.answers)))
        said = [
            Annotation(item.id, f"n{n}", verdict, source="people", order=order, rewrite="Soak.")
            for n, verdict in enumerate(verdicts[item.id])
        ]
        said[0] = replace(said[0], order=order[::-1])
        rows.append((item, said))
    found = read(tmp_path, *(record_row(item, said) for item, said in rows))
    assert [(item.answers, item.models) for item in found.items] == [
        (("a", "b"), ("M", "")), (("a", "b", "c"), ())
    ]  # fmt: skip
    assert found.items[0].prompt.messages == messages
    written = [one for _, said in rows for one in said]
    assert [one.ranks for one in found.annotations] == [one.ranks for one in written]
    assert [one.annotator for one in found.annotations] == [one.annotator for one in written]
    assert {one.rewrite for one in found.annotations} == {"Soak."}
    assert found.annotations[0].verdict == 8


@pytest.mark.parametrize(
    ("responses", "why"),
    [
        ({"preference": [response("response_1"), response("left", "u2")]}, "'left' to"),
        ({"ranking": [response(["1", "2"]), response(["1"], "u2")]}, "['1'] to 'ranking'"),
        ({"preference": [response("response_1"), response("response_2")]}, "'u1' answers"),
        ({"preference": [{"value": "1"}, {"value": "2"}]}, "'nobody' answers 'preference' twice"),
        ({"response_1-rating": [response(2)]}, "none of the questions"),
    ],
)
def test_no_response_is_lost_without_a_word(
    tmp_path: Path, responses: dict[str, Any], why: str
) -> None:
    path = tmp_path / "records.json"
    path.write_text(json.dumps([nested(FIELDS, responses)]))
    _, found = read_preferences(path)
    assert not found.annotations
    assert [why in error.why for error in found.errors] == [True], found.errors


@pytest.mark.parametrize(
    "columns",
    [
        {"preference.responses": "['response_1']", "preference.responses.users": "['u1']"},
        {"preference.responses": ["1"], "preference.responses.status": 5},
        {"preference.responses": ["1"], "preference.responses.users": "u1"},
    ],
)
def test_columns_that_should_hold_lists(tmp_path: Path, columns: dict[str, Any]) -> None:
    """A table of `to_datasets` that went through CSV has texts in them."""
    path = tmp_path / "records.json"
    path.write_text(json.dumps([{**FIELDS, "id": "r1", **columns}]))
    _, found = read_preferences(path)
    assert not found.items
    assert "has no list" in found.errors[0].why


def test_a_number_is_a_choice_only_where_nothing_else_is(tmp_path: Path) -> None:
    users = {"quality": [response(2)], "preference": [response("response_1")]}
    (annotation,) = read(tmp_path, nested(FIELDS, users)).annotations
    assert annotation.ranks == (1, 2)
    (annotation,) = read(tmp_path, nested(FIELDS, {"better": [response(2)]})).annotations
    assert annotation.ranks == (2, 1)
