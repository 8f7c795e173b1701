"""Heed's losses against TRL's own, on one batch: see benchmarks/trl_parity.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from heed.losses.kto import kl_baseline, kto
from heed.losses.preference import PREFERENCE_LOSSES, PairLogprobs, dpo, preference_terms
from heed.losses.reward import bradley_terry
from heed.losses.sft import cross_entropy
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.ops.batch import Sequences
from heed.recipe import LOSSES

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
def scores(model: Any, batch: Sequences) -> Tensor:
    return model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits.squeeze(1)


def means(terms: list[Term], names: dict[str, str]) -> dict[str, float]:
    """Each named term over the number of pairs (all weights are 1), under TRL's name."""
    return {
        names[term.name]: term.total.item() / len(PAIRS) for term in terms if term.name in names
    }


def causal(phase: str) -> Any:
    return fill(LlamaForCausalLM(LlamaConfig(**RECORD["llama"])), RECORD["phases"][phase])


def summed(model: Any, batch: Sequences) -> Tensor:
    """The log-probs of each answer's tokens, summed."""
    return completion_logprobs(model, batch)[0].sum(1)


def pair_logprobs(policy: Any, *, reference: bool) -> PairLogprobs:
    sides = sequences("chosen_ids"), sequences("rejected_ids")
    zero = torch.zeros(len(PAIRS))
    with torch.no_grad():
        ref = [summed(causal("reference"), side) if reference else zero for side in sides]
    return PairLogprobs(
        *(summed(policy, side) for side in sides), *ref,
        *(side.target.sum(1).float() for side in sides), zero,
    )  # fmt: skip


def trained(policy: Any, terms: list[Term], counts: dict[str, float]) -> dict[str, Any]:
    """The loss as the trainer divides it, and its gradient, as the record keeps them."""
    loss = sum(term.weight * term.total / counts[term.count] for term in terms if term.weight)
    assert isinstance(loss, Tensor)
    loss.backward()
    grads = {name: weight.grad.flatten() for name, weight in policy.named_parameters()}
    kept = {
        name: [grads[name][i].item() for i in RECORD["entries"]]
        for name in RECORD["expected"]["dpo"]["gradient"]
    }
    norm = torch.cat([*grads.values()]).norm().item()
    return {"loss": loss.item(), "gradient_norm": norm, "gradient": kept}


def check(found: dict[str, Any], name: str) -> None:
    expected = RECORD["expected"][name]
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert found["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=1e-5)
    for parameter, entries in found["gradient"].items():
        assert entries == pytest.approx(expected["gradient"][parameter], abs=1e-5), parameter


OWN = {"robust": {"smoothing": 0.2}, "cdpo": {"smoothing": 0.2}, "simpo": {"gamma": 0.75}}
SFT = {"slic": 0.25, "cpo": 0.25, "orpo": 1.0}
"""The weight of the cross-entropy of the chosen answers."""


@pytest.mark.parametrize(
    "name",
    ["dpo", "dpo_norm", "robust", "ipo_norm", "hinge", "cdpo", "slic", "cpo", "simpo", "orpo"],
)
def test_preference_losses(name: str) -> None:
    policy, beta = causal("policy"), RECORD["beta"]
    # TRL smooths labels without a reference only.
    logprobs = pair_logprobs(policy, reference=LOSSES[name].reference and name != "cdpo")
    losses = PREFERENCE_LOSSES[name](logprobs, beta, **OWN.get(name, {}))
    terms = preference_terms(losses, logprobs, torch.ones(len(PAIRS)), beta)
    chosen = sequences("chosen_ids")
    counts = {"rows": 4.0, "weight": 4.0, "tokens": float(chosen.target.sum())}
    if name == "orpo":  # TRL imitates the prompt too; the paper, and Heed, the answer alone
        chosen = replace(chosen, target=chosen.mask & (chosen.positions > 0))
        counts["tokens"] = float(chosen.target.sum())
    if name in SFT:
        (nll,) = cross_entropy(completion_logprobs(policy, chosen)[0], chosen.target)
        terms.append(replace(nll, weight=SFT[name]))
    check(trained(policy, terms, counts), name)


def test_what_dpo_measures() -> None:
    logprobs = pair_logprobs(causal("policy"), reference=True)
    beta = RECORD["beta"]
    terms = preference_terms(dpo(logprobs, beta), logprobs, torch.ones(len(PAIRS)), beta)
    ours = means(terms, {term.name: term.name for term in terms if not term.weight})
    ours["mean_chosen_logprob"] = logprobs.chosen.mean().item()
    ours["mean_rejected_logprob"] = logprobs.rejected.mean().item()
    assert ours == pytest.approx(RECORD["expected"]["dpo"]["measured"], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "model", "reference"),
    [("kto", "policy", "reference"), ("kto_swapped", "reference", "policy")],
)
def test_kto(name: str, model: str, reference: str) -> None:
    rows = [(p["prompt_ids"], p[side]) for p in PAIRS for side in ("chosen_ids", "rejected_ids")]
    others = [(prompt, rows[place - 2][1]) for place, (prompt, _) in enumerate(rows)]
    matched, mismatched = (Sequences.of(each, pad=0) for each in (rows, others))
    policy, frozen = causal(model), causal(reference)
    one = torch.ones(len(rows))
    with torch.no_grad():
        baseline = kl_baseline(summed(policy, mismatched) - summed(frozen, mismatched), one)
        before = summed(frozen, matched)
    terms = kto(
        summed(policy, matched) - before,
        baseline.expand(len(rows)),
        torch.tensor([True, False] * len(PAIRS)),
        one,
        beta=RECORD["beta"],
        desirable_coef=1.25,
        undesirable_coef=0.75,
    )
    assert baseline.item() == pytest.approx(RECORD["expected"][name]["baseline"], abs=1e-5)
    check(trained(policy, terms, {"weight": 8.0}), name)


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
