"""Heed's losses against TRL's own, on one batch: see benchmarks/trl_parity.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from heed.losses.preference import PairLogprobs, dpo, preference_terms
from heed.losses.reward import bradley_terry
from heed.losses.term import Term
from heed.ops.batch import Sequences
from heed.ops.logprobs import logprobs_from_logits

RECORD: dict[str, Any] = json.loads(
    Path(__file__).with_name("trl_parity.json").read_text(encoding="utf-8")
)
PAIRS = RECORD["pairs"]


def fill(model: Any, phase: float) -> Any:
    """The record's rule for weights: .3 sin(phase + k + .7 i), plus 1 for vectors."""
    with torch.no_grad():
        for k, (_, parameter) in enumerate(sorted(model.named_parameters())):
            index = torch.arange(parameter.numel(), dtype=torch.float64)
            wave = 0.3 * torch.sin(phase + k + 0.7 * index) + (parameter.ndim == 1)
            parameter.copy_(wave.view_as(parameter))
    return model.eval()


def sequences(side: str) -> Sequences:
    return Sequences.of([(pair["prompt_ids"], pair[side]) for pair in PAIRS], pad=0)


@torch.no_grad()
def answer_logprobs(model: Any, batch: Sequences) -> Tensor:
    """Summed over each answer's tokens."""
    logits = model(
        input_ids=batch.ids,
        attention_mask=batch.mask,
        position_ids=batch.positions,
        use_cache=False,
    ).logits
    logprob, _ = logprobs_from_logits(logits[:, :-1], batch.ids[:, 1:])
    return torch.where(batch.target[:, 1:], logprob, 0.0).sum(1)


@torch.no_grad()
def scores(model: Any, batch: Sequences) -> Tensor:
    return model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits.squeeze(1)


def means(terms: list[Term], names: dict[str, str]) -> dict[str, float]:
    """Each named term over the number of pairs (all weights are 1), under TRL's name."""
    return {
        names[term.name]: term.total.item() / len(PAIRS) for term in terms if term.name in names
    }


def test_dpo() -> None:
    config = LlamaConfig(**RECORD["llama"])
    policy = fill(LlamaForCausalLM(config), RECORD["phases"]["policy"])
    reference = fill(LlamaForCausalLM(config), RECORD["phases"]["reference"])
    sides = sequences("chosen_ids"), sequences("rejected_ids")
    logprobs = PairLogprobs(
        *(answer_logprobs(model, side) for model in (policy, reference) for side in sides),
        *(side.target.sum(1).float() for side in sides),
        torch.zeros(len(PAIRS)),
    )
    beta = RECORD["beta"]
    terms = preference_terms(dpo(logprobs, beta), logprobs, torch.ones(len(PAIRS)), beta)
    ours = means(terms, {**{term.name: term.name for term in terms}, "preference": "loss"})
    ours["mean_chosen_logprob"] = logprobs.chosen.mean().item()
    ours["mean_rejected_logprob"] = logprobs.rejected.mean().item()
    assert ours == pytest.approx(RECORD["expected"]["dpo"], abs=1e-5)


@pytest.mark.parametrize("name", ["bradley_terry", "bradley_terry_margin"])
def test_bradley_terry(name: str) -> None:
    model = LlamaForSequenceClassification(LlamaConfig(num_labels=1, **RECORD["llama"]))
    fill(model, RECORD["phases"]["reward"])
    margin = torch.tensor([pair["margin"] for pair in PAIRS])
    terms = bradley_terry(
        scores(model, sequences("chosen_ids")),
        scores(model, sequences("rejected_ids")),
        margin if name == "bradley_terry_margin" else torch.zeros_like(margin),
        torch.ones(len(PAIRS)),
    )
    names = {"bradley_terry": "loss", "accuracy": "accuracy", "gap": "gap"}
    assert means(terms, names) == pytest.approx(RECORD["expected"][name], abs=1e-5)
