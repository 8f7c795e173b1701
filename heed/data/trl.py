"""TRL's formats, both ways: preference, unpaired preference, prompt and completion, messages.

Texts are plain, or conversational: lists of {"role", "content"}. A preference without a prompt
has an implicit one: what both sides begin with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from heed.data import fields
from heed.data.entries import (
    IMPORTED,
    Aside,
    Entry,
    Found,
    Reading,
    preferred,
    prompt_of,
    said,
    signed,
)
from heed.data.rows import Row, RowError, SetAside
from heed.types import Annotation, Comparison, Demonstration, Item, Message, Prompt, Unpaired

STRENGTHS = {1.0: 1, 2 / 3: 2, 1 / 3: 3, 0.0: None}
"""Strength of preference by margin (Llama 2's small table). None: whoever gives no strength is
exported with margin 0 too, so it states none.
"""
UNLIKE = "unlike prompts"
NO_PROMPT = "no shared beginning"
NO_COUNTERPART = "completions without one of the other label"
BOTH_LABELS = "completions labelled both ways"
SEVERAL_TURNS = "prompts of several turns"

_YES = (True, 1, "1", "true", "True", "yes")
_NO = (False, 0, "0", "false", "False", "no")


def preference(row: Row, reading: Reading) -> Entry:
    """prompt (or implicit), chosen, rejected; margin, annotator, source, split where they stand.

    A prompt may be a record, as Heed's own `comparisons.jsonl` has it.
    """
    values = _unfolded(row.values)
    messages, chosen, rejected = _sides(values)
    family = fields.optional(values, "family")
    prompt = prompt_of(messages, family=family, split=fields.split(values))
    return preferred(
        row, prompt, chosen, rejected, strength=strength(values), by=author(values, reading)
    )


def _unfolded(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row whose prompt is a record, as if the record's fields were columns."""
    prompt = values.get("prompt")
    if not isinstance(prompt, dict) or "messages" not in prompt:
        return values
    about = {name: prompt[name] for name in ("family", "split") if name in prompt}
    return {**about, **values, "prompt": prompt["messages"]}


def author(values: Mapping[str, Any], reading: Reading) -> Annotation:
    """Who the row says it is from, or else whom the import names."""
    return signed(
        fields.optional(values, "annotator", reading.annotator),
        fields.optional(values, "source", IMPORTED),
    )


def strength(values: Mapping[str, Any]) -> int | None:
    """The strength whose margin is nearest to the row's; None where it has none, or 0."""
    margin = fields.number(values, "margin")
    if margin is None:
        return None
    return STRENGTHS[min(STRENGTHS, key=lambda known: abs(known - margin))]


def _sides(values: Mapping[str, Any]) -> tuple[tuple[Message, ...], str, str]:
    """The prompt and both answers."""
    conversational = [isinstance(values.get(side), list) for side in ("chosen", "rejected")]
    if any(conversational):
        return _conversations(values)
    chosen, rejected = fields.text(values, "chosen"), fields.text(values, "rejected")
    if values.get("prompt") is not None:
        return fields.prompt(values), chosen, rejected
    shared = _shared_beginning(chosen, rejected)
    if not shared.strip():
        raise SetAside(NO_PROMPT)
    return (Message("user", shared),), chosen[len(shared) :], rejected[len(shared) :]


def _conversations(values: Mapping[str, Any]) -> tuple[tuple[Message, ...], str, str]:
    chosen = fields.messages(values.get("chosen"), "chosen")
    rejected = fields.messages(values.get("rejected"), "rejected")
    if values.get("prompt") is not None:
        prompt = fields.prompt(values)
        chosen, rejected = _behind(prompt, chosen), _behind(prompt, rejected)
    for column, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[-1].role != "assistant":
            raise RowError(f"the column {column!r} does not end with an assistant's message")
    if chosen[:-1] != rejected[:-1]:
        raise SetAside(UNLIKE)
    if len(chosen) == 1:
        raise SetAside(NO_PROMPT)
    return chosen[:-1], chosen[-1].content, rejected[-1].content


def _behind(prompt: tuple[Message, ...], turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """The whole conversation. UltraFeedback writes the prompt a second time, before the answer;
    others a part of it, without its system message.
    """
    before = turns[:-1]
    if prompt in (before[: len(prompt)], before[-len(prompt) :]):
        return turns
    if turns[0].role == "assistant":
        return prompt + turns
    return prompt + turns[-1:] if prompt[-len(before) :] == before else turns


def _shared_beginning(first: str, second: str) -> str:
    """What both texts begin with, up to the last white space: words are not cut."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    while length and not first[length - 1].isspace():
        length -= 1
    return first[:length].rstrip()


def demonstration(row: Row, _: Reading) -> Demonstration:
    """prompt and completion, or messages that end with the answer."""
    values = row.values
    if "messages" in values:
        turns = fields.messages(values["messages"], "messages")
    else:
        answer = values.get("completion")
        last = (
            fields.messages(answer, "completion")
            if isinstance(answer, list)
            else (Message("assistant", fields.text(values, "completion")),)
        )
        turns = fields.prompt(values) + last
    if turns[-1].role != "assistant" or len(turns) < 2:
        raise RowError("the messages do not end with an assistant's answer to a prompt")
    prompt = prompt_of(
        turns[:-1], family=fields.optional(values, "family"), split=fields.split(values)
    )
    return Demonstration(prompt, turns[-1].content)


def unpaired(rows: Iterator[Row], reading: Reading) -> Iterator[Found]:
    """prompt, completion, label: a prompt's completions make one item, ranked good over bad.

    A prompt whose completions all have the same label compares nothing and is set aside.
    """
    groups: dict[tuple[Prompt, str, str], list[tuple[Row, str, bool]]] = {}
    for row in rows:
        try:
            demonstrated = demonstration(row, reading)
            label = _label(row.values.get("label"))
            by = author(row.values, reading)
        except ValueError as error:
            yield row.bad(str(error))
            continue
        key = (demonstrated.prompt, by.annotator, by.source)
        groups.setdefault(key, []).append((row, demonstrated.text, label))
    for (prompt, annotator, source), group in groups.items():
        yield from _ranked(prompt, group, signed(annotator, source))


def by_itself(row: Row, reading: Reading) -> Unpaired:
    """prompt, completion, label, as an answer that is good or bad by itself."""
    demonstrated = demonstration(row, reading)
    by = author(row.values, reading)
    return Unpaired(
        demonstrated.prompt, demonstrated.text, _label(row.values.get("label")),
        fields.weight(row.values), by.annotator, by.source,
    )  # fmt: skip


def _label(value: Any) -> bool:
    if value in _YES:
        return True
    if value in _NO:
        return False
    raise RowError(f"the column 'label' has neither true nor false ({value!r})")


def _ranked(
    prompt: Prompt, group: Sequence[tuple[Row, str, bool]], by: Annotation
) -> Iterator[Found]:
    labels: dict[str, set[bool]] = {}
    for _, completion, label in group:
        labels.setdefault(completion, set()).add(label)
    kept = {text: found.copy().pop() for text, found in labels.items() if len(found) == 1}
    unlike = len(set(kept.values())) == 2
    for row, completion, _ in group:
        if completion not in kept:
            yield Aside(row, BOTH_LABELS)
        elif not unlike:
            yield Aside(row, NO_COUNTERPART)
    if not unlike:
        return
    if len(kept) == 2:
        good, bad = sorted(kept, key=lambda text: not kept[text])
        yield preferred(group[0][0], prompt, good, bad, strength=None, by=by)
        return
    answers = tuple(sorted(kept))
    ranks = tuple(1 if kept[answer] else 2 for answer in answers)
    item = Item("", prompt, answers)
    yield Entry(group[0][0], item, (said(by, ranks, tuple(range(len(answers)))),))


def conversational_row(comparison: Comparison) -> dict[str, Any]:
    """A preference as lists of messages; what it weighs beside it."""
    return {
        "prompt": [asdict(turn) for turn in comparison.prompt.messages],
        "chosen": _answer(comparison.chosen),
        "rejected": _answer(comparison.rejected),
        **worth(comparison),
    }


def plain_row(comparison: Comparison) -> dict[str, Any]:
    """A preference as texts. Raises SetAside where the prompt is more than one user's message."""
    return {
        "prompt": single_turn(comparison.prompt),
        "chosen": comparison.chosen,
        "rejected": comparison.rejected,
        **worth(comparison),
    }


def single_turn(prompt: Prompt) -> str:
    """The text of a prompt that one user's message makes up."""
    if len(prompt.messages) != 1 or prompt.messages[0].role != "user":
        raise SetAside(SEVERAL_TURNS)
    return prompt.text


def unpaired_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The chosen completion with label true, the rejected one with false."""
    prompt = [asdict(turn) for turn in comparison.prompt.messages]
    counts = worth(comparison)
    del counts["margin"]
    return [
        {"prompt": prompt, "completion": _answer(text), "label": label, **counts}
        for text, label in ((comparison.chosen, True), (comparison.rejected, False))
    ]


def opinion_row(said: Unpaired) -> dict[str, Any]:
    """An answer that is good or bad by itself, as a row of the same form."""
    return {
        "prompt": [asdict(turn) for turn in said.prompt.messages],
        "completion": _answer(said.text),
        "label": said.desirable,
        "weight": said.weight,
        "source": said.source,
        "annotator": said.annotator,
    }


def demonstration_row(demonstration: Demonstration) -> dict[str, Any]:
    """A prompt and the answer to imitate, as messages."""
    turns = [*demonstration.prompt.messages, Message("assistant", demonstration.text)]
    return {"messages": [asdict(turn) for turn in turns]}


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def worth(comparison: Comparison) -> dict[str, Any]:
    """What a comparison counts for in training, and whose it is."""
    return {
        "margin": comparison.margin,
        "weight": comparison.weight,
        "source": comparison.source,
        "annotator": comparison.annotator,
    }
