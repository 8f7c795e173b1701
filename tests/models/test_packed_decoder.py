"""The compiled forward of packed documents gives what the model's own gives, or is not taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from heed.models import forward, packed_decoder
from heed.models.forward import completion_logprobs, hidden_states_at
from heed.models.language_model import attach_lora
from heed.models.packed_decoder import packed_decoder as decoder
from heed.ops import logprobs
from heed.ops.batch import Packed, Sequences

COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "biased": ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4}),
    "mistral": ("mistral", {**COMMON, "sliding_window": 6}),
    "qwen2": ("qwen2", COMMON),
    "qwen3": ("qwen3", {**COMMON, "head_dim": 8}),
    "smollm3": ("smollm3", {**COMMON, "num_hidden_layers": 4}),
}


@pytest.fixture
def made(tiny):
    """A model whose every weight counts, biases and norms too."""

    def make(name: str) -> Any:
        kind, more = KINDS[name]
        model = tiny(kind, **more).model
        generator = torch.Generator().manual_seed(1)
        for label, weight in model.named_parameters():
            if weight.ndim == 1:
                noise = torch.rand(weight.shape, generator=generator) - 0.5
                weight.data.copy_(noise + ("norm" in label))
        return model

    return make


def rows() -> Packed:
    generator = torch.Generator().manual_seed(0)
    items = [
        (torch.randint(3, 20, (before,), generator=generator).tolist(),
         torch.randint(3, 20, (after,), generator=generator).tolist())
        for before, after in ((4, 9), (1, 1), (7, 20), (2, 5))
    ]  # fmt: skip
    plain = Sequences.of(items, 0)
    return Packed(plain.ids, plain.mask, plain.target)


def learned(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Log-probs and the gradient of all weights."""
    model.zero_grad()
    logprobs, entropy = completion_logprobs(model, rows())
    (logprobs.sum() + 0.3 * entropy.sum()).backward()
    gradients = {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    return logprobs.detach(), gradients


def needs_compiler() -> None:
    if packed_decoder.fused(torch.float32, torch.device("cpu")) is None:
        pytest.skip("no C compiler")


def held_together(model: Any, monkeypatch: pytest.MonkeyPatch, allowed: float) -> None:
    needs_compiler()
    assert decoder(model) is not None
    ours, mine = learned(model)
    monkeypatch.setattr(forward, "packed_decoder", lambda _: None)
    theirs, plain = learned(model)
    assert (ours - theirs).abs().max() <= allowed
    assert mine.keys() == plain.keys()
    largest = max(float(each.abs().max()) for each in plain.values())
    for name, gradient in plain.items():
        assert (mine[name] - gradient).abs().max() <= allowed * largest, name


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("lora", [False, True], ids=str)
def test_the_same_numbers(tiny, made, monkeypatch, name, lora):
    model = made(name)
    if lora:
        lm = tiny(KINDS[name][0], **KINDS[name][1])
        model = attach_lora(lm, rank=2, alpha=4, dropout=0.0, targets="all-linear").model
        for label, weight in model.named_parameters():
            if "lora_B" in label:
                torch.nn.init.normal_(weight, std=0.1)
    held_together(model, monkeypatch, 2e-5)


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_bfloat16_is_as_near_as_the_models_own(made, monkeypatch, name):
    """Both lie about as far from float32, on average over the tokens."""
    needs_compiler()
    model = made(name)
    exact, _ = learned(model)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        assert decoder(model) is not None
        ours, _ = learned(model)
        monkeypatch.setattr(forward, "packed_decoder", lambda _: None)
        theirs, _ = learned(model)
    target = rows().target
    apart, own = ((each - exact)[target].abs().mean() for each in (ours, theirs))
    assert 0 < apart < 0.03
    assert apart < 2 * own


class Shapes(TorchDispatchMode):
    """Notes the shapes of products of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[Any, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.mm.default, torch.ops.aten.mm.out):
            self.seen.add((tuple(args[0].shape), tuple(args[1].shape)))
        return func(*args, **(kwargs or {}))


def of_lengths(*lengths: int) -> Packed:
    texts = [list(range(3, 3 + length)) for length in lengths]
    plain = Sequences.of([(text[:4], text[4:]) for text in texts], 0)
    return Packed(plain.ids, plain.mask, plain.target)


def half(model: Any, sequences: Packed, *, spared: bool, monkeypatch: Any) -> dict[str, Tensor]:
    """Log-probs and gradients in bfloat16, with spare rows or without."""
    model.zero_grad()
    with monkeypatch.context() as changed:
        if not spared:
            for module in (forward, packed_decoder, logprobs):
                changed.setattr(module, "spare", lambda rows, dtype, device: 0)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            found, entropy = completion_logprobs(model, sequences)
        (found.sum() + 0.3 * entropy.sum()).backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    return {"logprobs": found.detach(), "entropy": entropy.detach(), **gradients}


@pytest.mark.parametrize("own_way", [False, True], ids=["compiled", "own way"])
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen3"])
def test_spare_rows_change_nothing(made, monkeypatch, name, own_way):
    needs_compiler()
    if own_way:
        monkeypatch.setattr(forward, "packed_decoder", lambda _: None)
    model, texts = made(name), of_lengths(17, 17, 16, 16)  # 66 tokens and two spare ones
    want = half(model, texts, spared=False, monkeypatch=monkeypatch)
    got = half(model, texts, spared=True, monkeypatch=monkeypatch)
    for label in want:
        near = 2.0**-7 * want[label].abs().max()
        assert torch.allclose(got[label], want[label], rtol=0.0, atol=float(near)), label


@pytest.mark.parametrize("own_way", [False, True], ids=["compiled", "own way"])
def test_batches_of_other_lengths_have_the_same_shapes(made, monkeypatch, own_way):
    """So that no product is planned anew."""
    needs_compiler()
    if own_way:
        monkeypatch.setattr(forward, "packed_decoder", lambda _: None)
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch without oneDNN")
    model = made("llama")
    half(model, of_lengths(9, 8), spared=True, monkeypatch=monkeypatch)  # the probes
    batches = [(18, 18, 17, 17, 17, 17), (17, 17, 17, 17, 17, 17), (17, 16, 17, 17, 17, 17)]
    seen = []
    for lengths in batches:
        with Shapes() as shapes:
            half(model, of_lengths(*lengths), spared=True, monkeypatch=monkeypatch)
        seen.append(shapes.seen)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) > 10
    with Shapes() as shapes:
        half(model, of_lengths(*batches[1]), spared=False, monkeypatch=monkeypatch)
    assert not shapes.seen & seen[0]


def test_hidden_states_at_some_places(made, monkeypatch):
    """Of a backbone (a value model's), at the last token of every row."""
    needs_compiler()
    backbone, batch = made("llama").model, rows()
    places = torch.zeros_like(batch.mask)
    places[torch.arange(len(batch)), batch.cost() - 1] = True
    ours = hidden_states_at(backbone, batch, places)
    monkeypatch.setattr(forward, "packed_decoder", lambda _: None)
    torch.testing.assert_close(ours, hidden_states_at(backbone, batch, places))


def test_no_gradient_is_left_by_the_probe(made):
    needs_compiler()
    model = made("llama").requires_grad_(False)
    assert decoder(model) is not None
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(weight.requires_grad for weight in model.parameters())


def test_who_goes_the_models_own_way(tiny, made, monkeypatch):
    needs_compiler()
    assert decoder(tiny("gpt2").model) is None
    model = made("llama")
    with monkeypatch.context() as patch:
        patch.setenv("HEED_COMPILED", "no")
        assert decoder(model) is None
    assert decoder(model) is not None
    hook = model.model.layers[0].register_forward_pre_hook(lambda *_: None)
    assert decoder(model) is None
    hook.remove()
    model.model.layers[1].self_attn.attention_dropout = 0.1
    assert decoder(model.eval()) is not None
    assert decoder(model.train()) is None
    model.model.layers[1].self_attn.attention_dropout = 0.0
    assert decoder(made("llama").double()) is None


def test_one_that_computes_otherwise_is_found_out(made):
    """A layer that a subclass replaced looks the same and does more."""
    needs_compiler()
    model = made("llama")

    class Doubled(type(model.model.layers[0].mlp)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return 2.0 * super().forward(x)

    model.model.layers[1].mlp.__class__ = Doubled
    assert decoder(model) is None


def test_long_documents_go_the_models_own_way(made, monkeypatch):
    needs_compiler()
    asked: list[Any] = []
    monkeypatch.setattr(forward, "packed_decoder", asked.append)
    monkeypatch.setattr(forward, "LONGEST", 26)
    completion_logprobs(made("llama"), rows())
    assert not asked
    monkeypatch.setattr(forward, "LONGEST", 27)
    completion_logprobs(made("llama"), rows())
    assert len(asked) == 1
