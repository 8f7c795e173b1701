"""One kernel for all documents: ours beside a stand-in for torch's, which has none for CPUs."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from heed.models import packing, varlen
from heed.models.device import format_of
from heed.models.forward import completion_logprobs
from heed.models.packing import by_document, packs
from heed.models.varlen import Documents, Kind, agrees, kernel_for
from heed.ops.batch import laid_out

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LENGTHS = (3, 14, 5, 1, 8)


def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Tensor:
    """What torch says of `varlen_attn`, and what its kernel refuses: a window of (left, right)
    tokens beside one's own, -1 for all; query head h on key head h // (H / K).
    """
    assert query.dtype == key.dtype == value.dtype
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert cu_seq_q.is_contiguous()
    assert {part.stride(-1) for part in (query, key, value)} == {1}
    assert enable_gqa or query.shape[1] == key.shape[1]
    lengths = cu_seq_q.diff().tolist()
    assert sum(lengths) == len(query)
    assert lengths == cu_seq_k.diff().tolist()
    assert max(lengths) == max_q == max_k
    left, right = window_size
    group = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(group, dim=1) for part in (key, value))
    found = []
    for q, k, v in zip(*(x.float().split(lengths) for x in (query, key, value)), strict=True):
        scores = torch.einsum("qhw,khw->hqk", q, k) * (scale or q.shape[-1] ** -0.5)
        apart = torch.arange(len(k)) - torch.arange(len(q))[:, None]
        hidden = torch.zeros(apart.shape, dtype=torch.bool)
        hidden |= (apart > right) if right >= 0 else False
        hidden |= (apart < -left) if left >= 0 else False
        shares = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        found.append(torch.einsum("hqk,khw->qhw", shares, v))
    return torch.cat(found).to(query.dtype)


@pytest.fixture
def stands_in(monkeypatch):
    """The stand-in is the kernel of the CPU; what it was asked with."""
    seen = []

    def kernel(*given, **settings):
        seen.append((given, settings))
        return reference(*given, **settings)

    monkeypatch.setattr(varlen, "kernel_for", lambda device, dtype: kernel)
    return seen


def of_models(seen):
    """Without the probes."""
    return [each for each in seen if len(each[0][0]) != sum(varlen.PROBE)]


def test_the_stand_in_is_asked_as_torchs_kernel_is():
    theirs = inspect.signature(varlen_attn).parameters
    for name, parameter in inspect.signature(reference).parameters.items():
        assert theirs[name].kind == parameter.kind
        assert theirs[name].default == parameter.default


def test_where_there_is_a_kernel():
    for dtype in (torch.bfloat16, torch.float16):
        assert kernel_for(CUDA, dtype) is varlen_attn
        assert kernel_for(CPU, dtype) is None
    assert kernel_for(CUDA, torch.float32) is None


def test_the_format_is_autocasts_within_it():
    assert format_of(CPU, torch.float32) == torch.float32
    assert format_of(torch.device("meta"), torch.float32) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert format_of(CPU, torch.float32) == torch.bfloat16


def kind(key_heads=2, windowed=False, dtype=torch.float32):
    return Kind(4, key_heads, 8, windowed, dtype, CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_a_kernel_that_agrees(key_heads, windowed, dtype):
    assert agrees(reference, kind(key_heads, windowed, dtype))


def shifted(*given, window_size, **settings):
    """A window in which one's own token is counted."""
    left, right = window_size
    return reference(*given, window_size=(left if left < 0 else left + 1, right), **settings)


def leaking(query, key, value, cu_q, cu_k, max_q, max_k, **settings):
    whole = torch.tensor([0, len(query)], dtype=torch.int32)
    return reference(query, key, value, whole, whole, len(query), len(query), **settings)


def grouped_otherwise(query, key, *rest, **settings):
    return reference(query, key.flip(1), *rest, **settings)


def of_another_gradient(query, *rest, **settings):
    return reference((2.0 * query - query.detach()).to(query.dtype), *rest, **settings)


def refusing(*_given, **_settings):
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "kernel", [shifted, leaking, grouped_otherwise, of_another_gradient, refusing]
)
def test_a_kernel_that_does_not(kernel, dtype):
    assert not agrees(kernel, kind(windowed=True, dtype=dtype))


def heads(dtype=torch.float32, key_heads=2):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn((1, count, sum(LENGTHS), 8), generator=generator).to(dtype).requires_grad_()
        for count in (4, key_heads, key_heads)
    ]


