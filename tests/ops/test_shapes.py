"""Numbers of rows that recur."""

from __future__ import annotations

import pytest
import torch

from heed.ops.shapes import lengthened, rounded, spare, spare_documents

CPU = torch.device("cpu")
ONEDNN = torch.backends.mkldnn.is_available()


def test_rows_are_rounded_up_to_few_numbers() -> None:
    assert [rounded(rows) for rows in (1, 32, 33, 36, 37, 64, 65, 129)] == [
        1, 32, 36, 36, 40, 64, 72, 144,
    ]  # fmt: skip
    assert len({rounded(rows) for rows in range(1, 257)}) == 32 + 3 * 8
    assert [rounded(rows, 16) for rows in (64, 65, 1025, 2802)] == [64, 68, 1088, 2816]
    assert len({rounded(rows, 16) for rows in range(1025, 2049)}) == 16


@pytest.mark.parametrize("grains", [8, 16])
def test_rounding_adds_little(grains: int) -> None:
    more = [rounded(rows, grains) / rows - 1 for rows in range(1, 5000)]
    assert min(more) == 0
    assert max(more) < 1 / grains


@pytest.mark.skipif(not ONEDNN, reason="torch without oneDNN")
def test_rows_are_spared_where_products_are_planned_by_their_shape() -> None:
    assert spare(1025, torch.bfloat16, CPU) == 63
    assert spare(1088, torch.bfloat16, CPU) == 0
    assert spare(1025, torch.float32, CPU) == 0
    assert spare(1025, torch.bfloat16, torch.device("meta")) == 0


def test_rows_of_zeros_come_behind() -> None:
    x = torch.ones(2, 3, dtype=torch.long)
    assert lengthened(x, 2).tolist() == [[1] * 3, [1] * 3, [0] * 3, [0] * 3]
    assert lengthened(x[:, 0], 1).tolist() == [1, 1, 0]
    assert lengthened(x, 0) is x


def test_spare_documents_are_no_longer_than_the_others() -> None:
    assert spare_documents(7, 3) == [3, 3, 1]
    assert spare_documents(6, 3) == [3, 3]
    assert spare_documents(2, 3) == [2]
