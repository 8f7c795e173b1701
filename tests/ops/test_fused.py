"""Compiled steps of training give what torch gives, and so do their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from heed.ops.fused import Documents, Fused, Reach, fused

TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2.0**-5}
both = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


@pytest.fixture
def built(dtype: torch.dtype) -> Fused:
    found = fused(dtype, torch.device("cpu"))
    if found is None:
        pytest.skip("no C compiler")
    return found


def close(got: Tensor, want: Tensor) -> None:
    """As close as the format allows, beside the largest number."""
    apart = (got.float() - want.float()).abs().max()
    assert apart <= TOLERANCE[got.dtype] * want.abs().max().clamp(min=1.0), apart


def same(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], given: list[Tensor]) -> None:
    """One value and one gradient for each thing given; theirs is computed in float32."""
    mine = [each.clone().requires_grad_(True) for each in given]
    plain = [each.float().requires_grad_(True) for each in given]
    got, want = ours(*mine), theirs(*plain)
    close(got, want)
    pull = torch.randn(want.shape, generator=torch.Generator().manual_seed(1)).to(got.dtype)
    got.backward(pull)
    want.backward(pull.float())
    for one, other in zip(mine, plain, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        close(one.grad, other.grad)


def turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    swapped = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cosines[:, None] + swapped * sines[:, None]


@both
@pytest.mark.parametrize(
    ("width", "window", "heads", "key_heads"),
    [(8, None, 4, 2), (32, 4, 2, 2), (64, 20, 3, 1), (6, 1, 2, 1), (128, None, 1, 1)],
)
def test_attention(
    built: Fused, dtype: torch.dtype, width: int, window: int | None, heads: int, key_heads: int
) -> None:
    """Documents of 1, 37 and 16 tokens; each is torch's attention on its own."""
    lengths = [1, 37, 16]
    generator = torch.Generator().manual_seed(0)
    given = torch.randn((sum(lengths), heads + 2 * key_heads, width), generator=generator)
    angles = torch.rand((max(lengths), width), generator=generator)
    cosines, sines = angles.cos(), angles.sin()
    signed = sines.clone()
    signed[:, : width // 2].neg_()
    documents = Documents.of(lengths, (cosines, signed))
    reach = Reach(heads, key_heads, 0.3, window)

    def plain(x: Tensor) -> Tensor:
        outputs = []
        for part in x.split(lengths):
            time = len(part)
            query, key, value = part.split([heads, key_heads, key_heads], dim=1)
            query, key = (turned(each, cosines[:time], sines[:time]) for each in (query, key))
            ones = torch.ones((time, time), dtype=torch.bool)
            mask = ones.tril() & ~ones.tril(-(window or time))
            attended = scaled_dot_product_attention(
                query.transpose(0, 1)[None],
                key.transpose(0, 1)[None],
                value.transpose(0, 1)[None],
                attn_mask=mask,
                scale=0.3,
                enable_gqa=True,
            )
            outputs.append(attended[0].transpose(0, 1).flatten(1))
        return torch.cat(outputs)

    same(lambda x: built.attention(x, documents, reach), plain, [given.to(dtype)])


@both
def test_attention_by_hand(built: Fused, dtype: torch.dtype) -> None:
    """Equal scores: the second token sees the mean of both values, the third of a document of its
    own its own value alone.
    """
    heads = torch.zeros((3, 3, 2))
    heads[:, 2] = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0]])
    got = built.attention(heads.to(dtype), Documents.of([2, 1]), Reach(1, 1, 1.0))
    assert got.tolist() == [[1.0, 2.0], [2.0, 4.0], [5.0, 7.0]]


