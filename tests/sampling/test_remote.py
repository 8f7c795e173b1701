"""The endpoint sampler against a real local server, also one that misbehaves."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import openai_server as faults
import pytest
from openai_server import around, serving

from heed.errors import UserError
from heed.sampling import endpoint
from heed.sampling.local import LocalSampler
from heed.sampling.remote import EndpointSampler
from heed.types import Completion, Message, Prompt

PROMPTS = [Prompt.of(f"question {at} ?") for at in range(12)]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def echo(messages: Sequence[Message], body: dict[str, Any]) -> str:
    return f"{messages[-1].content} / {body['seed']}"


def test_answers_come_prompt_major_whatever_order_they_finish_in() -> None:
    def late(messages: Sequence[Message], body: dict[str, Any]) -> str:
        time.sleep(0.05 if "question 0" in messages[-1].content else 0.0)
        return echo(messages, body)

    with serving(late) as server:
        got = EndpointSampler(server.address, "toy", concurrency=5).sample(PROMPTS, n=3, seed=7)
        assert server.most_at_once in range(2, 6)
    assert [each.prompt for each in got] == [prompt for prompt in PROMPTS for _ in range(3)]
    assert all(each.text.startswith(each.prompt.text) for each in got)
    assert len({each.text for each in got}) == 36, "every answer has a seed of its own"
    assert {each.model for each in got} == {"toy"}


def test_the_same_seed_asks_the_same_and_another_seed_otherwise() -> None:
    with serving(echo) as server:
        sampler = EndpointSampler(server.address, "toy")
        first, again = (sampler.sample(PROMPTS, n=2, seed=3) for _ in range(2))
        other = sampler.sample(PROMPTS, n=2, seed=4)
    assert first == again
    assert not {each.text for each in first} & {each.text for each in other}
    assert all(0 <= body["seed"] < 2**31 for body in server.bodies)


def test_what_a_request_says() -> None:
    prompt = Prompt("p", (Message("system", "be kind"), Message("user", "hi \ud800 é")))
    with serving(lambda messages, body: "yes") as server:
        for address in (server.address, f"{server.address}/", f"{server.address}/v1/"):
            EndpointSampler(
                address, "toy", temperature=0.0, max_new_tokens=5, stop=["\n"], top_p=0.5,
                body={"reasoning_effort": "low", "max_tokens": None},
            ).sample([prompt])  # fmt: skip
    assert len(server.bodies) == 3
    body = server.bodies[0]
    assert body.pop("seed") >= 0
    assert body == {
        "model": "toy", "temperature": 0.0, "top_p": 0.5, "stop": ["\n"],
        "reasoning_effort": "low",
        "messages": [{"role": "system", "content": "be kind"},
                     {"role": "user", "content": "hi \ud800 é"}],
    }  # fmt: skip


def test_half_a_character_in_an_answer_can_still_be_written() -> None:
    def half(response: Any) -> Any:
        text = '{"choices": [{"message": {"content": "a \\ud83d b \\ud83d\\ude00"}}]}'
        return faults.PlainTextResponse(text, media_type="application/json")

    with serving(echo, [half]) as server:
        (answer,) = EndpointSampler(server.address, "toy").sample(PROMPTS[:1])
    assert answer.text == "a \ufffd b \U0001f600"


def test_a_cut_answer_says_so() -> None:
    def cut(messages: Sequence[Message], body: dict[str, Any]) -> Completion:
        return Completion(PROMPTS[0], "and so", finish="length")

    with serving(cut) as server:
        (answer,) = EndpointSampler(server.address, "toy").sample(PROMPTS[:1])
    assert (answer.text, answer.finish) == ("and so", "length")


def test_nothing_is_lost_or_doubled_when_requests_fail_in_passing() -> None:
    planted = [
        faults.failing(500), faults.malformed, faults.fine, faults.dropped, faults.too_many(),
        faults.empty, faults.failing(503), faults.slow(1.8), faults.failing(408),
    ]  # fmt: skip
    with serving(echo, planted) as server:
        sampler = EndpointSampler(server.address, "toy", timeout=1.5, concurrency=4)
        got = sampler.sample(PROMPTS, n=2, seed=1)
        clean = sampler.sample(PROMPTS, n=2, seed=1)
    assert got == clean
    assert len(server.bodies) == 2 * 24 + 8


def test_several_addresses_share_the_work_and_a_dead_one_costs_nothing() -> None:
    """One stumbles, one dies in the middle, one is not there at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    planted = [faults.fine, faults.failing(500), faults.malformed]
    with serving(echo) as one, serving(echo, planted) as other:
        sampler = EndpointSampler([one.address, other.address, nobody], "toy", concurrency=2)
        got = sampler.sample(PROMPTS, n=3, seed=1)
        clean = EndpointSampler(one.address, "toy").sample(PROMPTS, n=3, seed=1)
        assert got == clean
        assert len(other.bodies) > 5
        assert len(one.bodies) + len(other.bodies) == 2 * 36 + 2


