"""What is known of fresh completions before any advantage."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from heed.errors import UserError
from heed.models.forward import completion_logprobs
from heed.models.reference import Reference
from heed.policies.experience import Experience, experience
from heed.sampling.local import LocalSampler


def score_by_place(completions: Any) -> list[float]:
    return [float(at) for at, _ in enumerate(completions)]


def seen(lm: Any, prompts: Any, reference: Reference, temperature: float = 1.0) -> Any:
    sampler = LocalSampler(lm, max_new_tokens=4, temperature=temperature)
    completions = sampler.sample(prompts, n=4, seed=1)
    return completions, experience(
        completions,
        score_by_place,
        reference,
        temperature=temperature,
        missing_eos=-7.0,
        micro_tokens=20,
        pad=lm.chat.pad_id,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_policy_has_no_kl_from_itself(toy_lm: Any, toy_prompts: Any, temperature: float) -> None:
    lm = toy_lm()
    _, found = seen(lm, toy_prompts, Reference(lm), temperature)
    assert float(found.kl.abs().max()) < 1e-5


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_kl_is_the_log_ratio_of_two_forwards(
    toy_lm: Any, toy_prompts: Any, temperature: float
) -> None:
    lm, other = toy_lm(), toy_lm(seed=1)
    _, found = seen(lm, toy_prompts, Reference(other), temperature)
    own, _ = completion_logprobs(lm.model, found.sequences, temperature=temperature)
    ref, _ = completion_logprobs(other.model, found.sequences, temperature=temperature)
    torch.testing.assert_close(found.logprobs, own, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.kl, own - ref, atol=1e-4, rtol=0)
    assert float(found.kl.sum(1).mean()) > 0.1
    assert not found.kl.requires_grad


def test_a_completion_without_an_end_gets_the_fixed_score(toy_lm: Any, toy_prompts: Any) -> None:
    lm = toy_lm()
    completions, found = seen(lm, toy_prompts, Reference(lm))
    finished = [item.finish == "stop" for item in completions]
    assert 0 < sum(finished) < len(finished)
    expected = [float(at) if done else -7.0 for at, done in enumerate(finished)]
    assert found.scores.tolist() == expected
    assert found.proxy.tolist() == [float(at) for at in range(len(completions))]


def test_rows_are_prompt_and_answer_as_sampled(toy_lm: Any, toy_prompts: Any) -> None:
    lm = toy_lm()
    completions, found = seen(lm, toy_prompts, Reference(lm))
    assert isinstance(found, Experience)
    for row, item in enumerate(completions):
        whole = [*item.prompt_ids, *item.ids]
        assert found.sequences.ids[row, : len(whole)].tolist() == whole
        assert found.sequences.ids[row][found.sequences.target[row]].tolist() == list(item.ids)
        assert found.logprobs[row][found.sequences.target[row]].tolist() == pytest.approx(
            list(item.logprobs)
        )


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_reported_with_its_sample(
    toy_lm: Any, toy_prompts: Any, broken: float
) -> None:
    lm = toy_lm()
    completions = LocalSampler(lm, max_new_tokens=4).sample(toy_prompts, seed=1)
    scores = [0.0] * (len(completions) - 1) + [broken]
    with pytest.raises(UserError, match=re.escape(repr(completions[-1].text))):
        experience(
            completions,
            lambda items: scores,
            Reference(lm),
            temperature=1.0,
            missing_eos=-1.0,
            micro_tokens=20,
            pad=lm.chat.pad_id,
            device=lm.device,
        )