@pytest.mark.parametrize("window", [None, 1, 4, 100])
@pytest.mark.parametrize("scaling", [None, 0.2])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_together_is_one_by_one(monkeypatch, stands_in, window, scaling, key_heads):
    given = heads(key_heads=key_heads)
    documents = Documents(LENGTHS, CPU)
    pull = torch.randn((1, sum(LENGTHS), 4, 8))

    def pulled():
        out, _ = by_document(
            None, *given, None, documents=documents, scaling=scaling, sliding_window=window
        )
        return [out, *torch.autograd.grad(out, given, pull)]

    together = pulled()
    assert len(of_models(stands_in)) == 1
    monkeypatch.setattr(varlen, "kernel_for", lambda device, dtype: None)
    for ours, theirs in zip(together, pulled(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_dropout_is_not_the_kernels(stands_in):
    documents = Documents(LENGTHS, CPU)
    by_document(None, *heads(), None, documents=documents, dropout=0.5)
    assert not stands_in


def test_where_the_kernel_does_not_agree_documents_are_attended_to_one_by_one(monkeypatch):
    documents = Documents(LENGTHS, CPU)
    want, _ = by_document(None, *heads(), None, documents=documents)
    for kernel in (leaking, refusing):
        monkeypatch.setattr(varlen, "kernel_for", lambda device, dtype, kernel=kernel: kernel)
        found, _ = by_document(None, *heads(), None, documents=documents)
        assert torch.equal(found, want)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2", "gemma3_text"])
def test_a_models_log_probs_and_gradients(monkeypatch, tiny, sequences, stands_in, name):
    """The compiled way would go past attention: it is off, as on a GPU."""
    monkeypatch.setenv("HEED_COMPILED", "no")
    lm = tiny(name, initializer_range=0.05)
    batch = sequences(lm, lengths=LENGTHS)

    def pulled(packing):
        lm.model.zero_grad()
        logprobs, entropy = completion_logprobs(lm.model, laid_out(batch, packing))
        (logprobs.sum() + entropy.sum()).backward()
        gradients = [p.grad.clone() for p in lm.model.parameters() if p.grad is not None]
        return logprobs.detach(), gradients

    padded, wanted = pulled(False)
    stands_in.clear()
    together, found = pulled(True)
    torch.testing.assert_close(together, padded, atol=1e-5, rtol=1e-5)
    largest = max(float(each.abs().max()) for each in wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5 * largest, rtol=0)
    asked = of_models(stands_in)
    assert len(asked) == lm.model.config.num_hidden_layers
    assert {id(given[3]) for given, _ in asked} == {id(asked[0][0][4])}  # made once a pass
    assert asked[0][0][3].tolist() == [0, *batch.cost().cumsum(0).tolist()]


def test_under_autocast_the_kernel_gets_its_format(monkeypatch, tiny, sequences, stands_in):
    """Rotary positions leave queries and keys in float32 there, which the kernel would refuse."""
    monkeypatch.setenv("HEED_COMPILED", "no")
    lm = tiny("llama")
    batch = sequences(lm, lengths=LENGTHS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        together, _ = completion_logprobs(lm.model, laid_out(batch, True))
        padded, _ = completion_logprobs(lm.model, laid_out(batch, False))
    asked = of_models(stands_in)
    assert asked
    assert {part.dtype for given, _ in asked for part in given[:3]} == {torch.bfloat16}
    torch.testing.assert_close(together, padded, atol=0.05, rtol=0)


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Packing is decided as on one, in what format `format_of` says."""
    monkeypatch.setattr(packing, "_told_apart", lambda module: format_of(CPU, torch.float32))


def half_only(kernel):
    return lambda device, dtype: kernel if dtype == torch.bfloat16 else None


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text"])
def test_packed_unasked_on_a_gpu_in_half_precision(monkeypatch, tiny, on_a_gpu, name):
    lm = tiny(name)
    monkeypatch.setattr(varlen, "kernel_for", half_only(reference))
    assert not packs(lm.model)  # in float32 there is no kernel
    with torch.autocast("cpu", torch.bfloat16):
        assert packs(lm.model)
        assert not packs(tiny("gemma2").model)  # its attention is not plain
    assert not packs(lm.model)


@pytest.mark.parametrize("kernel", [leaking, refusing])
def test_not_packed_unasked_where_the_kernel_does_not_agree(monkeypatch, tiny, on_a_gpu, kernel):
    monkeypatch.setattr(varlen, "kernel_for", half_only(kernel))
    with torch.autocast("cpu", torch.bfloat16):
        assert not packs(tiny("llama").model)
