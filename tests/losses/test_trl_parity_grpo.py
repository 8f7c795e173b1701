"""Heed's critic-free policy gradients against TRL's, on one batch: benchmarks/trl_parity_grpo.py.

TRL's GRPO divides by the unbiased deviation plus 1e-4, and so does ours. Its KL is k3 of tokens
(with `use_bias_correction_kl=False`, as in the paper), its Dr. GRPO is `aggregation: constant`
without the deviation, its "bnpo" is our average over tokens, and its GSPO is ours, since advantages
are of whole answers here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from heed.losses.kl import AnswerLogprobs, k3_token, kl_penalty
from heed.losses.policy import LOG_RATIOS, aggregations, ppo_clip
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.ops.advantages import group_centred, group_standardised, leave_one_out
from heed.ops.batch import Sequences

RECORD: dict[str, Any] = json.loads(
    Path(__file__).with_name("trl_parity_grpo.json").read_text(encoding="utf-8")
)
EXPECTED = RECORD["expected"]
BATCH = Sequences.of([(row["prompt_ids"], row["ids"]) for row in RECORD["answers"]], pad=0)
REWARDS = torch.tensor([row["reward"] for row in RECORD["answers"]]).view(-1, RECORD["group"])
ESTIMATES = {
    "rloo": leave_one_out,
    "grpo": group_standardised,
    "grpo_tokens": group_standardised,
    "dr_grpo": group_centred,
    "gspo": group_standardised,
}
OBJECTIVES = {  # aggregation, ratio
    "grpo": ("sequence", "token"),
    "grpo_tokens": ("token", "token"),
    "dr_grpo": ("constant", "token"),
    "gspo": ("sequence", "sequence"),
}


def sines(name: str) -> Any:
    """The record's rule for weights: .3 sin(phase + k + .7 i), plus 1 for vectors."""
    model = LlamaForCausalLM(LlamaConfig(**RECORD["llama"]))
    with torch.no_grad():
        for k, (_, parameter) in enumerate(sorted(model.named_parameters())):
            index = torch.arange(parameter.numel(), dtype=torch.float64)
            wave = 0.3 * torch.sin(RECORD["phases"][name] + k + 0.7 * index)
            parameter.copy_((wave + (parameter.ndim == 1)).view_as(parameter))
    return model.eval()


def objective(terms: list[Term]) -> Tensor:
    counts = BATCH.counts()
    return torch.stack([t.weight * t.total / counts[t.count] for t in terms if t.weight]).sum()


@pytest.mark.parametrize("name", ESTIMATES)
def test_advantages(name: str) -> None:
    advantages = ESTIMATES[name](REWARDS).flatten().tolist()
    found = EXPECTED[name]
    expected = found["advantages"] if name == "rloo" else found["beta_0.0"]["advantages"]
    assert advantages == pytest.approx(expected, abs=1e-5)
    assert advantages[6:] == [0, 0, 0]  # three rewards of .1


@pytest.mark.parametrize("beta", [0.0, RECORD["beta"]])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_gradient(name: str, beta: float) -> None:
    over, ratio = OBJECTIVES[name]
    aggregate = aggregations(RECORD["longest"])[over]
    model = sines("policy")
    logprobs, _ = completion_logprobs(model, BATCH)
    with torch.no_grad():
        old, reference = (completion_logprobs(sines(x), BATCH)[0] for x in ("old", "reference"))
    clip = {**RECORD["clip"], **RECORD["variants"][name]}
    terms = ppo_clip(
        logprobs,
        old,
        ESTIMATES[name](REWARDS).flatten()[:, None] * BATCH.target,
        BATCH.target,
        clip_low=clip["epsilon"],
        clip_high=clip["epsilon_high"],
        log_ratio=LOG_RATIOS[ratio],
        aggregate=aggregate,
    )
    at = AnswerLogprobs(logprobs, old, reference, BATCH.target)
    loss = objective([*terms, kl_penalty(at, beta, estimate=k3_token, aggregate=aggregate)])
    loss.backward()
    expected = EXPECTED[name][f"beta_{beta}"]
    assert loss.item() == pytest.approx(expected["loss"], abs=1e-5)
    for parameter, (norm, total) in expected["gradients"].items():
        gradient = model.get_parameter(parameter).grad
        found = [gradient.norm().item(), gradient.sum().item()]
        assert found == pytest.approx([norm, total], abs=1e-5), parameter
    assert terms[1].total.item() > 0  # the clip bites somewhere
