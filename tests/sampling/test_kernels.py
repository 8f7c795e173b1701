"""The compiled steps of decoding give what torch gives, and do without where they cannot be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heed.models.anatomy import anatomy
from heed.models.linears import prepared
from heed.ops import compiled
from heed.sampling.compiled_decoder import CompiledDecoder
from heed.sampling.decoders import Decoder, decoder_of
from heed.sampling.kernels import Kernels, kernels
from heed.sampling.known import AGREEMENT
from heed.sampling.lean import LeanDecoder
from heed.sampling.local import LocalSampler

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2.0**-6}
WITHOUT = ["", "-mno-amx-tile -mno-amx-bf16", "-mno-avx512f", "-mno-avx"]
"""What compilers may be told to do without: code for other processors than this one."""


@pytest.fixture(scope="module")
def built_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def processor(without: str, built_here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Code is compiled as for a processor without something."""
    if without:
        monkeypatch.setattr(compiled, "FLAGS", [*compiled.FLAGS, *without.split()])
        monkeypatch.setenv("XDG_CACHE_HOME", str(built_here))
        _forget()
    yield
    if without:
        _forget()


@pytest.fixture
def built(dtype: torch.dtype, without: str, processor: None) -> Kernels:
    del processor
    found = kernels(dtype, CPU)
    if found is None:
        pytest.skip(f"no C compiler that knows {without}" if without else "no C compiler")
    return found


def _forget() -> None:
    compiled._library.cache_clear()
    compiled._functions.cache_clear()


both = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
everywhere = pytest.mark.parametrize("without", WITHOUT, ids=lambda flags: flags or "as it is")


def compilable() -> None:
    if kernels(torch.float32, CPU) is None:
        pytest.skip("no C compiler")


def close(got: Tensor, want: Tensor) -> None:
    tolerance = TOLERANCE[got.dtype]
    torch.testing.assert_close(got.float(), want, atol=tolerance, rtol=tolerance)


@everywhere
@both
def test_products(built: Kernels, dtype: torch.dtype) -> None:
    """Layers side by side that fill no panel, of depths that tiles take and of others."""
    generator = torch.Generator().manual_seed(0)
    for inputs, outputs in ((64, [64]), (544, [17, 40, 3]), (1100, [5, 200]), (2, [1])):
        parts = [
            ((torch.randn((out, inputs), generator=generator) / inputs**0.5), None)
            for out in outputs
        ]
        parts[0] = parts[0][0].to(dtype), torch.randn(outputs[0], generator=generator)
        product = built.product(parts)
        assert product is not None
        weight = torch.cat([weight.to(dtype).double() for weight, _ in parts])
        bias = torch.zeros(len(weight), dtype=torch.float64)
        bias[: outputs[0]] = parts[0][1]
        for rows in (1, 2, 7, 16, 17, 33, 70, 257, 600):
            x = torch.randn((rows, inputs), generator=generator).to(dtype)
            close(product(x), nn.functional.linear(x.double(), weight, bias).float())


@both
@pytest.mark.parametrize("without", [""])
def test_odd_depths_in_pairs_are_not_packed(built: Kernels, dtype: torch.dtype) -> None:
    product = built.product([(torch.arange(12.0).view(4, 3), None)])
    assert (product is None) == (dtype == torch.bfloat16)
    if product is not None:
        assert product(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[8.0, 26.0, 44.0, 62.0]]


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "grouped": (
        "llama",
        {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64, "hidden_size": 96},
    ),
    "wide": ("qwen3", {"head_dim": 24, "num_attention_heads": 3, "num_key_value_heads": 3}),
    "wider": ("qwen3", {"head_dim": 112, "num_attention_heads": 2, "num_key_value_heads": 1}),
    "window": ("mistral", {"sliding_window": 5}),
    "gpt2": ("gpt2", {"n_positions": 256}),
}


def decoders(lm: Any, dtype: torch.dtype, monkeypatch: Any, **sizes: int) -> list[Decoder]:
    """The compiled one, whose cache is full of what is not a number, and torch's."""
    compilable()
    found = anatomy(lm.model)
    assert found is not None
    ours = decoder_of(found, dtype, **sizes)
    assert isinstance(ours, CompiledDecoder)
    for tensor in itertools.chain(*ours.cache):
        tensor.fill_(math.nan)
    with monkeypatch.context() as without:
        without.setenv("HEED_COMPILED", "no")
        theirs = decoder_of(found, dtype, **sizes)
    assert isinstance(theirs, LeanDecoder)
    return [ours, theirs]


