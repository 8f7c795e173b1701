"""Answers drawn by a rollout server, with weights that were sent to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rollout_servers as faults
import torch
from rollout_servers import rollout_server

from heed.errors import UserError
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel, attach_lora, merged
from heed.models.plain_weights import plain_weights
from heed.ops.batch import Sequences
from heed.run import derive_seed
from heed.sampling import endpoint
from heed.sampling.local import LocalSampler, uniform_numbers
from heed.sampling.rollout_engine import Engine
from heed.sampling.rollout_link import Servers
from heed.sampling.rollout_server import rollout_app
from heed.sampling.rollouts import RolloutSampler
from heed.types import Prompt

PROMPTS = [Prompt.of(f"what is the capital of france {at} ?") for at in range(5)]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)


def servers(*addresses: str, **more: Any) -> Servers:
    return Servers(addresses, **{"timeout": 10.0, "retries": 3, "host": "127.0.0.1", **more})


@torch.no_grad()
def trained_logprobs(lm: LanguageModel, answers: Any, temperature: float) -> list[list[float]]:
    rows = [(answer.prompt_ids, answer.ids) for answer in answers]
    sequences = Sequences.of(rows, lm.chat.pad_id)
    found, _ = completion_logprobs(lm.model, sequences, temperature=temperature)
    return [row[marks].tolist() for row, marks in zip(found, sequences.target, strict=True)]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_a_server_draws_by_the_weights_that_were_sent(
    tiny: Callable[..., LanguageModel], kind: str
) -> None:
    """It began with other ones; log-probs are those of the policy here, at its temperature."""
    policy, other = tiny(kind, seed=0), tiny(kind, seed=1)
    local = LocalSampler(policy, max_new_tokens=12, temperature=0.7, model_name="policy")
    with rollout_server(other) as (address, engine):
        remote = RolloutSampler(local, servers(address))
        answers = remote.sample(PROMPTS, n=3, seed=5)
        assert engine.version == remote.version
        remote.close()
    assert [answer.prompt for answer in answers] == [p for p in PROMPTS for _ in range(3)]
    assert {answer.model for answer in answers} == {"policy"}
    for answer, trained in zip(answers, trained_logprobs(policy, answers, 0.7), strict=True):
        assert answer.logprobs == pytest.approx(trained, abs=1e-4)
        assert answer.text == policy.chat.text(answer.ids)
        assert (answer.finish == "stop") == (answer.ids[-1] in policy.chat.stop_ids)
        assert len(answer.ids) <= 12
    for name, weight in policy.model.named_parameters():
        assert torch.equal(weight, dict(other.model.named_parameters())[name])


def test_every_sample_is_by_the_weights_of_its_moment(tiny: Callable[..., LanguageModel]) -> None:
    policy = tiny()
    local = LocalSampler(policy, max_new_tokens=8)
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        before = remote.sample(PROMPTS, seed=5)
        again = remote.sample(PROMPTS, seed=5)
        assert [answer.ids for answer in again] == [answer.ids for answer in before]
        with torch.no_grad():
            for weight in policy.model.parameters():
                weight.mul_(1.1)
        after = remote.sample(PROMPTS, seed=5)
        remote.close()
    assert after != before
    trained = trained_logprobs(policy, after, 1.0)
    for answer, values in zip(after, trained, strict=True):
        assert answer.logprobs == pytest.approx(values, abs=1e-4)


def test_an_answer_depends_on_its_seed_alone(tiny: Callable[..., LanguageModel]) -> None:
    """Not on what is drawn beside it: each is what a local sampler draws by the same numbers."""
    policy = tiny()
    local = LocalSampler(policy, max_new_tokens=8)
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        together = remote.sample(PROMPTS, n=2, seed=5)
        alone = remote.draw(PROMPTS[:1], n=2, seed=5)
        remote.close()
    assert [answer.ids for answer in alone] == [answer.ids for answer in together[:2]]
    assert remote.draw([], n=2, seed=5) == []
    for at, prompt in enumerate(PROMPTS):
        numbers = uniform_numbers(2, 8, derive_seed(5, at) % 2**31)
        table = local.table(numbers)
        for _ in local.write([policy.chat.prompt_ids(prompt)], 2, table):
            pass
        ids = [tuple(table.tokens(row)) for row in range(2)]
        assert [answer.ids for answer in together[2 * at : 2 * at + 2]] == ids


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_adapters_are_merged_into_what_is_sent(
    tiny: Callable[..., LanguageModel], kind: str
) -> None:
    """Under the plain model's names, and nothing live is touched."""
    adapted = attach_lora(tiny(kind), rank=3, alpha=7.0)
    with torch.no_grad():
        for name, weight in adapted.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    before = {name: w.clone() for name, w in adapted.model.state_dict().items()}
    want = dict(merged(adapted.model).named_parameters())
    found = plain_weights(adapted.model, copies=False)
    assert list(found) == list(want)
    for name, weight in found.items():
        assert torch.allclose(weight, want[name], atol=1e-6), name
    for name, w in adapted.model.state_dict().items():
        assert torch.equal(w, before[name])
    other = tiny(kind, seed=1)
    with rollout_server(other) as (address, _):
        remote = RolloutSampler(LocalSampler(adapted, max_new_tokens=8), servers(address))
        answers = remote.sample(PROMPTS, seed=5)
        remote.close()
    for answer, trained in zip(answers, trained_logprobs(adapted, answers, 1.0), strict=True):
        assert answer.logprobs == pytest.approx(trained, abs=1e-4)


