"""Batches of rankings."""

from __future__ import annotations

import pytest
import torch

from heed.ops.rankings import Rankings

PAD = 0


@pytest.fixture
def batch() -> Rankings:
    return Rankings.of(
        answers=[
            [([1, 2], [3, 4, 5]), ([1, 2], [6])],
            [([7], [8]), ([7], [9, 9]), ([7], [])],
        ],
        ranks=[[1, 2], [3, 1, 2]],
        weight=[1.0, 0.5],
        pad=PAD,
    )


def test_a_shorter_ranking_has_a_place_without_an_answer(batch: Rankings) -> None:
    assert batch.ids.shape == (2, 3, 5)
    assert batch.ranks.tolist() == [[1, 2, 0], [3, 1, 2]]
    assert batch.present.tolist() == [[True, True, False], [True, True, True]]
    assert not batch.mask[0, 2].any()
    assert batch.counts() == {"rows": 2.0, "weight": 1.5}
    assert batch.cost().tolist() == [8, 6]
    assert batch.room(packed=False).tolist() == [2 * 5, 3 * 3]
    assert batch.room(packed=True).tolist() == [8, 6]


def test_answers_are_those_that_there_are(batch: Rankings) -> None:
    answers = batch.answers
    assert len(answers) == 5
    assert answers.ids[1].tolist() == [1, 2, 6, PAD, PAD]
    assert answers.target.sum(1).tolist() == [3, 1, 1, 2, 0]


def test_rows_lose_the_padding_that_others_needed(batch: Rankings) -> None:
    second = batch.rows(torch.tensor([1]))
    assert second.ids.tolist() == [[[7, 8, PAD], [7, 9, 9], [7, PAD, PAD]]]
    assert second.weight.tolist() == [0.5]
    assert batch.rows(torch.tensor([], dtype=torch.long)).ids.shape == (0, 3, 1)


def test_it_splits_by_room(batch: Rankings) -> None:
    assert [len(part) for part in batch.split(10)] == [1, 1]
    assert [len(part) for part in batch.split(20)] == [2]
