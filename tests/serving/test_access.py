"""Keys, limits, back-pressure and what is counted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from serving.conftest import Served, until

from heed.errors import UserError
from heed.serving.callers import Allowance, add_key, read_keys
from heed.serving.counting import Counts
from heed.serving.scoring import Scorer
from heed.serving.site import Terms
from heed.serving.ways import Offer

ASKED: Any = [{"role": "user", "content": "yes no ?"}]
START = Callable[..., Served]


def ask(served: Served, key: str = "none", **more: Any) -> Any:
    return served.client(key).chat.completions.create(model="one", messages=ASKED, **more)


def test_only_hashes_are_kept_and_each_name_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    ann, boss = add_key(path, "ann", "user"), add_key(path, "boss", "admin")
    text = path.read_text()
    assert ann not in text
    assert boss not in text
    assert [(key.name, key.right) for key in read_keys(path)] == [
        ("ann", "user"),
        ("boss", "admin"),
    ]
    with pytest.raises(UserError, match="has a key 'ann' already"):
        add_key(path, "ann", "user")
    with pytest.raises(UserError, match="letters"):
        add_key(path, "a b", "user")
    for digest in ("short", "\N{LATIN SMALL LETTER E WITH ACUTE}" * 64, "g" * 64):
        path.write_text(f"ann user {digest}\n")
        with pytest.raises(UserError, match="line 1"):
            read_keys(path)
    path.write_text(f"ann user {'AB' * 32}\n")
    assert read_keys(path)[0].digest == "ab" * 32
    path.write_text("# nobody\n")
    with pytest.raises(UserError, match="holds no key"):
        read_keys(path)


def test_without_a_key_nobody_is_answered(serve: START, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    ann, boss = add_key(path, "ann", "user"), add_key(path, "boss", "admin")
    served = serve({"one": 1}, keys=read_keys(path))
    assert ask(served, ann, max_tokens=2).choices
    for key in ("x", ann[:-1], ann + "x"):
        headers = {"Authorization": f"Bearer {key}".encode()}
        for path_ in ("/v1/models", "/metrics"):
            refused = served.get(path_, headers=headers)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        ask(served, "heed-wrong")
    assert served.get("/health").status_code == 200
    for key, status in ((ann, 403), (boss, 200)):
        headers = {"Authorization": f"Bearer {key}"}
        assert served.post("/admin/reload", {}, headers=headers).status_code == status


def test_too_many_requests_a_minute_are_told_when_to_come_again(serve: START) -> None:
    served = serve({"one": 1}, terms=Terms(allowance=Allowance(a_minute=3)))
    for _ in range(3):
        assert ask(served, max_tokens=1).choices
    with pytest.raises(openai.RateLimitError) as refused:
        ask(served)
    assert refused.value.code == "rate_limit_exceeded"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 20


def test_beyond_all_places_a_request_is_sent_away_and_the_others_are_answered(
    serve: START,
) -> None:
    served = serve({"one": 1}, ends=-1e9, slots=2, waiting=3)
    engine, free = served.site.roster.find("one").engine, served.held()
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(ask, served, seed=seed, max_tokens=40) for seed in range(20)]
        until(lambda: sum(each.done() for each in asked) == 15)
        assert engine.load().running + engine.load().waiting == 5
        free.set()
        errors = [future.exception() for future in asked]
    answered = sum(error is None for error in errors)
    refused = [error for error in errors if error is not None]
    assert all(isinstance(error, openai.RateLimitError) for error in refused)
    assert answered == 5
    assert {error.code for error in refused} <= {"engine_overloaded"}  # type: ignore[attr-defined]
    assert all(
        error.response.headers["retry-after"] >= "1"  # type: ignore[attr-defined]
        for error in refused
    )
    counted = served.get("/metrics").text
    for line in (f'heed_requests_total{{model="one",status="200"}} {answered}',
                 f'heed_requests_total{{model="one",status="429"}} {20 - answered}',
                 f'heed_refusals_total{{code="engine_overloaded"}} {20 - answered}'):  # fmt: skip
        assert line in counted


def test_a_caller_has_so_many_answers_at_once(serve: START) -> None:
    served = serve({"one": 1}, terms=Terms(allowance=Allowance(at_once=2)))
    engine = served.site.roster.find("one").engine
    free = served.held()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(ask, served, n=2, max_tokens=3)
        until(lambda: engine.load().running == 2)
        with pytest.raises(openai.RateLimitError, match="2 answers under way"):
            ask(served)
        free.set()
        assert len(first.result().choices) == 2
    assert ask(served, max_tokens=1).choices


def test_the_best_of_several_takes_as_many_places(serve: START) -> None:
    offer = Offer(Scorer("none", lambda some: [0.0] * len(some)), best_of=3)
    served = serve({"one": 1}, terms=Terms(allowance=Allowance(at_once=3)), offer=offer)
    body: Any = {"model": "one:best-of-3", "messages": ASKED, "max_tokens": 2}
    assert served.post("/v1/chat/completions", body).status_code == 200
    assert served.post("/v1/chat/completions", {**body, "n": 2}).status_code == 429
    assert served.site.places._taken == {}


def test_no_more_requests_are_under_way_than_memory_is_for(serve: START) -> None:
    served = serve({"one": 1}, terms=Terms(requests=2))
    engine = served.site.roster.find("one").engine
    free = served.held()
    with ThreadPoolExecutor(2) as threads:
        under_way = [threads.submit(ask, served, max_tokens=2) for _ in range(2)]
        until(lambda: engine.load().running + engine.load().waiting == 2)
        refused = served.post("/v1/feedback", {})
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert served.get("/health").status_code == 200
        free.set()
        assert all(each.result().choices for each in under_way)
    assert ask(served, max_tokens=1).choices


def test_what_is_counted_is_read_by_prometheus(serve: START) -> None:
    served = serve({"one": 1}, ends=-1e9)
    ask(served, max_tokens=5, n=2)
    list(ask(served, max_tokens=5, stream=True))
    lines = served.get("/metrics").text.splitlines()
    for line in ('heed_tokens_total{model="one"} 15', 'heed_running{model="one"} 0',
                 'heed_slots{model="one"} 4', 'heed_answer_seconds_count{model="one"} 2',
                 'heed_first_token_seconds_count{model="one"} 1',
                 'heed_requests_total{model="one",status="200"} 2'):  # fmt: skip
        assert line in lines


def test_times_fall_into_their_buckets() -> None:
    counts = Counts()
    for seconds in (0.05, 0.06, 999.0):
        counts.time("heed_answer_seconds", seconds, model='a"b')
    text = counts.text([])
    assert 'heed_answer_seconds_bucket{model="a\\"b",le="0.05"} 1' in text
    assert 'heed_answer_seconds_bucket{model="a\\"b",le="0.1"} 2' in text
    assert 'heed_answer_seconds_bucket{model="a\\"b",le="+Inf"} 3' in text
    assert 'heed_answer_seconds_sum{model="a\\"b"} 999.11' in text
