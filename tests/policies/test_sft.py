"""Imitation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from heed.models.rows import demonstration_rows, text_rows
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.sampling.local import LocalSampler
from heed.trainer import Monitor, Trainer
from heed.types import Demonstration


@pytest.fixture
def demonstrations(toy_prompts: Any) -> list[Demonstration]:
    texts = ["yes yes", "no", "red green", "one two", "blue", "maybe maybe maybe"]
    return [Demonstration(prompt, text) for prompt, text in zip(toy_prompts, texts, strict=True)]


def test_the_loss_is_transformers_own(toy_lm: Any, demonstrations: Any) -> None:
    lm = toy_lm()
    rows = demonstration_rows(lm.chat, demonstrations, 64)
    (term,) = sft(lm, rows, Order(6, 6, 0)).loss(rows)
    labels = rows.ids.masked_fill(~rows.target, -100)
    output = lm.model(rows.ids, attention_mask=rows.mask.long(), labels=labels, use_cache=False)
    mean = term.total.item() / rows.counts()[term.count]
    assert mean == pytest.approx(output.loss.item(), rel=1e-5)


@pytest.mark.parametrize("rows_of", [demonstration_rows, text_rows])
def test_it_lowers_the_loss(toy_lm: Any, demonstrations: Any, place: Any, rows_of: Any) -> None:
    lm = toy_lm()
    rows = rows_of(lm.chat, demonstrations, 64)
    method = sft(lm, rows, Order(6, 3, 0))
    run = place(optim={"lr": 0.03})
    monitor = Monitor("nll", higher_is_better=False)
    Trainer(
        method=method, settings=run.stage, run=run, iterations=40, seed=0, monitor=monitor
    ).train()
    lines = (run.run / "metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert last["nll"] < 0.3 * first["nll"]
    if rows_of is demonstration_rows:
        asked = [item.prompt for item in demonstrations]
        answers = LocalSampler(lm, max_new_tokens=6, temperature=0.0).sample(asked)
        assert [item.text for item in answers] == [item.text for item in demonstrations]
    assert torch.isfinite(torch.tensor(last["nll"]))