def in_a_second(response: Any) -> Any:
    """Retry-After as a date, which knows whole seconds only."""
    when = datetime.now(UTC) + timedelta(seconds=2)
    return faults.too_many(format_datetime(when, usegmt=True))(response)


@pytest.mark.parametrize("fault", [faults.too_many("1"), in_a_second], ids=["seconds", "date"])
def test_retry_after_is_honoured(fault: faults.Fault) -> None:
    with serving(echo, [fault]) as server:
        EndpointSampler(server.address, "toy").sample(PROMPTS[:1])
    first, second = server.times
    assert second - first >= 0.95


@pytest.mark.parametrize("year", ["99999", "9" * 30])
def test_a_date_beyond_all_calendars_is_no_date(year: str) -> None:
    with serving(echo, [faults.too_many(f"Fri, 31 Dec {year} 23:59:59 GMT")]) as server:
        assert len(EndpointSampler(server.address, "toy").sample(PROMPTS[:1])) == 1


def test_a_server_that_wants_a_long_pause_is_told_to_the_user() -> None:
    with serving(echo, [faults.too_many("3600")]) as server:
        with pytest.raises(UserError, match=r"429: slow down and asks to wait 3600 s"):
            EndpointSampler(server.address, "toy").sample(PROMPTS[:1])
        assert len(server.bodies) == 1


def test_a_refusal_is_not_asked_again_and_ends_the_others() -> None:
    planted = [faults.failing(400, "too long " * 200)]
    with serving(echo, planted) as server:
        sampler = EndpointSampler(server.address, "toy", concurrency=1)
        with pytest.raises(UserError) as caught:
            sampler.sample(PROMPTS)
        assert len(server.bodies) == 1
    said = str(caught.value)
    assert f"{server.address}/v1/chat/completions answered 400" in said
    assert "'question 0 ?'" in said
    assert "too long too long" in said
    assert len(said) < 600


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "too hot"}}', r"400.*: too hot\.$"),
        ('{"error": "too hot"}', r"400.*: too hot\.$"),
        ('{"detail": [{"loc": "seed"}]}', r"400.*: \[\{'loc': 'seed'\}\]\.$"),
        ("<p>Bad\n gateway</p>", r"400.*: <p>Bad gateway</p>\.$"),
        ("", r"400.*: \(nothing\)\.$"),
    ],
)
def test_errors_in_every_wording(body: str, said: str) -> None:
    def refuse(response: Any) -> Any:
        return faults.PlainTextResponse(body, 400)

    with serving(echo, [refuse]) as server, pytest.raises(UserError, match=said):
        EndpointSampler(server.address, "toy").sample(PROMPTS[:1])


def test_an_unknown_model_is_explained() -> None:
    with serving(echo) as server, pytest.raises(UserError, match=r"404.*'other'.*does not exist"):
        EndpointSampler(server.address, "other").sample(PROMPTS[:1])


@pytest.mark.parametrize(
    ("fault", "timeout", "said"),
    [
        (faults.failing(502, "no engine"), 20, "answered 502: no engine"),
        (faults.malformed, 20, "sent no chat completion but: {"),
        (faults.dropped, 20, "cannot be reached"),
        (faults.slow(0.5), 0.25, r"did not answer within 0\.25 s"),
        (faults.dripping(20, 0.1), 0.3, r"did not answer within 0\.3 s"),
        (faults.saying('{"choices": [{"message": null}]}'), 20, "sent no chat completion but: {"),
        (faults.saying('{"choices": [{"message": "A"}]}'), 20, "sent no chat completion but: {"),
        (faults.saying("[" * 100_000), 20, r"sent no chat completion but: \[\["),
    ],
)
def test_retries_come_to_an_end(fault: faults.Fault, timeout: float, said: str) -> None:
    with serving(echo, [fault] * 3) as server:
        sampler = EndpointSampler(server.address, "toy", retries=2, timeout=timeout)
        with pytest.raises(UserError, match=f"{server.address}.*{said}.*after 3 tries"):
            sampler.sample(PROMPTS[:1])
        assert len(server.bodies) == 3


