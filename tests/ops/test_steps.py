"""Batches of answers in steps."""

from __future__ import annotations

import torch

from heed.ops.steps import Steps


def test_labels_stand_at_the_ends_of_steps() -> None:
    batch = Steps.labelled(
        [([1, 2], [3, 4, 5]), ([6], [7])], [[0, 2], [0]], [[True, False], [True]], pad=0
    )
    assert batch.ends.tolist() == [
        [False, False, True, False, True], [False, True, False, False, False],
    ]  # fmt: skip
    assert batch.right.tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]
    assert batch.counts() == {"rows": 2.0, "tokens": 4.0, "steps": 3.0}
    short = batch.rows(torch.tensor([1]))
    assert short.ends.tolist() == [[False, True]]
    assert short.counts()["steps"] == 1.0
