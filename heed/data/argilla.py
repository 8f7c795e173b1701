"""Records as Argilla 2 exports them, both ways.

Nested, as `records.to_json` writes them ({"id", "fields", "responses", "suggestions", ...}), or
flat, as `records.to_datasets` makes them (columns "QUESTION.responses", ".responses.users",
".suggestion", ".suggestion.agent"). A prompt stands in a field called prompt, instruction, question
or input; the answers in fields such as response_1 or generation-0. Verdicts are answers to a
ranking question (fields' names or numbers, best first, or {"value", "rank"}), to a label question
(a field's name or number, tie, both_bad, cannot_tell), or ratings of each answer ("FIELD-rating").
Responses are people's; a suggestion is its agent's, a judge. Only submitted responses count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

from heed.data import fields
from heed.data.entries import Entry, Reading, prompt_of, said, side, signed
from heed.data.rows import Row, RowError
from heed.data.ultrafeedback import from_scores
from heed.types import Annotation, Item, Undecided, Verdict

PROMPTS = ("prompt", "instruction", "question", "input")
STRENGTH, COMMENT, REWRITE = NO_VERDICTS = "strength", "comment", "rewrite"
JUDGE = "judge"
_ANSWER = re.compile(r"(?:response|generation|completion|answer|reply|output)[-_ ]?(\d+|[a-z])")
_COUNTED = ("submitted", None)

Answered = dict[str, Any]


def record(row: Row, reading: Reading) -> Entry:
    """A record's fields as an item, its responses and suggestions as annotations."""
    values = row.values
    nested = isinstance(values.get("fields"), dict)
    shown = values["fields"] if nested else values
    prompts = [name for name in PROMPTS if shown.get(name)]
    names = sorted((name for name in shown if _ANSWER.fullmatch(name)), key=_natural)
    names = [name for name in names if shown[name] is not None]
    if not prompts or len(names) < 2:
        raise RowError(
            f"the fields are {', '.join(map(repr, shown))}: one of {', '.join(PROMPTS)} and two or "
            "more such as response_1, response_2 are needed"
        )
    answers = tuple(fields.text(shown, name) for name in names)
    prompt = prompt_of(fields.prompt(shown, prompts[0]))
    item = Item(fields.optional(values, "id"), prompt, answers, _models(values, names))
    told = list((_nested if nested else _flat)(values))
    annotations = tuple(
        annotation
        for name, source, answered in told
        if (annotation := _annotation(signed(name or reading.annotator, source), answered, names))
    )
    if told and not annotations:
        asked = sorted({question for _, _, answered in told for question in answered})
        raise RowError(f"none of the questions {', '.join(asked)} tells which answer is better")
    _check_all_tell([answered for _, _, answered in told], names)
    return Entry(row, item, annotations)


def _check_all_tell(told: Sequence[Answered], names: Sequence[str]) -> None:
    """Raise RowError where a question that gave a verdict was also answered by what gives none."""
    asked = {question for answered in told for question in _telling(answered, names)}
    for answered in told:
        silent = sorted((asked & set(answered)) - set(_telling(answered, names)))
        if silent and _verdict(answered, names) is None:
            raise RowError(
                f"the answer {answered[silent[0]]!r} to {silent[0]!r} is neither one of "
                f"{', '.join(names)} nor {', '.join(get_args(Undecided))}, nor a ranking of them"
            )


def _telling(answered: Answered, names: Sequence[str]) -> list[str]:
    """The questions among those answered whose answers are verdicts.

    A bare number comes last: it may be a rating of something else.
    """
    ratings = {key for name in names for key in _ratings(name)}
    found = [
        question
        for question, value in answered.items()
        if question not in {*NO_VERDICTS, *ratings} and _chosen(value, names) is not None
    ]
    return sorted(found, key=lambda question: isinstance(answered[question], int))


def _natural(name: str) -> tuple[int, str]:
    found = _ANSWER.fullmatch(name)
    mark = found[1] if found else ""
    return (int(mark), "") if mark.isdecimal() else (0, mark)


def _models(values: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    metadata = values.get("metadata")
    if not isinstance(metadata, dict):
        return ()
    models = tuple(fields.optional(metadata, f"{name}_model") for name in names)
    return models if any(models) else ()


def _nested(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Answered]]:
    """(name, source, answers by question) of everyone who said something."""
    people: dict[str, Answered] = {}
    for question, responses in _objects(values, "responses").items():
        for response in responses if isinstance(responses, list) else [responses]:
            if not isinstance(response, dict):
                raise RowError(f"a response to {question!r} is no object")
            if response.get("status") in _COUNTED and response.get("value") is not None:
                person = fields.optional(response, "user_id")
                answered = people.setdefault(person, {})
                if question in answered:
                    raise RowError(f"{person or 'nobody'!r} answers {question!r} twice")
                answered[question] = response["value"]
    yield from ((name, "people", answered) for name, answered in people.items())
    agents: dict[str, Answered] = {}
    for question, suggestion in _objects(values, "suggestions").items():
        if isinstance(suggestion, dict) and suggestion.get("value") is not None:
            agent = fields.optional(suggestion, "agent", JUDGE)
            agents.setdefault(agent, {})[question] = suggestion["value"]
    yield from ((name, JUDGE, answered) for name, answered in agents.items())


