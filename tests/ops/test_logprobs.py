from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from heed.ops.logprobs import logprobs_from_logits, token_logprobs

N, D, V = 6, 4, 11
CHUNKS = [1, 2, 3, 5, 10, 11, 8192]


def head(
    dtype: torch.dtype = torch.float64, *, bias: bool = True
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Hidden states, weight, bias and targets; both ends of the vocabulary are among these."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, D, generator=draw, dtype=torch.float64).to(dtype)
    weight = torch.randn(V, D, generator=draw, dtype=torch.float64).to(dtype)
    offset = torch.randn(V, generator=draw, dtype=torch.float64).to(dtype)
    leaves = [hidden, weight, offset] if bias else [hidden, weight]
    for leaf in leaves:
        leaf.requires_grad_()
    return hidden, weight, offset if bias else None, torch.tensor([0, V - 1, 3, 3, 5, 7])


def gradients(results: tuple[Tensor, Tensor], leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a weighted sum of both results, rows weighted unlike."""
    rows = torch.arange(1, N + 1, dtype=results[0].dtype)
    total = (rows * results[0]).sum() + (rows.sqrt() * results[1]).sum()
    return torch.autograd.grad(total, leaves)


def test_plain_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    logprob, entropy = logprobs_from_logits(logits, torch.tensor([1, 0]))
    assert logprob.tolist() == pytest.approx([math.log(0.75), math.log(0.5)])
    uneven = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert entropy.tolist() == pytest.approx([uneven, math.log(2)])


def test_plain_divides_by_the_temperature_and_takes_any_leading_shape() -> None:
    logits = torch.tensor([[[0.0, 2 * math.log(3.0)]]])
    logprob, _ = logprobs_from_logits(logits, torch.tensor([[1]]), temperature=2.0)
    assert logprob.shape == (1, 1)
    assert logprob.item() == pytest.approx(math.log(0.75))


def test_plain_raises_half_precision_to_float32() -> None:
    logits = torch.randn(N, V, dtype=torch.bfloat16)
    targets = torch.zeros(N, dtype=torch.long)
    for half, full in zip(
        logprobs_from_logits(logits, targets),
        logprobs_from_logits(logits.float(), targets),
        strict=True,
    ):
        assert half.dtype == torch.float32
        assert torch.equal(half, full)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("bias", [True, False])
def test_chunks_equal_the_plain_way(chunk: int, temperature: float, bias: bool) -> None:
    hidden, weight, offset, targets = head(bias=bias)
    leaves = [leaf for leaf in (hidden, weight, offset) if leaf is not None]
    chunked = token_logprobs(hidden, weight, offset, targets, temperature=temperature, chunk=chunk)
    plain = logprobs_from_logits(linear(hidden, weight, offset), targets, temperature)
    for one, other in zip(chunked, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    for one, other in zip(gradients(chunked, leaves), gradients(plain, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("bias", [True, False])
def test_gradcheck(chunk: int, bias: bool) -> None:
    hidden, weight, offset, targets = head(bias=bias)

    def function(hidden: Tensor, weight: Tensor, offset: Tensor | None) -> tuple[Tensor, Tensor]:
        return token_logprobs(hidden, weight, offset, targets, temperature=0.8, chunk=chunk)

    assert torch.autograd.gradcheck(function, (hidden, weight, offset))


@pytest.mark.parametrize("chunk", [4, V])
@pytest.mark.parametrize("which", [0, 1])
def test_one_result_alone_has_its_gradient(chunk: int, which: int) -> None:
    hidden, weight, offset, targets = head()
    leaves = [hidden, weight, offset]
    chunked = token_logprobs(hidden, weight, offset, targets, chunk=chunk)[which]
    plain = logprobs_from_logits(linear(hidden, weight, offset), targets)[which]
    want = torch.autograd.grad(plain.sum(), leaves)
    # Twice, because what was kept for the backward must survive it.
    for _ in range(2):
        got = torch.autograd.grad(chunked.sum(), leaves, retain_graph=True)
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("chunk", [4, V])
@pytest.mark.parametrize("trained", [0, 1, 2])
def test_only_what_trains_gets_a_gradient(chunk: int, trained: int) -> None:
    hidden, weight, offset, targets = head()
    leaves = [hidden, weight, offset]
    want = gradients(logprobs_from_logits(linear(*leaves), targets), leaves)[trained]
    for number, leaf in enumerate(leaves):
        leaf.requires_grad_(number == trained)
    (got,) = gradients(token_logprobs(*leaves, targets, chunk=chunk), [leaves[trained]])
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
    assert sum(leaf.grad is not None for leaf in leaves) == 0


@pytest.mark.parametrize("chunk", [3, V])
def test_bfloat16_sums_in_float32(chunk: int) -> None:
    hidden, weight, offset, targets = head(torch.bfloat16)
    leaves = [hidden, weight, offset]
    results = token_logprobs(hidden, weight, offset, targets, chunk=chunk)
    wide = [leaf.detach().float().requires_grad_() for leaf in leaves]
    exact = logprobs_from_logits(linear(*wide), targets)
    for one, other in zip(results, exact, strict=True):
        assert one.dtype == torch.float32
        # A bf16 logit of size 4 is off by up to 2^-7; the sums add nothing to that.
        torch.testing.assert_close(one, other, rtol=0, atol=2e-2)
    on_same_logits = logprobs_from_logits(linear(*leaves).float(), targets)
    for one, other in zip(results, on_same_logits, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=2e-6)
    for one, other in zip(gradients(results, leaves), gradients(exact, wide), strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, rtol=2e-2, atol=2e-1)


@pytest.mark.parametrize("chunk", [3, V])
@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_large_logits_do_not_overflow(chunk: int, shift: float) -> None:
    hidden, weight, offset, targets = head(torch.float64)
    base = token_logprobs(hidden, weight, offset, targets, chunk=chunk)
    moved = token_logprobs(hidden, weight, offset + shift, targets, chunk=chunk)
    for one, other in zip(base, moved, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    spread = token_logprobs(hidden.float() * 1e3, weight.float(), None, targets, chunk=chunk)
    assert all(result.isfinite().all() for result in spread)


def test_a_uniform_head() -> None:
    logprob, entropy = token_logprobs(
        torch.zeros(2, D), torch.ones(V, D), None, torch.tensor([0, V - 1]), chunk=4
    )
    assert logprob.tolist() == pytest.approx([-math.log(V)] * 2)
    assert entropy.tolist() == pytest.approx([math.log(V)] * 2)


def test_no_token_positions_at_all() -> None:
    """A micro-batch may have no completion token."""
    hidden, weight, offset, _ = head()
    results = token_logprobs(hidden[:0], weight, offset, torch.zeros(0, dtype=torch.long), chunk=4)
    assert [len(result) for result in results] == [0, 0]
    gradient = torch.autograd.grad(results[0].sum() + results[1].sum(), weight)[0]
    assert gradient.eq(0).all()


def test_logits_of_one_chunk_only_are_alive() -> None:
    """The largest tensor the forward or the backward makes has `chunk` columns, not V."""
    rows, vocabulary, chunk = 64, 4096, 256
    hidden = torch.randn(rows, D, requires_grad=True)
    weight = torch.randn(vocabulary, D, requires_grad=True)
    biggest = _LargestResult()
    with biggest:
        results = token_logprobs(
            hidden, weight, None, torch.zeros(rows, dtype=torch.long), chunk=chunk
        )
        (results[0].sum() + results[1].sum()).backward()
    assert biggest.elements <= max(rows * chunk, vocabulary * D)


class _LargestResult(torch.utils._python_dispatch.TorchDispatchMode):
    """Watches every operation for the number of elements in its result."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("bias", [False, True])
def test_under_autocast_the_head_runs_in_its_dtype(bias: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(6, 8, generator=draw), torch.randn(11, 8, generator=draw)
    shift = torch.randn(11, generator=draw) if bias else None
    targets = torch.randint(11, (6,), generator=draw)
    for part in (hidden, weight):
        part.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        logprob, entropy = token_logprobs(hidden, weight, shift, targets, chunk=4)
        logprob.sum().backward()
    half = [None if part is None else part.detach().bfloat16() for part in (hidden, weight, shift)]
    assert half[0] is not None
    assert half[1] is not None
    expected, spread = token_logprobs(half[0], half[1], half[2], targets, chunk=4)
    assert torch.equal(logprob, expected)
    assert torch.equal(entropy, spread)
    assert hidden.grad is not None
    assert weight.grad is not None
    assert hidden.grad.dtype == weight.grad.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("chunk", [3, V, 8192])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=str)
def test_compiled_or_not(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    chunk: int,
    temperature: float,
    which: tuple[int, ...],
) -> None:
    """Compiled passes over the logits give what torch's do, in values and gradients."""
    found = []
    for wish in ("yes", "no"):
        monkeypatch.setenv("HEED_COMPILED", wish)
        hidden, weight, bias, targets = head(dtype)
        results = token_logprobs(
            hidden, weight, bias, targets, temperature=temperature, chunk=chunk
        )
        rows = torch.arange(1, N + 1, dtype=torch.float32)
        total = sum(((rows * results[place]).sum() for place in which), torch.zeros(()))
        found.append((*results, *torch.autograd.grad(total, [hidden, weight, bias])))
    allowed = 2e-6 if dtype == torch.float32 else 2.0**-6
    for ours, plain in zip(*found, strict=True):
        assert ours.dtype == plain.dtype
        apart = (ours.float() - plain.float()).abs().max()
        assert apart <= allowed * plain.float().abs().max().clamp(min=1.0)


@pytest.mark.parametrize("wish", ["yes", "no"])
def test_a_logit_that_is_no_number_shows(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv("HEED_COMPILED", wish)
    hidden = torch.tensor([[1.0], [math.nan]])
    logprobs, _ = token_logprobs(hidden, torch.ones(5, 1), None, torch.tensor([1, 1]))
    assert logprobs[0] == pytest.approx(-math.log(5.0))
    assert math.isnan(logprobs[1])
