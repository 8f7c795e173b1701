"""A conversation and what of it a model's context holds; comparisons that are made in one."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from heed.data.native import native_row
from heed.errors import UserError
from heed.files import write_text
from heed.types import Annotation, Item, Message, Prompt, Verdict

SOURCE = "people"
UI = "chat"


@dataclass
class Conversation:
    """Turns of user and assistant, behind a system message where there is one.

    `left_out` is how many of the oldest exchanges no longer fitted when last asked.
    """

    system: str = ""
    turns: list[Message] = field(default_factory=list)
    left_out: int = 0

    @property
    def waits(self) -> bool:
        """Whether the user spoke last."""
        return bool(self.turns) and self.turns[-1].role == "user"

    def ask(self, text: str) -> None:
        """The user says something."""
        self.turns.append(Message("user", text))

    def answer(self, text: str) -> None:
        """The assistant says something."""
        self.turns.append(Message("assistant", text))

    def forget_answer(self) -> bool:
        """Take the last answer back, so that the question waits again; False without one."""
        if self.turns and self.turns[-1].role == "assistant":
            self.turns.pop()
        return self.waits

    def forget_exchange(self) -> bool:
        """Take the last question and its answer back; False where there is none."""
        if not self.forget_answer():
            return False
        self.turns.pop()
        return True

    def reset(self) -> None:
        """Forget all but the system message."""
        self.turns.clear()
        self.left_out = 0

    def prompt(self, fits: Callable[[Prompt], bool]) -> Prompt:
        """What the model is asked: as many of the latest exchanges as fit, the last question.

        Raises:
            UserError: not even that one fits.
        """
        for start in range(0, len(self.turns), 2):
            prompt = self._from(start)
            if fits(prompt):
                self.left_out = start // 2
                return prompt
        raise UserError(
            "This message leaves no room for an answer in the model's context. Shorten it, or the "
            "answer with /tokens."
        )

    def _from(self, start: int) -> Prompt:
        said = (Message("system", self.system),) if self.system else ()
        messages = (*said, *self.turns[start:])
        return Prompt(f"chat-{_digest(messages)}", messages)

    def save(self, path: Path) -> None:
        """Write it as a row of messages, which `heed align` takes for a demonstration.

        Raises:
            UserError: there is such a file, or it cannot be written.
        """
        if path.exists():
            raise UserError(f"{path} exists already, and stays as it is; give another name.")
        row = {"messages": _plain(self._from(0).messages)}
        try:
            write_text(path, json.dumps(row, ensure_ascii=False) + "\n")
        except (OSError, UnicodeEncodeError) as error:
            raise UserError(f"Cannot write {path}: {error}.") from error


@dataclass(frozen=True)
class Kept:
    """A file of comparisons in Heed's own format, to which every choice is appended."""

    path: Path
    annotator: str

    def check(self) -> None:
        """Raise UserError where the file holds anything else, or cannot be appended to."""
        try:
            with self.path.open("rb") as file:
                first = file.readline().strip()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"Cannot read {self.path}: {error.strerror}.") from error
        if not first:
            return
        try:
            row = json.loads(first)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not {"item", "annotations"} <= row.keys():
            raise UserError(
                f"{self.path} holds something else than Heed's own comparisons, and is left as it "
                "is. Name another file with --keep."
            )

    def add(self, prompt: Prompt, answers: tuple[str, str], models: tuple[str, str],
            verdict: Verdict, seconds: float) -> None:  # fmt: skip
        """Append a choice between two answers, as they were shown.

        Raises:
            UserError: the file cannot be written.
        """
        id = f"chat-{_digest(prompt.messages, answers, models, time.time_ns())}"
        said = Annotation(
            id, self.annotator, verdict, seconds=round(seconds, 3), source=SOURCE, ui=UI
        )
        row = native_row(Item(id, prompt, answers, models), [said])
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell() and not _ends_a_line(self.path):  # a kill tore the line before
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"Cannot write {self.path}: {error.strerror}.") from error


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def _digest(messages: tuple[Message, ...], *more: object) -> str:
    written = json.dumps([_plain(messages), *more])
    return hashlib.sha256(written.encode()).hexdigest()[:20]
