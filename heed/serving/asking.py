"""What a request says: OpenAI's bodies, read strictly. What is not supported is refused by name.

A field that asks for nothing (null, a penalty of 0, an empty list of tools) is taken as left out.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from heed.sampling.asked import Asked, Engine
from heed.serving.errors import Refused
from heed.store.limits import NAME
from heed.types import Message, Prompt, Role

Body = TypeVar("Body", bound=BaseModel)

NOTHING: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "top_logprobs": (0,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "metadata": ({},),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}
"""Fields of OpenAI's that we do not have, and the values of them that ask for nothing."""
HINTS = {
    "best_of": " Ask the model NAME:best-of-N, if the server offers it.",
    "max_completion_tokens": " Completions call it max_tokens.",
}
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
MOST_SEEDS = 2**63
Stops = Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=16)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(_Strict):
    """How a stream is told; `include_usage` adds a last chunk with the counts."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Sampled(_Strict):
    """What both kinds of request have in common."""

    model: str
    temperature: float = Field(1.0, ge=0.0, le=100.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    top_k: int = Field(0, ge=0)
    n: int = Field(1, ge=1, le=128)
    seed: int | None = None
    stop: Stops = []
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, min_length=1, max_length=NAME)

    @field_validator("stop", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("temperature", "top_p", mode="before")
    @classmethod
    def _whole_numbers(cls, value: Any) -> Any:
        return float(value) if type(value) is int else value

    @property
    def longest(self) -> int | None:
        """Tokens of an answer at most, if the client says."""
        raise NotImplementedError

    @property
    def usage_wanted(self) -> bool:
        """Whether a stream ends with the counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def asked(self, prompt: Prompt, tokens: int, ids: tuple[int, ...] = ()) -> Asked:
        """The same for an engine; without a seed one is drawn."""
        seed = secrets.randbits(62) if self.seed is None else self.seed % MOST_SEEDS
        return Asked(
            prompt, tokens, n=self.n, seed=seed, temperature=self.temperature, top_p=self.top_p,
            top_k=self.top_k, stop=tuple(self.stop), ids=ids, shorter=self.longest is None,
        )  # fmt: skip


class TextPart(_Strict):
    """A part of a message; there is text alone."""

    type: Literal["text"]
    text: str


class ChatMessage(_Strict):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: None = None
    refusal: None = None

    def plain(self) -> Message:
        """As a record."""
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return Message(ROLES[self.role], text)


class ChatBody(Sampled):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=2000)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False

    @property
    def longest(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def wanted(self, engine: Engine, tokens: int) -> Asked:
        """For that engine, answers of at most so many tokens."""
        del engine
        messages = tuple(message.plain() for message in self.messages)
        if messages[-1].role == "assistant":
            raise Refused(
                400, "invalid_value", "The last message is the assistant's: there is nothing to "
                "answer. To continue a text use /v1/completions.", param="messages",
            )  # fmt: skip
        return self.asked(Prompt(prompt_id(messages), messages), tokens)


class CompletionBody(Sampled):
    """POST /v1/completions: a text to continue, or its ids."""

    prompt: str | list[int] = Field(min_length=1)
    max_tokens: int = Field(16, ge=1)
    logprobs: Literal[0] | None = None

    @property
    def longest(self) -> int | None:
        return self.max_tokens

    def wanted(self, engine: Engine, tokens: int) -> Asked:
        """For that engine, continuations of at most so many tokens."""
        ids = tuple(engine.text_ids(self.prompt) if isinstance(self.prompt, str) else self.prompt)
        if not all(0 <= token < engine.vocabulary for token in ids):
            raise Refused(400, "invalid_value", "The ids are not all tokens of this model.",
                          param="prompt")  # fmt: skip
        text = self.prompt if isinstance(self.prompt, str) else " ".join(map(str, ids))
        return self.asked(Prompt.of(text, id=f"text-{_digest(text)}"), tokens, ids)


def prompt_id(messages: tuple[Message, ...]) -> str:
    """A name that a conversation has wherever it is asked."""
    return f"chat-{_digest(json.dumps([[turn.role, turn.content] for turn in messages]))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:20]


async def read(request: Request, kind: type[Body]) -> Body:
    """The request's body. Raises Refused for what is no such body, naming the field."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Refused(415, "not_json", "Send the body as application/json.")
    try:
        values = await request.json()
    except (ValueError, RecursionError) as error:
        raise Refused(400, "not_json", "The body is no JSON.") from error
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused(400, "invalid_value", "The body holds half of a surrogate pair.") from error
    if not isinstance(values, dict):
        raise Refused(400, "not_json", "The body is no JSON object.")
    try:
        return kind.model_validate(_meant(values))
    except ValidationError as error:
        raise _refused(error) from error


def _meant(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that ask for something."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and not (name in NOTHING and value in NOTHING[name])
    }


def _refused(error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden":
        return Refused(
            400, "unsupported_parameter",
            f"{where!r} is not supported by this server.{HINTS.get(where, '')}", param=where,
        )  # fmt: skip
    missing = first["type"] == "missing"
    code = "missing_required_parameter" if missing else "invalid_value"
    return Refused(400, code, f"{where or 'body'}: {first['msg']}.", param=where)
