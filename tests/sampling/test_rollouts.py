"""Answers drawn by a rollout server, with weights that were sent to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from rollout_servers import PROMPTS, rollout_server, servers

from heed.errors import UserError
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel, attach_lora, merged
from heed.models.plain_weights import plain_weights
from heed.ops.batch import Sequences
from heed.run import derive_seed
from heed.sampling.local import LocalSampler, uniform_numbers
from heed.sampling.rollouts import RolloutSampler

pytestmark = pytest.mark.usefixtures("hurry")


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
