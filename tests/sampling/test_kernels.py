"""The compiled steps of decoding give what torch gives, and do without where they cannot be."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from heed.models.linears import prepared
from heed.sampling.kernels import Kernels, kernels

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2.0**-6}


@pytest.fixture
def built(dtype: torch.dtype) -> Kernels:
    found = kernels(dtype, CPU)
    if found is None:
        pytest.skip("no C compiler")
    return found


both = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def close(got: Tensor, want: Tensor) -> None:
    tolerance = TOLERANCE[got.dtype]
    torch.testing.assert_close(got.float(), want, atol=tolerance, rtol=tolerance)


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    swapped = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cosines[:, None] + swapped * sines[:, None]


@both
@pytest.mark.parametrize(("width", "window"), [(8, None), (32, 4), (64, None), (6, 1)])
def test_attention(built: Kernels, dtype: torch.dtype, width: int, window: int | None) -> None:
    """Three rows at 0, 4 and 9 of a cache of 11; four heads on two; the rest of it is NaN."""
    generator = torch.Generator().manual_seed(0)
    at = torch.tensor([0, 4, 9])
    heads = torch.randn((3, 8, width), generator=generator).to(dtype)
    keys = torch.full((5, 2, width, 11), math.nan, dtype=dtype)
    values = torch.full((5, 2, 11, width), math.nan, dtype=dtype)
    for row, length in enumerate(at.tolist()):
        keys[row, :, :, :length] = torch.randn((2, width, length), generator=generator).to(dtype)
        values[row, :, :length] = torch.randn((2, length, width), generator=generator).to(dtype)
    angles = torch.rand((11, width), generator=generator)
    cosines, sines = angles.cos(), angles.sin()
    signed = sines.clone()
    signed[:, : width // 2].neg_()
    got = built.attend(
        heads, keys, values, at, (cosines, signed), query_heads=4, scale=0.5, window=window
    )
    full = heads.float()
    query, key = (turned(part, cosines[at], sines[at]) for part in (full[:, :4], full[:, 4:6]))
    for row, place in enumerate(at.tolist()):
        close(keys[row, :, :, place], key[row])
        assert torch.equal(values[row, :, place], heads[row, 6:])
        first = 0 if window is None else max(0, place + 1 - window)
        seen_keys = keys[row, :, :, first : place + 1].float().repeat_interleave(2, dim=0)
        seen_values = values[row, :, first : place + 1].float().repeat_interleave(2, dim=0)
        scores = 0.5 * (query[row][:, None] @ seen_keys)
        close(got[row].view(4, width), (scores.softmax(dim=-1) @ seen_values)[:, 0])
    assert keys[3:].isnan().all()


@both
@pytest.mark.parametrize("bias", [False, True])
def test_prepared_linears(dtype: torch.dtype, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = (torch.randn((520, 512), generator=generator) / 512**0.5).to(dtype)
    offset = torch.randn(520, generator=generator).to(dtype) if bias else None
    operation = prepared(weight, offset)
    for rows in (1, 7, 64):
        x = torch.randn((rows, 512), generator=generator).to(dtype)
        want = nn.functional.linear(
            x.double(), weight.double(), None if offset is None else offset.double()
        )
        close(operation(x), want.float())
