"""KL from a reference, measured on samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heed.evaluation.kl import sequence_kl
from heed.models.forward import completion_logprobs
from heed.models.reference import Reference
from heed.ops.batch import Sequences
from heed.sampling.local import LocalSampler


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_the_reference_is_at_no_distance_from_itself(
    toy_lm: Any, toy_prompts: Any, temperature: float
) -> None:
    lm = toy_lm()
    completions = LocalSampler(lm, max_new_tokens=6, temperature=temperature).sample(
        toy_prompts, n=3
    )
    assert sequence_kl(completions, Reference(lm), temperature=temperature) == pytest.approx(
        [0.0] * 18, abs=1e-4
    )


@pytest.mark.parametrize("micro_tokens", [1, 30, 10**6])
def test_it_is_the_sum_of_log_ratios(toy_lm: Any, toy_prompts: Any, micro_tokens: int) -> None:
    lm, other = toy_lm(), toy_lm(seed=1)
    completions = LocalSampler(lm, max_new_tokens=6).sample(toy_prompts, n=40)
    found = sequence_kl(completions, Reference(other), temperature=1.0, micro_tokens=micro_tokens)
    rows = Sequences.of([(c.prompt_ids, c.ids) for c in completions], lm.chat.pad_id)
    with torch.no_grad():
        own, theirs = (completion_logprobs(m.model, rows)[0].sum(1) for m in (lm, other))
    assert found == pytest.approx((own - theirs).tolist(), abs=1e-3)
    assert sum(found) / len(found) > 0.1
