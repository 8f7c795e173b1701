"""What a model answered, from a file: AlpacaEval's `model_outputs.json`, Heed's samples, or rows of
a prompt and an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from heed.data import fields
from heed.data.rows import BadRow, RowError
from heed.data.tables import read_rows, written_lines
from heed.errors import UserError
from heed.types import Completion, Message, Prompt

T = TypeVar("T")
PROMPTS = ("instruction", "prompt", "question", "messages")
ANSWERS = ("output", "answer", "completion", "response", "text")
MODELS = ("generator", "model")


def read_outputs(file: Path) -> list[Completion]:
    """The answers of a file (.json, .jsonl, .csv, .parquet, also .gz), in its order.

    A prompt is a text, a list of messages, or one of Heed's own (`samples-*.jsonl`); its id is the
    one that it brings, or else what it says. A row of `answers` (and `models`) is as many answers.

    Raises:
        UserError: the file is missing or empty, or a row holds no prompt or answer.
    """
    found = [answer for row in _each(file, _completions) for answer in row]
    if not found:
        raise UserError(f"{file} holds no answers.")
    return found


def read_prompts(file: Path) -> list[Prompt]:
    """Prompts to ask: a text file of one a line, or rows as `read_outputs` takes them.

    Raises:
        UserError: the file is missing or empty, or a row holds no prompt.
    """
    if file.suffix == ".txt":
        prompts = [Prompt.of(line.strip()) for _, line in written_lines(file, "prompts")]
    else:
        prompts = _each(file, _prompt)
    if not prompts:
        raise UserError(f"{file} holds no prompts.")
    return prompts


def _each(file: Path, read: Callable[[dict[str, Any]], T]) -> list[T]:
    """What every row says; UserError with the place of one that cannot be used."""
    found = []
    for row in read_rows(file):
        if isinstance(row, BadRow):
            raise UserError(f"{row.place}: {row.why}.")
        try:
            found.append(read(row.values))
        except RowError as error:
            raise UserError(f"{row.place}: {error}.") from error
    return found


def conversation(messages: tuple[Message, ...]) -> str:
    """What a prompt says, as one text: a single question is itself."""
    if [turn.role for turn in messages] == ["user"]:
        return messages[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in messages)


def _completions(values: Mapping[str, Any]) -> list[Completion]:
    if "answers" in values:
        prompt, answers = _prompt(values), fields.texts(values, "answers")
        models = fields.texts(values, "models") if values.get("models") else ("",) * len(answers)
        if len(models) != len(answers):
            raise RowError(f"{len(answers)} answers, but {len(models)} models")
        return [
            Completion(prompt, text, model=model)
            for text, model in zip(answers, models, strict=True)
        ]
    column = _column(values, ANSWERS, "an answer")
    model = next((fields.optional(values, name) for name in MODELS if name in values), "")
    return [Completion(_prompt(values), fields.text(values, column), model=model)]


def _prompt(values: Mapping[str, Any]) -> Prompt:
    column = _column(values, PROMPTS, "a prompt")
    value = values[column]
    if isinstance(value, dict):
        messages = fields.messages(value.get("messages"), f"{column}.messages")
        id, family = fields.optional(value, "id"), fields.optional(value, "family")
        return Prompt(id or conversation(messages), messages, family, "heldout")
    messages = fields.prompt(values, column)
    if column == "messages" and messages[-1].role == "assistant":  # what was answered once
        messages = messages[:-1]
    if not messages:
        raise RowError("the column 'messages' asks nothing: it is one assistant's message")
    id, family = fields.optional(values, "id"), fields.optional(values, "family")
    return Prompt(id or conversation(messages), messages, family)


def _column(values: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    for name in names:
        if name in values:
            return name
    raise RowError(f"there is no column with {what}: {', '.join(names)}")
