"""Heed's own rows: items to label; items and a server's replies with all that was said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from heed.data import fields
from heed.data.entries import Entry, Found, Reading, each, prompt_of
from heed.data.rows import Row, RowError, SetAside
from heed.types import Annotation, Item, Judged, Split

LARGEST = 2**31 - 1
"""Of occasions and revisions: what every database holds."""

_items = TypeAdapter(Item)
_annotations = TypeAdapter(list[Annotation])
_judged = TypeAdapter(Judged)


def native_row(item: Item, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """An item and every annotation of it, the superseded ones too."""
    said = [asdict(annotation) for annotation in annotations]
    for annotation in said:
        del annotation["item"]
    return {"item": asdict(item), "annotations": said}


def judged_row(judged: Judged) -> dict[str, Any]:
    """A server's reply and every opinion of it."""
    return asdict(judged)


def native(row: Row, _: Reading) -> Entry | Judged:
    """What `native_row` or `judged_row` wrote."""
    return _opinions(row) if "reply" in row.values else _annotated(row)


def by_itself(rows: Iterator[Row], reading: Reading) -> Iterator[Found]:
    """The same to train on: of a reply what each annotator's last opinion makes of it."""
    for found in each(native)(rows, reading):
        yield from found.unpaired if isinstance(found, Judged) else [found]


def _opinions(row: Row) -> Judged:
    try:
        found = _judged.validate_python(dict(row.values))
    except ValidationError as error:
        raise RowError(_why(error, "reply")) from error
    if not (found.reply.name and found.reply.prompt.id and found.reply.prompt.messages):
        raise RowError("the reply has no name, or its prompt no id or no message")
    if not 0 <= found.reply.place <= LARGEST:
        raise RowError("a reply's place counts from 0")
    if not all(one.annotator.strip() for one in found.opinions):
        raise RowError("the annotator has no name")
    return found


def _why(error: ValidationError, column: str) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    why = first["ctx"]["error"] if first["type"] == "value_error" else first["msg"]
    return f"{where or column}: {why}"


def _annotated(row: Row) -> Entry:
    told = row.values.get("annotations")
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise RowError("the column 'annotations' has no list of objects")
    try:
        item = _items.validate_python(row.values.get("item"))
        annotations = _annotations.validate_python([{**one, "item": item.id} for one in told])
    except ValidationError as error:
        raise RowError(_why(error, "item")) from error
    _check(item)
    for annotation in annotations:
        _check_annotation(annotation, item)
    keys = {(one.annotator, one.occasion, one.revision) for one in annotations}
    if len(keys) < len(annotations):
        raise RowError("two annotations are of the same annotator, occasion and revision")
    return Entry(row, item, tuple(annotations), keyed=True)


def _check(item: Item) -> None:
    if not item.id or not item.prompt.id or not item.prompt.messages:
        raise RowError("the item or its prompt has no id, or no message")
    fields.number({"priority": item.priority}, "priority")


def _check_annotation(annotation: Annotation, item: Item) -> None:
    if not annotation.annotator.strip():
        raise RowError("the annotator has no name")
    if len(annotation.order) != len(item.answers):
        raise RowError(f"{len(item.answers)} answers, but an order of {len(annotation.order)}")
    if not 0 <= annotation.seconds < float("inf"):
        raise RowError(f"seconds cannot be {annotation.seconds}")
    if not all(0 <= count <= LARGEST for count in (annotation.occasion, annotation.revision)):
        raise RowError("occasion and revision count from 0")


def to_label(row: Row, _: Reading) -> Entry:
    """prompt and answers (a list, or the columns a and b); id, models, known and more if given.

    Of answers that a model drew (`heed sample`), equal ones stand once and empty ones are left out;
    a row whose answers are all the same compares nothing.

    Also a line of a run's items.jsonl, whose prompt is an object with an id of its own.
    """
    values = row.values
    if isinstance(values.get("prompt"), dict):
        return _annotated(replace(row, values={"item": values, "annotations": []}))
    pair = "answers" not in values
    answers = (
        (fields.text(values, "a"), fields.text(values, "b"))
        if pair
        else fields.texts(values, "answers")
    )
    known = fields.verdict(values, "known")
    places = _telling(answers, ranked=known is not None)
    prompt = prompt_of(
        fields.prompt(values),
        id=fields.optional(values, "prompt_id"),
        family=fields.optional(values, "family"),
        split=_split(fields.optional(values, "split", "train")),
    )
    models = _models(values, pair)
    if models and len(models) != len(answers):
        raise RowError(f"{len(answers)} answers, but {len(models)} models")
    item = Item(
        fields.optional(values, "id"), prompt, tuple(answers[place] for place in places),
        tuple(models[place] for place in places if models), known,
        fields.number(values, "priority") or 0.0,
    )  # fmt: skip
    return Entry(row, item)


def _telling(answers: Sequence[str], *, ranked: bool) -> list[int]:
    """Places of the answers that can be told apart; all of them, or none is `ranked`."""
    if len(answers) < 2:
        raise RowError(f"there are two or more answers to compare, here {len(answers)}")
    places = [answers.index(answer) for answer in dict.fromkeys(answers) if answer.strip()]
    empty = not all(answer.strip() for answer in answers)
    if empty and (ranked or len(places) < 2):
        raise RowError("one of the answers is empty")
    if ranked and len(places) < len(answers):
        raise RowError("two of the answers are the same, and `known` ranks them")
    if len(places) < 2:
        raise SetAside("equal answers")
    return places


def _split(name: str) -> Split:
    for split in get_args(Split):
        if name == split:
            return split  # type: ignore[no-any-return]
    raise RowError(f"the column 'split' is {name!r}, it can be {' or '.join(get_args(Split))}")


def _models(values: Mapping[str, Any], pair: bool) -> tuple[str, ...]:
    if pair:
        both = (fields.optional(values, "model_a"), fields.optional(values, "model_b"))
        return both if any(both) else ()
    return () if values.get("models") in (None, "") else fields.texts(values, "models")
