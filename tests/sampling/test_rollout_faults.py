"""Rollout servers that fail, lie, go away and come back: the answers are the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import rollout_servers as faults
import torch
from rollout_servers import PROMPTS, drawn, rollout_server, servers

from heed.errors import UserError
from heed.models.language_model import LanguageModel
from heed.sampling.local import LocalSampler
from heed.sampling.rollout_engine import Engine
from heed.sampling.rollout_server import rollout_app
from heed.sampling.rollouts import RolloutSampler

pytestmark = pytest.mark.usefixtures("hurry")


def stale(reply: Any) -> None:
    reply["weight_version"] = "of yesterday"


def aborted(reply: Any) -> None:
    reply["choices"][0]["finish_reason"] = "abort"


def one_answer(reply: Any) -> None:
    del reply["choices"][0]


def doubled(reply: Any) -> None:
    reply["choices"][1] = reply["choices"][0]


def short(reply: Any) -> None:
    reply["choices"][0]["logprobs"]["token_logprobs"].pop()


def no_number(reply: Any) -> None:
    reply["choices"][0]["logprobs"]["token_logprobs"][0] = None


def no_ids(reply: Any) -> None:
    reply["choices"][0]["token_ids"] = None


def other_choices(reply: Any) -> Any:
    return [reply]


FAULTS = {
    "slow": faults.slow(1.3),
    "failing": faults.failing,
    "garbage": faults.garbage,
    "cut": faults.cut,
    "too many": faults.saying(b"{}", 429),
    **{
        change.__name__: faults.changed(change)
        for change in (
            stale, aborted, one_answer, doubled, short, no_number, no_ids, other_choices,
        )
    },
}  # fmt: skip


@pytest.fixture
def clean(tiny: Callable[..., LanguageModel]) -> list[Any]:
    """What comes where nothing goes wrong: ids depend on weights and seeds alone."""
    with rollout_server(tiny(seed=1)) as (address, _):
        return drawn(tiny(), address)


@pytest.mark.parametrize("name", FAULTS)
def test_a_reply_that_is_none_is_drawn_again(
    tiny: Callable[..., LanguageModel], clean: list[Any], name: str
) -> None:
    with rollout_server(tiny(seed=1), [FAULTS[name]]) as (address, _):
        assert drawn(tiny(), address, timeout=1.0 if name == "slow" else 10.0) == clean


def test_faults_of_all_kinds_at_two_servers_at_once(
    tiny: Callable[..., LanguageModel], clean: list[Any]
) -> None:
    planted = [fault for fault in FAULTS.values() for fault in (fault, None)]
    one = rollout_server(tiny(seed=1), planted[:14])
    other = rollout_server(tiny(seed=2), planted[14:])
    with one as (first, _), other as (second, _):
        for _ in range(3):
            assert drawn(tiny(), first, second, timeout=1.0, retries=30) == clean


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/get_world_size", "/init_weight_transfer_engine", "/pause",
     "/start_weight_update", "/update_weights", "/finish_weight_update", "/reset_prefix_cache",
     "/resume"],
)  # fmt: skip
@pytest.mark.parametrize("fault", [faults.failing, faults.cut], ids=["failing", "cut"])
def test_weights_that_do_not_arrive_are_sent_again(
    tiny: Callable[..., LanguageModel], clean: list[Any], path: str, fault: Any
) -> None:
    other = tiny(seed=1)
    with rollout_server(other, [fault], of=path) as (address, engine):
        assert drawn(tiny(), address, timeout=3.0) == clean
        assert engine.version
    for name, weight in tiny().model.named_parameters():
        assert torch.equal(weight, dict(other.model.named_parameters())[name])


@pytest.mark.parametrize("path", ["/v1/models", "/get_world_size"])
def test_nonsense_about_itself_is_asked_again(
    tiny: Callable[..., LanguageModel], clean: list[Any], path: str
) -> None:
    with rollout_server(tiny(seed=1), [faults.garbage], of=path) as (address, _):
        assert drawn(tiny(), address) == clean


def test_who_does_not_say_with_an_answer_which_weights_drew_it_is_asked(
    tiny: Callable[..., LanguageModel], clean: list[Any]
) -> None:
    """As vLLM does not."""
    silent = faults.changed(lambda reply: reply.pop("weight_version") and None)
    asked: list[int] = []

    async def counted(app: Any, scope: Any, receive: Any, send: Any) -> None:
        asked.append(1)
        await app(scope, receive, send)

    other = tiny(seed=1)
    engine = Engine(other, timeout=10.0)
    app = faults.Faulty(rollout_app(engine, "toy"), iter([silent] * 5), "/v1/completions")
    app = faults.Faulty(app, iter([counted] * 9), "/weight_info")
    with faults.in_thread(app) as address:
        assert drawn(tiny(), address) == clean
    engine.close()
    assert len(asked) == 5


def test_a_server_begun_anew_answers_nothing_by_its_old_weights(
    tiny: Callable[..., LanguageModel],
) -> None:
    """Between two requests, so that no connection breaks under one."""
    policy = tiny()
    local = LocalSampler(policy, max_new_tokens=8)
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        before = remote.sample(PROMPTS, n=2, seed=5)
    with rollout_server(tiny(seed=2), port=int(address.rpartition(":")[2])):
        again = remote.draw(PROMPTS, n=2, seed=5)
        remote.close()
    assert [answer.ids for answer in again] == [answer.ids for answer in before]


def test_weights_that_both_sides_failed_to_move_have_no_name(
    tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal of a server begun anew, and the end of the line to the old one, are both there
    before anybody looks.
    """
    start, ended = threading.Thread.start, []

    def end(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "heed-weights" and len(ended) < 2:
            thread.join()
            ended.append(thread)

    policy, other = tiny(), tiny(seed=2)
    local = LocalSampler(policy, max_new_tokens=8)
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        remote.sample(PROMPTS, seed=5)
    (link,) = remote.links
    with rollout_server(other, port=int(address.rpartition(":")[2])) as (_, engine):
        monkeypatch.setattr(threading.Thread, "start", end)
        link.send("again", remote.published.weights)
        assert (len(ended), engine.version) == (2, "again")
        remote.close()
    for name, weight in policy.model.named_parameters():
        assert torch.equal(weight, dict(other.model.named_parameters())[name])


def test_the_other_server_does_what_a_dead_one_does_not(
    tiny: Callable[..., LanguageModel], clean: list[Any]
) -> None:
    with rollout_server(tiny(seed=2)) as (gone, _):
        pass
    policy = tiny()
    port = int(gone.rpartition(":")[2])

    async def behind_it(app: Any, scope: Any, receive: Any, send: Any) -> None:
        while not remote.fleet.places[0].done:
            await asyncio.sleep(0.01)
        await app(scope, receive, send)

    with rollout_server(tiny(seed=1), [None] * 5 + [behind_it] * 5) as (address, _):
        local = LocalSampler(policy, max_new_tokens=8)
        remote = RolloutSampler(local, servers(gone, address, concurrency=2))
        found = remote.sample(PROMPTS, n=2, seed=5)
        dead, alive = remote.fleet.places
        assert [answer.ids for answer in found] == clean
        assert (dead.done, alive.done) == (0, 5)
        with rollout_server(tiny(seed=2), port=port) as (_, engine):
            time.sleep(max(0.0, dead.until - time.monotonic()))
            found = remote.sample(PROMPTS, n=2, seed=5)
            assert [answer.ids for answer in found] == clean
            assert engine.version == remote.version
        assert dead.done > 0  # it was waited for
        remote.close()


def test_when_no_server_is_left_the_user_hears_of_it(tiny: Callable[..., LanguageModel]) -> None:
    with rollout_server(tiny(seed=2)) as (gone, _):
        pass
    with pytest.raises(UserError, match=rf"{gone} cannot be reached.*after 4 tries"):
        drawn(tiny(), gone)


def test_another_model_is_refused_at_once(tiny: Callable[..., LanguageModel]) -> None:
    """Nobody is left waiting in the group, which would last as long as a sending may take."""
    said = r"the model here has other weights: lm_head\.weight is"
    with rollout_server(tiny("qwen2")) as (address, engine):
        began = time.monotonic()
        with pytest.raises(UserError, match=said):
            drawn(tiny("llama"), address, timeout=60.0)
        assert time.monotonic() - began < 30
        assert engine.version is None


def test_a_key_is_asked_for_and_given(
    tiny: Callable[..., LanguageModel], clean: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROLLOUT_KEY", raising=False)
    with rollout_server(tiny(seed=1), key="sk-42") as (address, _):
        with pytest.raises(UserError, match=r"401: no key, or a wrong one.*ROLLOUT_KEY"):
            drawn(tiny(), address, key="ROLLOUT_KEY")
        monkeypatch.setenv("ROLLOUT_KEY", "sk-42")
        assert drawn(tiny(), address, key="ROLLOUT_KEY") == clean


def test_a_prompt_without_room_is_refused(tiny: Callable[..., LanguageModel]) -> None:
    local = LocalSampler(tiny(), max_new_tokens=90)
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        with pytest.raises(UserError, match=r"400\): the prompt has .* context holds 96"):
            remote.sample(PROMPTS)
        remote.close()