@everywhere
@both
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_decoder(
    built: Kernels, dtype: torch.dtype, tiny: Any, monkeypatch: Any, kind: str
) -> None:
    """Prompts of many lengths, some twice; rows that move; tokens of rows at different places."""
    del built
    name, more = KINDS[kind]
    lm = tiny(name, **more)
    generator = torch.Generator().manual_seed(0)
    for weight in lm.model.parameters():
        weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    prompts = [
        torch.randint(5, 30, (length,), generator=generator).tolist() for length in (140, 67, 3, 1)
    ]
    said = []
    for decoder in decoders(lm, dtype, monkeypatch, slots=7, capacity=153):
        before = decoder.prefill(prompts[:3])
        logits = [decoder.admit(before, [0, 1, 1, 2], 0)]
        logits.append(decoder.step(torch.tensor([7, 8, 9, 10])))
        decoder.move([3, 2], [0, 1])
        logits.append(decoder.step(torch.tensor([11, 12])))
        logits.append(decoder.admit(decoder.prefill(prompts[2:]), [1, 0, 1], 2))
        logits += [decoder.step(torch.arange(5, 10) + at) for at in range(7)]
        said.append(torch.cat([each.float() for each in logits]))
    allowed = AGREEMENT[dtype] * said[1].abs().max()
    assert (said[0] - said[1]).abs().max() < allowed
    if dtype == torch.bfloat16:  # where single ones are rounded far, the rest is near
        assert (said[0] - said[1]).square().mean().sqrt() < allowed / 8


@both
@pytest.mark.parametrize("without", [""])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_neighbours_and_threads_change_nothing(
    built: Kernels, dtype: torch.dtype, tiny: Any, monkeypatch: Any, kind: str
) -> None:
    """To the bit: a row's sums have one order, whoever computes it and whatever beside it."""
    del built
    name, more = KINDS[kind]
    decoder, _ = decoders(tiny(name, **more), dtype, monkeypatch, slots=40, capacity=30)
    prompts = [[5 + at % 20, 6, 7 + at % 9][: 1 + at % 3] for at in range(40)]
    alone = []
    for prompt in prompts:
        first = decoder.admit(decoder.prefill([prompt]), [0], 0)
        alone.append(torch.cat([first, decoder.step(torch.tensor([9]))]))
    threads = torch.get_num_threads()
    for count in (1, 4):
        torch.set_num_threads(count)
        together = [decoder.admit(decoder.prefill(prompts), range(40), 0)]
        together.append(decoder.step(torch.full((40,), 9)))
        torch.set_num_threads(threads)
        assert torch.equal(torch.stack(alone), torch.stack(together, dim=1))


@pytest.mark.parametrize("change", ["no copies", "relu", "one prompt", "long prompts"])
@torch.no_grad()
def test_parts_that_are_not_compiled(tiny: Any, monkeypatch: Any, change: str) -> None:
    """Layers one by one, and prompts by torch's attention: the same logits."""
    compilable()
    if change == "no copies":
        monkeypatch.setattr("heed.sampling.weights.LARGEST_COPY", 0)
    if change == "long prompts":
        monkeypatch.setattr("heed.sampling.compiled_decoder.LONGEST_DOCUMENT", 5)
    lm = tiny("mistral", sliding_window=5, hidden_act="relu" if change == "relu" else "silu")
    prompts = [[5, 6, 7, 8, 9, 10, 11, 12]] + [[7, 8]] * (change != "one prompt")
    threads = torch.get_num_threads()
    torch.set_num_threads(4 if change == "one prompt" else threads)
    said = []
    for decoder in decoders(lm, torch.float32, monkeypatch, slots=2, capacity=12):
        logits = [decoder.admit(decoder.prefill(prompts), range(len(prompts)), 0)]
        logits += [decoder.step(torch.tensor([9, 4])[: len(prompts)]) for _ in range(3)]
        said.append(torch.cat(logits))
        if isinstance(decoder, CompiledDecoder):
            assert decoder.whole == (change not in ("no copies", "relu"))
    torch.set_num_threads(threads)
    close(said[0], said[1])


def test_heads_that_were_cut_off_are_left_to_the_model(tiny: Any) -> None:
    """The anatomy goes by the configuration; what has other sizes is not computed by it."""
    compilable()
    lm = tiny("llama")
    attention = lm.model.model.layers[0].self_attn
    width = attention.head_dim
    for name in ("q_proj", "k_proj", "v_proj"):
        part = getattr(attention, name)
        part.weight = nn.Parameter(part.weight[: len(part.weight) // 2 // width * width].detach())
    output = attention.o_proj
    output.weight = nn.Parameter(output.weight[:, : len(attention.q_proj.weight)].detach())
    assert LocalSampler(lm, max_new_tokens=4).path == "plain"


@torch.no_grad()
def test_rows_that_do_not_fit(tiny: Any, monkeypatch: Any) -> None:
    decoder, _ = decoders(tiny("llama"), torch.float32, monkeypatch, slots=2, capacity=16)
    with pytest.raises(RuntimeError, match="do not fit"):
        decoder.admit(decoder.prefill([[5]]), [0, 0], 1)
    with pytest.raises(RuntimeError, match="do not fit"):
        decoder.admit(decoder.prefill([[5] * 17]), [0], 0)
    decoder.admit(decoder.prefill([[5] * 16]), [0], 0)
    with pytest.raises(RuntimeError, match="do not fit"):
        decoder.step(torch.tensor([5]))


def test_products_of_another_depth() -> None:
    compilable()
    found = kernels(torch.float32, CPU)
    assert found is not None
    product = found.product([(torch.ones((4, 6)), None)])
    assert product is not None
    for wrong in (torch.ones(2, 3), torch.ones(1, 6, dtype=torch.bfloat16)):
        with pytest.raises(RuntimeError, match="meet weights"):
            product(wrong)


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
