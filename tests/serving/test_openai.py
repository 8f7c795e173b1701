"""The official client: whole answers and streams, the same ones as the sampler's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
from serving.conftest import Served

from heed.sampling.local import LocalSampler
from heed.types import Prompt

ASKED: Any = [{"role": "user", "content": "yes no ?"}]
START = Callable[..., Served]


def expected(served: Served, name: str, seed: int, tokens: int, n: int = 1) -> list[str]:
    sampler = LocalSampler(served.models[name], tokens)
    return [one.text for one in sampler.sample([Prompt.of("yes no ?")], n=n, seed=seed)]


def test_answers_are_the_samplers_own(serve: START) -> None:
    served = serve({"one": 1, "two": 2})
    client = served.client()
    for name in ("one", "two"):
        reply = client.chat.completions.create(
            model=name, messages=ASKED, seed=5, max_tokens=9, n=3, logprobs=True
        )
        assert [choice.message.content for choice in reply.choices] == expected(
            served, name, 5, 9, 3
        )
        assert reply.model == name
        assert reply.usage is not None
        told = [choice.logprobs.content for choice in reply.choices if choice.logprobs]
        assert reply.usage.completion_tokens == sum(len(tokens or []) for tokens in told)
        assert all(token.logprob <= 0 for tokens in told for token in tokens or [])
        assert reply.choices[0].finish_reason in ("stop", "length")


def test_a_stream_is_the_same_answer_in_pieces(serve: START) -> None:
    """A piece a token, as soon as it is drawn: the engine waits here until it was read."""
    served = serve({"one": 1}, ends=-1e9)
    engine: Any = served.site.roster.find("one").engine
    write, read = engine._write, threading.Semaphore(0)
    engine._write = lambda: (read.acquire(timeout=10), write())
    chunks, texts = [], ["", ""]
    tokens: list[list[int]] = [[], []]
    for chunk in served.client().chat.completions.create(
        model="one", messages=ASKED, seed=10, max_tokens=12, n=2, stream=True, logprobs=True,
        stream_options={"include_usage": True},
    ):  # fmt: skip
        chunks.append(chunk)
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            tokens[choice.index] += [len(choice.logprobs.content or [])] if choice.logprobs else []
            if choice.index == 0:
                read.release()
    assert texts == expected(served, "one", 10, 12, 2)
    assert tokens[0] == [1] * 12  # none of them a special one, which would wait for the next
    assert sum(tokens[1]) == 12
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 24
    finishes = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert finishes == ["length", "length"]


def test_a_text_is_continued_whole_and_streamed(serve: START) -> None:
    client = serve({"one": 1}, ends=-1e9).client()
    asked: Any = {"model": "one", "prompt": "yes no", "max_tokens": 5, "seed": 8}
    whole = client.completions.create(**asked, logprobs=0)
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)]
    assert whole.choices[0].text == "".join(pieces)
    assert whole.choices[0].text.startswith(" ")
    assert whole.choices[0].logprobs is not None
    assert len(whole.choices[0].logprobs.token_logprobs or []) == 5


def test_stop_strings_end_an_answer_before_them(serve: START) -> None:
    served = serve({"one": 1}, ends=-1e9)
    (free,) = expected(served, "one", 3, 12)
    word = free.split()[4]
    reply = served.client().chat.completions.create(
        model="one", messages=ASKED, seed=3, max_tokens=12, stop=[word]
    )
    assert reply.choices[0].message.content == free[: free.index(word)]
    assert reply.choices[0].finish_reason == "stop"


def test_without_a_length_the_context_is_enough(serve: START) -> None:
    served = serve({"one": 1}, ends=-1e9)
    asked: Any = [{"role": "user", "content": "yes " * 50}]
    reply = served.client().chat.completions.create(model="one", messages=asked)
    assert reply.usage is not None
    assert reply.usage.total_tokens == 64  # all that the model's context holds


def test_models_are_listed_and_found(serve: START) -> None:
    client = serve({"one": 1, "two": 2}).client()
    assert [model.id for model in client.models.list()] == ["one", "two"]
    assert client.models.retrieve("two").id == "two"
    with pytest.raises(openai.NotFoundError, match="There are: one, two"):
        client.models.retrieve("three")


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools",
         "unsupported_parameter"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"max_tokens": 100_000}, "max_tokens", "invalid_value"),
        ({"max_tokens": 63}, None, "invalid_request"),
        ({"n": 5}, None, "invalid_request"),
        ({"stop": [""]}, "stop.0", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
         None, None),
        ({"messages": [{"role": "assistant", "content": "yes"}]}, "messages", "invalid_value"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused(
    serve: START, asked: dict[str, Any], param: str | None, code: str | None
) -> None:
    request: Any = {"model": "one", "messages": ASKED, **asked}
    with pytest.raises(openai.BadRequestError) as refused:
        serve({"one": 1}).client().chat.completions.create(**request)
    if code is not None:
        assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"


def test_what_asks_for_nothing_is_taken(serve: START) -> None:
    reply = serve({"one": 1}).client().chat.completions.create(
        model="one", messages=ASKED, frequency_penalty=0, presence_penalty=0.0, tools=[],
        response_format={"type": "text"}, logit_bias={}, user="ann", temperature=1,
    )  # fmt: skip
    assert reply.choices


def test_a_body_that_is_none_is_told(serve: START) -> None:
    served = serve({"one": 1})
    where = "/v1/chat/completions"
    for content, kind, status in (
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"model": "one"}', "application/json", 400),
        (b'{"model": "one", "messages": [{"role": "user", "content": "\\ud800"}]}',
         "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * 2_000_000, "application/json", 413),
    ):  # fmt: skip
        reply = sent(served, where, content, kind)
        assert reply.status_code == status
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert served.post("/nowhere", {}).status_code == 404
    assert served.get(where).status_code == 405


def sent(served: Served, path: str, content: bytes, kind: str) -> Any:
    return served.plain.post(path, content=content, headers={"Content-Type": kind})


def test_numbers_are_no_infinities(serve: START) -> None:
    """JSON's NaN and Infinity, which Python reads, are no settings."""
    served = serve({"one": 1})
    body = b'{"model": "one", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}'
    assert sent(served, "/v1/chat/completions", body, "application/json").status_code == 400
