"""More before the prompt: whose answers they are, and what their KL is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from heed.evaluation.kl import sequence_kl
from heed.models.forward import completion_logprobs
from heed.models.reference import Reference
from heed.ops.batch import Sequences
from heed.policies.in_context import InContext, with_system, with_turns
from heed.sampling.local import LocalSampler
from heed.types import Demonstration, Message, Prompt

SHOTS = [Demonstration(Prompt.of("red ?"), "yes"), Demonstration(Prompt.of("blue ?"), "no")]


def asking(lm: Any, text: str, **more: Any) -> InContext:
    sampler = LocalSampler(lm, **{"max_new_tokens": 6, **more})
    return InContext(sampler, lambda prompt: [with_system(prompt, text), prompt])


@pytest.mark.parametrize("more", [{}, {"top_k": 3}, {"temperature": 0.0}])
def test_with_nothing_before_it_is_the_sampler_itself(
    toy_lm: Any, toy_prompts: Any, more: Any
) -> None:
    lm = toy_lm()
    plain = LocalSampler(lm, max_new_tokens=6, **more).sample(toy_prompts, n=3, seed=5)
    assert asking(lm, "", **more).sample(toy_prompts, n=3, seed=5) == plain
    shots = InContext(
        LocalSampler(lm, max_new_tokens=6, **more), lambda prompt: [with_turns(prompt, [])]
    )
    assert shots.sample(toy_prompts, n=3, seed=5) == plain


def test_answers_are_of_the_prompt_itself(toy_lm: Any, toy_prompts: Any) -> None:
    lm = toy_lm()
    drawn = asking(lm, "good one").sample(toy_prompts, n=2, seed=1)
    longer = [with_system(prompt, "good one") for prompt in toy_prompts]
    under = LocalSampler(lm, max_new_tokens=6).sample(longer, n=2, seed=1)
    assert [each.prompt for each in drawn] == [p for p in toy_prompts for _ in range(2)]
    for each, other in zip(drawn, under, strict=True):
        assert list(each.prompt_ids) == lm.chat.prompt_ids(each.prompt)
        assert (each.ids, each.logprobs) == (other.ids, other.logprobs)
        assert len(other.prompt_ids) > len(each.prompt_ids)


def test_log_probs_are_of_the_longer_prompt(toy_lm: Any, toy_prompts: Any) -> None:
    lm = toy_lm()
    drawn = asking(lm, "bad", temperature=0.7).sample(toy_prompts, n=2, seed=1)
    rows = [(lm.chat.prompt_ids(with_system(each.prompt, "bad")), each.ids) for each in drawn]
    data = Sequences.of(rows, lm.chat.pad_id)
    again, _ = completion_logprobs(lm.model, data, temperature=0.7)
    own = torch.tensor([value for each in drawn for value in each.logprobs])
    torch.testing.assert_close(again[data.target].detach(), own, atol=1e-5, rtol=0)


def test_the_kl_is_exact(toy_lm: Any) -> None:
    """Answers of one token: the mean of the measure against the sum over the vocabulary."""
    lm, prompt, count = toy_lm(), Prompt.of("good ?"), 4000

    def chances(asked: Prompt) -> torch.Tensor:
        ids = torch.tensor([lm.chat.prompt_ids(asked)])
        return lm.model(ids).logits[0, -1].detach().double().log_softmax(0)

    own, ref = chances(with_system(prompt, "bad no one one one one one")), chances(prompt)
    exact = float((own.exp() * (own - ref)).sum())
    drawn = asking(lm, "bad no one one one one one", max_new_tokens=1).sample(
        [prompt], n=count, seed=0
    )
    values = torch.tensor(sequence_kl(drawn, Reference(lm), temperature=1.0))
    assert exact > 0.05
    assert abs(float(values.mean()) - exact) < 4 * float(values.std()) / math.sqrt(count)


def test_what_does_not_fit_is_asked_without(toy_lm: Any, toy_prompts: Any) -> None:
    lm = toy_lm(max_position_embeddings=14)
    short, long = Prompt.of("red"), Prompt.of("red green blue one")
    asker = asking(lm, "yes no maybe")
    assert asker.asked(short) == with_system(short, "yes no maybe")
    assert asker.asked(long) == long
    assert asker.notes([short]) == []
    (note,) = asker.notes([short, long, long])
    assert note.startswith("2 of 3 prompts left no room")
    plain = LocalSampler(lm, max_new_tokens=6).sample([long], seed=3)
    assert asker.sample([long], seed=3) == plain


def test_as_many_demonstrations_as_fit(toy_lm: Any) -> None:
    lm, prompt = toy_lm(max_position_embeddings=20), Prompt.of("good ?")
    ways = [with_turns(prompt, SHOTS[-count:] if count else []) for count in (2, 1, 0)]
    asked = InContext(LocalSampler(lm, max_new_tokens=8), lambda _: ways).asked(prompt)
    assert asked == ways[1]


def test_a_prompts_own_system_message_stays() -> None:
    own = Prompt("a", (Message("system", "Be kind."), Message("user", "Hello.")))
    assert with_system(own, "Be brief.").messages == (
        Message("system", "Be brief.\n\nBe kind."),
        Message("user", "Hello."),
    )
    assert with_system(own, "") is own
    told = Prompt("b", (Message("system", "Be rude."), Message("user", "Who?")))
    assert with_turns(own, [Demonstration(told, "Me.")]).messages == (
        Message("system", "Be kind."),
        Message("user", "Who?"),
        Message("assistant", "Me."),
        Message("user", "Hello."),
    )
