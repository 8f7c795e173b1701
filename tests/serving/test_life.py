"""Weights taken anew, clients that go, a server that stops: nobody's answer is lost or mixed up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from serving.conftest import Served, until

from heed.errors import UserError
from heed.sampling.asked import Asked, Closed
from heed.sampling.local import LocalSampler
from heed.serving.scoring import Scorer
from heed.serving.ways import Guard, Offer
from heed.types import Completion, Prompt

ASKED: Any = [{"role": "user", "content": "yes no ?"}]
START = Callable[..., Served]


def drawn(served: Served, seed: int, tokens: int) -> str:
    sampler = LocalSampler(served.models["one"], tokens)
    return sampler.sample([Prompt.of("yes no ?")], seed=seed)[0].text


def test_new_weights_answer_what_comes_later_and_old_ones_what_they_began(serve: START) -> None:
    served = serve({"one": 1}, ends=-1e9, slots=2)
    before = [drawn(served, seed, 30) for seed in range(8)]

    def ask(seed: int) -> tuple[str, str]:
        body = {"model": "one", "messages": ASKED, "seed": seed, "max_tokens": 30}
        reply = served.post("/v1/chat/completions", body).json()
        return reply["choices"][0]["message"]["content"], reply["system_fingerprint"]

    engine = served.site.roster.find("one").engine
    free = served.held()
    with ThreadPoolExecutor(8) as threads:
        under_way = [threads.submit(ask, seed) for seed in range(8)]
        until(lambda: engine.load().running + engine.load().waiting == 8)
        assert served.post("/admin/reload", {"models": {"one": "2"}}).json() == {
            "models": {"one": 2}
        }
        free.set()
        after = [drawn(served, seed, 30) for seed in range(8)]
        assert [future.result()[0] for future in under_way] == before
        assert {future.result()[1] for future in under_way} == {"weights-1"}
        later = [threads.submit(ask, seed) for seed in range(8)]
        assert [future.result() for future in later] == [(text, "weights-2") for text in after]
    assert after != before
    assert engine.join(5)  # and nobody asks the old ones any more
    assert served.get("/health").json()["models"] == {"one": 2}


def test_who_reads_a_stream_holds_no_weights_that_were_replaced(serve: START) -> None:
    """The old engine takes nothing new from then on, and ends as soon as it has written."""
    served = serve({"one": 1}, ends=-1e9)
    old = served.site.roster.find("one").engine
    free = served.held()
    with served.client().chat.completions.create(
        model="one", messages=ASKED, seed=1, max_tokens=30, stream=True
    ) as reply:
        next(iter(reply))
        served.post("/admin/reload", {"models": {"one": "2"}})
        with pytest.raises(Closed):
            old.begin(Asked(Prompt.of("yes"), 1), lambda: None)
        free.set()
        assert old.join(5)  # though nobody has read the stream


def test_a_guardrails_second_answer_is_the_old_weights_too(serve: START) -> None:
    """Between its answers the policy is not closed under it."""
    reloaded = threading.Event()

    def reward(completions: Any) -> list[float]:
        assert reloaded.wait(10)
        return [-1.0] * len(completions)

    offer = Offer(Scorer("strict", reward), guard=Guard(0.0, tries=3, refusal="no"))
    served = serve({"one": 1}, offer=offer)
    with ThreadPoolExecutor(1) as threads:
        reply = threads.submit(
            served.post, "/v1/chat/completions", {"model": "one:guardrail", "messages": ASKED}
        )
        until(lambda: served.site.roster.find("one").engine.load().answers >= 1)
        assert served.post("/admin/reload", {}).status_code == 200
        reloaded.set()
        assert reply.result().json()["choices"][0]["finish_reason"] == "content_filter"
        assert reply.result().headers["x-heed-weights"] == "1"


def test_a_model_that_cannot_be_loaded_leaves_all_as_it_was(serve: START) -> None:
    served = serve({"one": 1, "two": 2})

    def broken(name: str, word: str) -> Any:
        def load() -> Any:
            if word == "9":
                raise UserError("There is no model 9.")
            return make(name, word)()

        return load

    make = served.site.roster._make
    served.site.roster._make = broken
    refused = served.post("/admin/reload", {"models": {"one": "3", "two": "9"}})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "There is no model 9.",
    )
    assert served.site.roster.words == {"one": "1", "two": "2"}
    assert served.post("/admin/reload", {"models": {"none": "3"}}).status_code == 404
    assert served.get("/health").json()["models"] == {"one": 1, "two": 1}


@pytest.mark.parametrize(
    ("model", "more"),
    [("one", {"stream": True}), ("one", {}), ("one", {"n": 4}), ("one", {"n": 4, "stream": True}),
     ("one:best-of-4", {}), ("one:guardrail", {"n": 2})],
)  # fmt: skip
def test_a_client_that_goes_frees_its_slots(serve: START, model: str, more: dict[str, Any]) -> None:
    offer = Offer(Scorer("words", words), best_of=4, guard=Guard(1e9, 1000, "no"))
    served = serve({"one": 1}, ends=-1e9, slots=4, offer=offer)
    engine = served.site.roster.find("one").engine
    body = {"model": model, "messages": ASKED, "max_tokens": 55, "seed": 1, **more}
    held, hold = threading.Event(), threading.Event()
    write = engine._write

    def slowly() -> None:
        held.set()
        hold.wait(10)
        write()

    engine._write = slowly
    content = json.dumps(body)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    port = int(served.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall((head + content).encode())
        assert held.wait(30)
    until(lambda: "heed_gone_total" in served.get("/metrics").text)
    engine._write = write
    hold.set()
    until(lambda: engine.load().running == 0)
    assert engine.load().tokens < 55  # of one answer; nobody's is written to its end
    assert served.site.places._taken == {}


def test_a_server_that_stops_finishes_what_it_began(serve: START) -> None:
    served = serve({"one": 1}, ends=-1e9, slots=1, deadline=60)
    client, free = served.client(), served.held()
    engine = served.site.roster.find("one").engine
    with ThreadPoolExecutor(4) as threads:
        under_way = [
            threads.submit(
                client.chat.completions.create,
                model="one", messages=ASKED, seed=seed, max_tokens=50,
            )
            for seed in range(4)
        ]  # fmt: skip
        until(lambda: engine.load().running == 1 and engine.load().waiting == 3)
        served.server.should_exit = True
        until(lambda: not any(each.is_serving() for each in served.server.servers))
        free.set()
        for seed, future in enumerate(under_way):
            assert future.result().choices[0].message.content == drawn(served, seed, 50)
    served.thread.join(5)
    assert not served.thread.is_alive()
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="one", messages=ASKED)


def test_an_engines_defect_is_the_servers_error(serve: START) -> None:
    served = serve({"one": 1})
    engine = served.site.roster.find("one").engine
    engine._slots.enter = lambda *_: 1 / 0
    with pytest.raises(openai.InternalServerError, match="failed at this answer"):
        served.client().chat.completions.create(model="one", messages=ASKED)
    with pytest.raises(openai.APIError, match="failed at this answer"):
        list(served.client().chat.completions.create(model="one", messages=ASKED, stream=True))


def words(completions: list[Completion]) -> list[float]:
    """A reward: how many words."""
    return [float(len(one.text.split())) for one in completions]


def test_the_best_of_several_is_the_one_that_scores_highest(serve: START) -> None:
    served = serve({"one": 1}, offer=Offer(Scorer("words", words), best_of=4))
    sampler = LocalSampler(served.models["one"], 10)
    answers = sampler.sample([Prompt.of("yes no ?")], n=4, seed=3)
    best = max(answers, key=lambda one: words([one])[0])
    body = {"model": "one:best-of-4", "messages": ASKED, "seed": 3, "max_tokens": 10}
    reply = served.post("/v1/chat/completions", body)
    assert reply.json()["choices"][0]["message"]["content"] == best.text
    assert reply.json()["usage"]["completion_tokens"] == sum(len(one.ids) for one in answers)
    assert float(reply.headers["x-heed-reward"]) == words([best])[0]
    streamed = served.client().chat.completions.create(**body, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == best.text
    assert [model.id for model in served.client().models.list()] == ["one", "one:best-of-4"]
    for other in ("one:best-of-5", "one:best-of-1", "one:guardrail", "one:", "one:best-of-02",
                  "one:best-of-\N{ARABIC-INDIC DIGIT THREE}"):  # fmt: skip
        assert served.post("/v1/chat/completions", {**body, "model": other}).status_code == 404


def test_a_guardrail_answers_again_and_then_refuses(serve: START) -> None:
    scores = iter([[-1.0, 2.0], [0.5], [-1.0], [-3.0], [-2.0]])
    scorer = Scorer("gate", lambda completions: next(scores))
    served = serve({"one": 1}, offer=Offer(scorer, guard=Guard(0.0, tries=3, refusal="No.")))
    body = {"model": "one:guardrail", "messages": ASKED, "seed": 3, "max_tokens": 10}
    reply = served.post("/v1/chat/completions", {**body, "n": 2})
    assert reply.headers["x-heed-guardrail"] == "passed at answer 2; passed"
    reply = served.post("/v1/chat/completions", body)
    assert reply.headers["x-heed-guardrail"] == ("refused: gate gave 3 answers -1 at best, below 0")
    (choice,) = reply.json()["choices"]
    counted = served.get("/metrics").text
    for came in ("passed", "again", "refused"):
        assert f'heed_guardrail_total{{model="one:guardrail",outcome="{came}"}} 1' in counted
    assert (choice["message"]["content"], choice["finish_reason"]) == ("No.", "content_filter")
