from __future__ import annotations

from typing import Any

import pytest
import torch

from heed.evaluation.likelihood import nll, per_token
from heed.models.forward import completion_logprobs
from heed.models.rows import demonstration_rows
from heed.ops.batch import laid_out
from heed.types import Demonstration


@pytest.mark.parametrize("micro_tokens", [1, 20, 1000])
@pytest.mark.parametrize("packing", [True, False, None])
def test_it_is_the_mean_over_tokens(
    toy_lm: Any, toy_prompts: Any, micro_tokens: int, packing: bool | None
) -> None:
    lm = toy_lm()
    items = [Demonstration(prompt, "yes " * at) for at, prompt in enumerate(toy_prompts)]
    rows = demonstration_rows(lm.chat, items, 64)
    values = nll(lm, laid_out(rows, packing), micro_tokens)
    found = per_token(values, rows, [item.prompt.id for item in items])
    with torch.no_grad():
        logprobs, _ = completion_logprobs(lm.model, rows)
    assert values == pytest.approx((-logprobs.sum(1)).tolist(), rel=1e-5)
    assert found.mean == pytest.approx(-float(logprobs.sum() / rows.target.sum()), rel=1e-5)
    assert found.low < found.mean < found.high
    assert found.n == len(items)