def test_blanks_that_keep_the_line_open_are_no_answer_and_do_no_harm() -> None:
    with serving(echo, [faults.dripping(3, 0.01)]) as server:
        (answer,) = EndpointSampler(server.address, "toy").sample(PROMPTS[:1])
        assert answer.text.startswith("question 0 ?")
        assert len(server.bodies) == 1


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UserError, match=f"{address}.*cannot be reached.*after 2 tries"):
        EndpointSampler(address, "toy", retries=1).sample(PROMPTS)


def test_pauses_grow_and_vary() -> None:
    pauses = [endpoint.backoff(attempt) for attempt in range(40)]
    assert all(pauses[at] > pauses[at - 2] for at in range(2, 10))
    assert max(pauses) <= endpoint.LONGEST_WAIT
    assert len(set(pauses)) == 40


def test_the_key_travels_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-42\n")
    leaky = faults.failing(401, "wrong key: sk-secret-42")
    with serving(echo, [faults.fine, leaky]) as server:
        sampler = EndpointSampler(server.address, "toy", api_key_variable="MY_KEY")
        sampler.sample(PROMPTS[:1])
        assert server.headers[0]["authorization"] == "Bearer sk-secret-42"
        with pytest.raises(UserError, match=r"wrong key: \*\*\*.*MY_KEY") as caught:
            sampler.sample(PROMPTS[:1])
        EndpointSampler(server.address, "toy").sample(PROMPTS[:1])
        assert "authorization" not in server.headers[-1]
    assert "sk-secret" not in str(caught.value) + repr(sampler)


def test_a_broken_key_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one\nsk-two")
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        EndpointSampler("http://127.0.0.1:9", "toy").sample(PROMPTS[:1])
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "localhost:8000"}, {"address": "ftp://host"}, {"address": "http://"},
        {"address": "http://host/v1?key=1"}, {"address": []}, {"model": ""}, {"temperature": -0.1},
        {"top_p": 0.0}, {"max_new_tokens": 0}, {"retries": -1}, {"concurrency": 0},
        {"timeout": 0}, {"stop": "word"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Endpoint: "):
        EndpointSampler(**{"address": "http://localhost", "model": "toy", **settings})


def test_a_password_in_the_address_is_refused_unseen() -> None:
    with pytest.raises(UserError) as caught:
        EndpointSampler("http://me:hunter2@host", "toy")
    assert "hunter2" not in str(caught.value)


def test_proxies_are_not_asked_about_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(echo) as server:
        assert EndpointSampler(server.address, "toy", retries=0).sample(PROMPTS[:1])


def test_no_prompts_no_requests() -> None:
    assert EndpointSampler("http://127.0.0.1:9", "toy").sample([], n=4) == []


def test_an_error_does_not_wait_for_slow_neighbours() -> None:
    hold = threading.Event()

    def answer(messages: Sequence[Message], body: dict[str, Any]) -> str:
        hold.wait(60 if "question 1 " in messages[-1].content else 0)
        return "yes"

    def refuse_the_second(response: Any) -> Any:
        return faults.error(400, "no")

    with serving(answer, [refuse_the_second] * 2) as server:
        began = time.monotonic()
        with pytest.raises(UserError, match="400"):
            EndpointSampler(server.address, "toy", concurrency=2).sample(PROMPTS)
        assert time.monotonic() - began < 30
        hold.set()


def test_a_served_model_says_what_it_says_here(tiny: Any) -> None:
    local = LocalSampler(tiny(), max_new_tokens=8, temperature=0.0)
    with serving(around(local)) as server:
        remote_ = EndpointSampler(server.address, "toy", temperature=0.0, max_new_tokens=8)
        got = remote_.sample(PROMPTS[:4])
    here = local.sample(PROMPTS[:4])
    assert [(each.text, each.finish) for each in got] == [(each.text, each.finish) for each in here]


def test_loads_no_torch() -> None:
    program = (
        "import sys, heed.sampling.remote, heed.judging.judge, heed.judging.tally, "
        "heed.feedback.constitution; print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