@both
def test_sum_and_norm(built: Fused, dtype: torch.dtype) -> None:
    """Both outputs pull: the sum by what comes from elsewhere, the norm by its own."""
    generator = torch.Generator().manual_seed(0)
    x, more = torch.randn((2, 45, 20), generator=generator)
    weight = torch.rand(20, generator=generator)
    more = more.to(dtype)

    def plain(x: Tensor, more: Tensor, weight: Tensor) -> Tensor:
        total = x + more
        return torch.cat((total, rms_norm(total, (20,), weight, 1e-5)), dim=1)

    def ours(x: Tensor, more: Tensor, weight: Tensor) -> Tensor:
        total, normed = built.add_norm(x, more, weight, 1e-5)
        return torch.cat((total, normed.float()), dim=1)

    mine = [each.clone().requires_grad_(True) for each in (x, more, weight)]
    other = [each.float().requires_grad_(True) for each in (x, more, weight)]
    got, want = ours(*mine), plain(*other)
    assert (got - want).abs().max() < 5 * TOLERANCE[dtype]
    pull = torch.randn(want.shape, generator=generator)
    got.backward(pull)
    want.backward(pull)
    for one, two in zip(mine, other, strict=True):
        assert one.grad is not None
        assert two.grad is not None
        assert one.grad.dtype == one.dtype
        apart = (one.grad.float() - two.grad).abs().max()
        assert apart <= 2 * TOLERANCE[dtype] * two.grad.abs().max()


@both
def test_norm_and_gate(built: Fused, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, 3, 20), generator=generator)
    weight = torch.rand(20, generator=generator)

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return built.norm(x, weight, 1e-5)

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, (20,), weight, 1e-5)

    def gate(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return silu(first) * second

    got = norm(x.requires_grad_(True), weight)
    close(got, plain(x, weight))
    (mine,) = torch.autograd.grad(got.float().square().sum(), x)
    (theirs,) = torch.autograd.grad(plain(x, weight).square().sum(), x)
    assert (mine - theirs).abs().max() < 20 * TOLERANCE[dtype]
    inner = (10.0 * torch.randn((7, 34), generator=generator)).to(dtype)
    same(built.gated, gate, [inner])
    with torch.no_grad():
        assert torch.equal(built.norm(x, weight, 1e-5), got)
        assert torch.equal(built.gated(inner), built.gated(inner.clone().requires_grad_(True)))


@both
def test_extreme_gates(built: Fused, dtype: torch.dtype) -> None:
    extreme = torch.tensor([[-200.0, 200.0, math.nan, 1.0, 1.0, 1.0]]).to(dtype)
    low, high, none = built.gated(extreme)[0].tolist()
    assert (abs(low), high) == (pytest.approx(0.0, abs=1e-30), 200.0)
    assert math.isnan(none)
    given = torch.tensor([[-200.0, 200.0, 1.0, 1.0]], dtype=dtype, requires_grad=True)
    built.gated(given).sum().backward()
    assert given.grad is not None
    assert given.grad[0].tolist() == [
        pytest.approx(0.0, abs=1e-30), 1.0, pytest.approx(0.0, abs=1e-30), 200.0
    ]  # fmt: skip


@both
def test_threads_change_nothing(built: Fused, dtype: torch.dtype) -> None:
    """Sums have an order of their own, whatever the number of threads."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((700, 128), generator=generator)
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            weight = nn.Parameter(torch.ones(128))
            heads = x.view(700, 4, 32).to(dtype).requires_grad_(True)
            attended = built.attention(heads, Documents.of([300, 400]), Reach(2, 1, 0.2))
            (attended.float().sum() + built.norm(x, weight, 1e-6).float().sin().sum()).backward()
            assert heads.grad is not None
            assert weight.grad is not None
            results.append((attended.detach(), heads.grad, weight.grad))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_no_memory_for_a_document() -> None:
    built = fused(torch.float32, torch.device("cpu"))
    if built is None:
        pytest.skip("no C compiler")
    endless = Documents(torch.tensor([0, 1]), 2**50)
    with pytest.raises(MemoryError, match="no memory for a document"):
        built.attention(torch.zeros((1, 3, 8)), endless, Reach(1, 1, 1.0))
