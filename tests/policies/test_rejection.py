"""Rounds of best-of-n, each imitated."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from heed.errors import UserError
from heed.models.language_model import attach_lora
from heed.models.reference import Reference
from heed.policies.rejection import RejectionSampling, Selection
from heed.sampling.local import LocalSampler
from heed.trainer import Monitor, Trainer


@pytest.fixture
def rejection(toy_prompts: Any, share_of: Any) -> Any:
    def make(lm: Any, **more: Any) -> RejectionSampling:
        settings = {"prompts": 6, "candidates": 4, "epochs": 1.0, "batch": 3, "missing_eos": -1.0}
        return RejectionSampling(
            lm,
            sampler=LocalSampler(lm, max_new_tokens=6),
            prompts=toy_prompts,
            reward=share_of("yes"),
            reference=Reference(lm),
            selection=Selection(
                **{**settings, "temperature": 1.0, "micro_tokens": 100, **more}  # type: ignore[arg-type]
            ),
            seed=3,
            watch={"noes": share_of("no")},
        )

    return make


def train(method: Any, run: Any, rounds: int) -> list[dict[str, Any]]:
    Trainer(
        method=method, settings=run.stage, run=run, iterations=rounds, seed=0,
        monitor=Monitor("proxy"),
    ).train()  # fmt: skip
    return [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]


def test_what_is_imitated_is_the_best_finished_answer(
    toy_lm: Any, rejection: Any, toy_prompts: Any, share_of: Any
) -> None:
    method = rejection(toy_lm(ends=1.0), batch=6)
    completions = method._sample(0)
    (batch,) = method.batches(0)
    assert len(batch) <= 6
    reward = share_of("yes")
    rows = zip(batch.ids, batch.target, strict=True)
    found = {method.policy.chat.text(ids[target].tolist()) for ids, target in rows}
    wanted = set()
    for start in range(0, len(completions), 4):
        four = completions[start : start + 4]
        scores = [
            s if c.finish == "stop" else -1.0 for s, c in zip(reward(four), four, strict=True)
        ]
        best = four[scores.index(max(scores))]
        if max(scores) > min(scores) and best.finish == "stop":
            wanted.add(best.text)
    assert found == wanted
    assert 0 < len(wanted) <= 6


def test_its_loss_is_that_of_imitation(toy_lm: Any, rejection: Any) -> None:
    lm = toy_lm(ends=1.0)
    method = rejection(lm)
    batch = next(method.batches(0))
    (term,) = method.loss(batch)
    labels = batch.ids.masked_fill(~batch.target, -100)
    output = lm.model(batch.ids, attention_mask=batch.mask.long(), labels=labels, use_cache=False)
    mean = term.total.item() / batch.counts()["tokens"]
    assert mean == pytest.approx(output.loss.item(), rel=1e-5)


@pytest.mark.parametrize("lora", [False, True])
def test_the_reward_rises(toy_lm: Any, rejection: Any, place: Any, lora: bool) -> None:
    lm = toy_lm(ends=1.0)
    lm = attach_lora(lm, rank=4, alpha=16.0) if lora else lm
    run = place(optim={"lr": 0.03 if lora else 0.01})
    rows = train(rejection(lm, prompts=24, candidates=8, batch=12), run, 15)
    assert rows[-1]["proxy"] > rows[0]["proxy"] + 0.3
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-4)
    assert rows[-1]["kl"] > 0.5
    assert all(row["chosen_score"] >= row["score"] for row in rows)
    assert {"noes", "length", "unfinished", "nll"} <= set(rows[0])


def test_a_round_is_a_function_of_weights_and_number(toy_lm: Any, rejection: Any) -> None:
    first, second = rejection(toy_lm(ends=1.0)), rejection(toy_lm(ends=1.0))
    list(first.batches(0))
    for one, other in zip(first.batches(1), second.batches(1), strict=True):
        torch.testing.assert_close(one.ids, other.ids)
    assert first.state_dict() == {}
    first.load_state_dict({})


def test_a_prompt_whose_candidates_are_alike_is_left_out(toy_lm: Any, rejection: Any) -> None:
    method = rejection(toy_lm(ends=1.0), missing_eos=0.0)

    def by_prompt(completions: Any) -> list[float]:  # tells answers apart for one prompt only
        return [float(i % 2 and c.prompt.text == "blue ?") for i, c in enumerate(completions)]

    method.reward = by_prompt
    (batch,) = method.batches(0)
    assert len(batch) == 1
    assert method.measured["chosen"] == 1.0


@pytest.mark.parametrize(("ends", "finished"), [(-50.0, 0), (50.0, 24)])
def test_where_no_answer_is_better_there_is_nothing_to_imitate(
    toy_lm: Any, rejection: Any, ends: float, finished: int
) -> None:
    with pytest.raises(UserError, match=f"of 24 candidates {finished} came to an end"):
        next(rejection(toy_lm(ends=ends)).batches(0))