def test_copies_outlive_a_step(tiny: Callable[..., LanguageModel]) -> None:
    policy = tiny()
    live, copies = (plain_weights(policy.model, copies=copied) for copied in (False, True))
    with torch.no_grad():
        next(policy.model.parameters()).add_(1.0)
    name = next(iter(live))
    assert torch.equal(live[name], next(policy.model.parameters()))
    assert torch.equal(copies[name] + 1.0, live[name])


def test_stop_strings_and_texts_are_those_of_this_process(
    tiny: Callable[..., LanguageModel],
) -> None:
    policy = tiny()
    local = LocalSampler(policy, max_new_tokens=24, stop=["a", "e"])
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        answers = remote.sample(PROMPTS * 4, seed=5)
        remote.close()
    assert any(answer.finish == "stop" for answer in answers)
    for answer in answers:
        assert not {"a", "e"} & set(answer.text)
        whole = policy.chat.text(answer.ids)
        assert whole.startswith(answer.text)


def test_what_cannot_be_drawn_there_is_refused(tiny: Callable[..., LanguageModel]) -> None:
    local = LocalSampler(tiny(), max_new_tokens=8)
    for cut in ({"top_p": 0.9}, {"top_k": 3}, {"temperature": 0.0}):
        with pytest.raises(UserError, match="whole distribution"):
            RolloutSampler(replace(local, **cut), servers("http://127.0.0.1:9"))


# Faults


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


def drawn(policy: LanguageModel, *addresses: str, **more: Any) -> list[Any]:
    remote = RolloutSampler(LocalSampler(policy, max_new_tokens=8), servers(*addresses, **more))
    try:
        answers = remote.sample(PROMPTS, n=2, seed=5)
        assert [a.prompt for a in answers] == [p for p in PROMPTS for _ in range(2)]
        return [answer.ids for answer in answers]
    finally:
        remote.close()


@pytest.mark.parametrize("name", FAULTS)
def test_a_reply_that_is_none_is_drawn_again(
    tiny: Callable[..., LanguageModel], clean: list[Any], name: str
) -> None:
    with rollout_server(tiny(seed=1), [FAULTS[name]]) as (address, _):
        assert drawn(tiny(), address, timeout=1.0) == clean


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


def test_weights_that_both_sides_failed_to_move_at_once_have_no_name(
    tiny: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal and the end of the line are both there before anybody looks."""
    start = threading.Thread.start

    def ended(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "heed-weights":
            thread.join()

    policy = tiny()
    local = LocalSampler(policy, max_new_tokens=8)
    with rollout_server(tiny(seed=1)) as (address, _):
        remote = RolloutSampler(local, servers(address))
        before = remote.sample(PROMPTS, n=2, seed=5)
    (link,) = remote.links
    assert link.group is not None
    with rollout_server(tiny(seed=2), port=int(address.rpartition(":")[2])) as (_, engine):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", ended)
            with pytest.raises(UserError, match="no group"):
                link._move(link.group, remote.published.weights)
        assert engine.version is None
        again = remote.draw(PROMPTS, n=2, seed=5)
        remote.close()
    assert [answer.ids for answer in again] == [answer.ids for answer in before]


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
