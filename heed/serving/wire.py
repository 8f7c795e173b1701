"""Replies in OpenAI's shapes: chat completions, completions, and the chunks of their streams."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from heed.sampling.asked import Writing

Made = dict[str, Any]
REFUSED = "content_filter"
"""Why an answer ended that a guardrail put in place of the policy's."""


@dataclass
class Choice:
    """An answer as it goes out; `said` and `told` are how much of text and tokens has."""

    index: int
    writing: Writing | None
    text: str = ""
    finish: str | None = None
    said: int = 0
    told: int = 0

    def look(self) -> None:
        """See what there is by now."""
        if self.writing is None or self.finish is not None:
            return
        self.finish = self.writing.finish
        self.text = self.writing.text()

    def news(self) -> str:
        """The text since the last time."""
        news, self.said = self.text[self.said :], len(self.text)
        return news

    def tokens(self) -> list[tuple[str, float]]:
        """Tokens since the last time, each with its log-prob; none of a refusal."""
        if self.writing is None:
            return []
        start, self.told = self.told, len(self.writing.logprobs)
        part = slice(start, self.told)
        return [
            (self.writing.word(token), logprob)
            for token, logprob in zip(
                self.writing.ids[part], self.writing.logprobs[part], strict=True
            )
        ]


@dataclass(frozen=True)
class Head:
    """What every chunk of a reply repeats."""

    model: str
    version: int
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    def made(self, kind: str, choices: Sequence[Made], **more: Any) -> Made:
        """A reply or a chunk of one."""
        return {
            "id": self.id, "object": kind, "created": self.created, "model": self.model,
            "system_fingerprint": f"weights-{self.version}", "choices": list(choices), **more,
        }  # fmt: skip


class Shape(Protocol):
    """One of the two kinds of reply."""

    prefix: str
    whole: str
    chunk: str

    def answer(self, choice: Choice, logprobs: bool) -> Made:
        """A finished choice."""
        ...

    def opening(self, choice: Choice) -> Made | None:
        """What a stream says of a choice first."""
        ...

    def piece(self, choice: Choice, text: str, logprobs: bool) -> Made:
        """A piece of a choice's stream."""
        ...


class ChatShape:
    """chat.completion, and chat.completion.chunk."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def answer(self, choice: Choice, logprobs: bool) -> Made:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        return self._made(choice, logprobs, "message", message)

    def opening(self, choice: Choice) -> Made | None:
        delta = {"role": "assistant", "content": "", "refusal": None}
        return {"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": None}

    def piece(self, choice: Choice, text: str, logprobs: bool) -> Made:
        return self._made(choice, logprobs, "delta", {"content": text} if text else {})

    def _made(self, choice: Choice, logprobs: bool, key: str, said: Made) -> Made:
        told = {"content": [_chat_token(*each) for each in choice.tokens()], "refusal": None}
        return {
            "index": choice.index, key: said, "logprobs": told if logprobs else None,
            "finish_reason": choice.finish,
        }  # fmt: skip


class TextShape:
    """text_completion, in a stream too."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"

    def answer(self, choice: Choice, logprobs: bool) -> Made:
        return self.piece(choice, choice.text, logprobs)

    def opening(self, choice: Choice) -> Made | None:
        del choice
        return None

    def piece(self, choice: Choice, text: str, logprobs: bool) -> Made:
        tokens = choice.tokens() if logprobs else []
        told = {
            "tokens": [word for word, _ in tokens],
            "token_logprobs": [logprob for _, logprob in tokens],
            "top_logprobs": None,
        }
        return {
            "index": choice.index, "text": text, "logprobs": told if logprobs else None,
            "finish_reason": choice.finish,
        }  # fmt: skip


def _chat_token(word: str, logprob: float) -> Made:
    spelled = list(word.encode("utf-8", "replace"))
    return {"token": word, "logprob": logprob, "bytes": spelled, "top_logprobs": []}


def usage(prompt: int, drawn: int) -> Made:
    """Tokens of the prompt, and of all answers that were drawn for it."""
    return {"prompt_tokens": prompt, "completion_tokens": drawn, "total_tokens": prompt + drawn}


def new_id(shape: Shape) -> str:
    """A name for a reply that nobody can guess, by which feedback speaks of it."""
    return f"{shape.prefix}-{secrets.token_hex(16)}"


def event(made: Made) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(made, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


DONE = b"data: [DONE]\n\n"