def _objects(values: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    found = values.get(column) or {}
    if not isinstance(found, dict):
        raise RowError(f"the column {column!r} has no object of questions")
    return found


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Answered]]:
    """The same from columns with dots, by way of the nested form."""
    responses: dict[str, list[dict[str, Any]]] = {}
    suggestions: dict[str, dict[str, Any]] = {}
    for column, value in values.items():
        question, _, kind = column.rpartition(".")
        if kind == "responses" and value is not None:
            given, users, status = (
                _list(values, name) for name in (column, f"{column}.users", f"{column}.status")
            )
            users, status = users or [""] * len(given), status or [None] * len(given)
            if not len(given) == len(users) == len(status):
                raise RowError(f"{column!r} and its users are of different lengths")
            responses[question] = [
                {"value": answer, "user_id": user, "status": state}
                for answer, user, state in zip(given, users, status, strict=True)
            ]
        elif kind == "suggestion" and value is not None:
            agent = values.get(f"{column}.agent")
            suggestions[question] = {"value": value, "agent": agent}
    yield from _nested({"responses": responses, "suggestions": suggestions})


def _list(values: Mapping[str, Any], column: str) -> list[Any]:
    """A column of lists; CSV, which has none, would lose every response without a word."""
    found = values.get(column)
    if found is not None and not isinstance(found, list):
        raise RowError(
            f"the column {column!r} has no list ({found!r}); save the records as JSON or Parquet"
        )
    return found or []


def _verdict(answered: Answered, names: Sequence[str]) -> Verdict | None:
    """By ratings of the answers, or else by the first question that tells."""
    verdict = _rated(answered, names)
    for question in _telling(answered, names) if verdict is None else ():
        return _chosen(answered[question], names)
    return verdict


def _annotation(by: Annotation, answered: Answered, names: Sequence[str]) -> Annotation | None:
    """What one person said, or None where no question of theirs tells."""
    verdict = _verdict(answered, names)
    if verdict is None:
        return None
    strength = fields.whole(answered, STRENGTH)
    if strength in range(1, 5) and isinstance(verdict, tuple) and len(verdict) == 2:
        verdict = side(verdict.index(1), strength)
    texts = (fields.optional(answered, COMMENT), fields.optional(answered, REWRITE))
    by = replace(by, comment=texts[0], rewrite=texts[1])
    return said(by, verdict, tuple(range(len(names))))


def _rated(answered: Answered, names: Sequence[str]) -> Verdict | None:
    keys = [next((key for key in _ratings(name) if key in answered), "") for name in names]
    if not all(keys):
        return None
    scores = [fields.number(answered, key) for key in keys]
    return from_scores([score for score in scores if score is not None])


def _ratings(name: str) -> tuple[str, ...]:
    return (f"{name}-rating", f"{name}_rating", f"rating-{name}", f"rating_{name}")


def _chosen(value: Any, names: Sequence[str]) -> Verdict | None:
    """The verdict of a label or ranking question, or None where it is another question."""
    if isinstance(value, list):
        return _ranking(value, names)
    if value in get_args(Undecided):
        return value  # type: ignore[no-any-return]
    place = _place(value, names)
    return side(place) if place is not None and len(names) == 2 else None


def _ranking(value: Sequence[Any], names: Sequence[str]) -> Verdict | None:
    ranks: dict[int, int] = {}
    for position, ranked in enumerate(value, start=1):
        told = ranked if isinstance(ranked, dict) else {"value": ranked}
        place = _place(told.get("value"), names)
        rank = fields.whole(told, "rank")
        if place is not None:
            ranks[place] = position if rank is None else rank
    if sorted(ranks) != list(range(len(names))):
        return None
    found = tuple(ranks[place] for place in range(len(names)))
    return "tie" if found == (1, 1) else found


def _place(value: Any, names: Sequence[str]) -> int | None:
    """Which answer is meant: by its field's name, or by the number or letter in it."""
    marks = [found[1] if (found := _ANSWER.fullmatch(name)) else name for name in names]
    told = str(value)
    return names.index(told) if told in names else marks.index(told) if told in marks else None


def record_row(item: Item, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """A record in the nested form; annotators stand where Argilla has the users' ids."""
    names = [f"response_{number}" for number in range(1, len(item.answers) + 1)]
    single = len(item.prompt.messages) == 1 and item.prompt.messages[0].role == "user"
    prompt = item.prompt.text if single else [asdict(turn) for turn in item.prompt.messages]
    responses: dict[str, list[dict[str, Any]]] = {}
    for annotation in annotations:
        for question, value in _answers(annotation, names).items():
            told = {"value": value, "user_id": annotation.annotator, "status": "submitted"}
            responses.setdefault(question, []).append(told)
    models = zip(names, item.models, strict=False)
    return {
        "id": item.id,
        "fields": {"prompt": prompt, **dict(zip(names, item.answers, strict=True))},
        "metadata": {f"{name}_model": model for name, model in models},
        "suggestions": {},
        "responses": responses,
        "vectors": {},
    }


def _answers(annotation: Annotation, names: Sequence[str]) -> Answered:
    """The questions an annotation answers, in terms of the item's order."""
    answered: Answered = {}
    ranks = annotation.ranks
    if isinstance(annotation.verdict, str):
        answered["preference"] = annotation.verdict
    elif ranks is not None and len(names) == 2 and ranks != (1, 1):
        answered["preference"] = names[ranks.index(1)]
    elif ranks is not None:
        ranked = sorted(zip(ranks, names, strict=True))
        answered["ranking"] = [{"value": name, "rank": rank} for rank, name in ranked]
    if isinstance(annotation.verdict, int):
        answered[STRENGTH] = min(annotation.verdict, 9 - annotation.verdict)
    texts = {COMMENT: annotation.comment, REWRITE: annotation.rewrite}
    return answered | {question: text for question, text in texts.items() if text}
