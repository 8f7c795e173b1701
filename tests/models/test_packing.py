"""Packed documents: what each gives is what it gives alone."""

from __future__ import annotations

import pytest
import torch

from heed.errors import UserError
from heed.models.forward import completion_logprobs, has_plain_head
from heed.models.language_model import attach_lora
from heed.models.packing import by_document, check_packing, packs
from heed.models.reward_model import new_reward_model
from heed.models.varlen import Documents
from heed.ops.batch import laid_out

KINDS = ["llama", "qwen2", "gpt2", "qwen3", "gemma3_text", "granite"]
LENGTHS = (3, 14, 5, 1, 8)


def gradients(lm, batches):
    lm.model.zero_grad()
    for batch in batches:
        (-completion_logprobs(lm.model, batch)[0].sum()).backward()
    return {
        name: weight.grad.clone()
        for name, weight in lm.model.named_parameters()
        if weight.grad is not None
    }


@pytest.mark.parametrize("kind", KINDS)
def test_packed_gives_what_padded_gives(tiny, sequences, kind):
    lm = tiny(kind)
    assert has_plain_head(lm.model) == (kind != "granite")  # logits are packed too
    batch = sequences(lm, lengths=LENGTHS)  # gemma's window of 8 tokens ends inside the second
    check_packing(lm.model.base_model)
    padded, padded_entropy = completion_logprobs(lm.model, laid_out(batch, False))
    together, entropy = completion_logprobs(lm.model, laid_out(batch, True))
    torch.testing.assert_close(together, padded, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropy, padded_entropy, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("tokens", [1, 12, 20, 1000])
def test_the_gradient_is_the_same_for_every_split(tiny, sequences, kind, tokens):
    lm = tiny(kind, initializer_range=0.05)
    batch = sequences(lm, lengths=LENGTHS)
    want = gradients(lm, [laid_out(batch, False)])
    got = gradients(lm, laid_out(batch, True).split(tokens))
    assert got.keys() == want.keys()
    scale = max(float(grad.abs().max()) for grad in want.values())
    for name, grad in want.items():
        torch.testing.assert_close(got[name], grad, atol=1e-5 * scale, rtol=0, msg=name)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gemma3_text"])
def test_no_document_moves_another(tiny, sequences, kind):
    lm = tiny(kind)
    batch = sequences(lm, lengths=LENGTHS)
    other = sequences(lm, seed=1, lengths=LENGTHS)
    changed = laid_out(batch, True)
    changed.ids[1] = other.ids[1]
    with torch.no_grad():
        before, _ = completion_logprobs(lm.model, laid_out(sequences(lm, lengths=LENGTHS), True))
        after, _ = completion_logprobs(lm.model, changed)
    same = [0, 2, 3, 4]
    assert torch.equal(after[same], before[same])
    assert not torch.equal(after[1], before[1])


def test_an_adapter_is_packed_too(tiny, sequences):
    lm = attach_lora(tiny("llama"), rank=2, alpha=4, targets="all-linear")
    for name, weight in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    batch = sequences(lm)
    padded, _ = completion_logprobs(lm.model, laid_out(batch, False))
    together, _ = completion_logprobs(lm.model, laid_out(batch, True))
    torch.testing.assert_close(together, padded, atol=1e-5, rtol=1e-5)


def test_scores_are_packed_too(tiny, sequences, tmp_path):
    lm = tiny("llama")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    model = new_reward_model(tmp_path, device="cpu", dtype="float32")
    batch = sequences(lm)
    torch.testing.assert_close(
        model.scores(laid_out(batch, True)), model.scores(laid_out(batch, False))
    )


def test_the_model_is_left_as_it_was(tiny, sequences):
    lm = tiny("llama")
    before = lm.model.config._attn_implementation
    completion_logprobs(lm.model, laid_out(sequences(lm), True))
    assert lm.model.config._attn_implementation == before == "sdpa"


def test_attention_that_is_not_plain_is_refused(tiny):
    with pytest.raises(UserError, match=r"'gemma2' models cannot be packed.*packing: false"):
        check_packing(tiny("gemma2").model.base_model)


def test_a_recurrence_is_refused(tiny):
    """A state that runs through all tokens of a row would carry one document into the next."""
    lm = tiny("llama")
    layer = lm.model.base_model.layers[0].mlp

    def leak(_module, _args, output):
        return output + output.cumsum(1)

    layer.register_forward_hook(leak)
    with pytest.raises(UserError, match="one document would be seen by the next"):
        check_packing(lm.model.base_model)


def test_a_model_that_cannot_be_told_of_documents_is_refused(tiny):
    backbone = tiny("llama").model.base_model

    class Old(torch.nn.Module):
        config, device = backbone.config, backbone.device

        def forward(self, input_ids, use_cache):
            return backbone(input_ids=input_ids, use_cache=use_cache)

    with pytest.raises(UserError, match="do not take documents"):
        check_packing(Old())


def test_a_model_is_packed_unasked_where_it_can_be(tiny, sequences):
    lm = tiny("llama")
    assert packs(lm.model)
    assert packs(attach_lora(tiny("llama"), rank=2, alpha=4).model)
    assert not packs(tiny("gemma2").model)
    assert not packs(torch.nn.Linear(2, 2))  # no transformer
    batch = sequences(lm, lengths=LENGTHS)
    assert has_plain_head(lm.model)
    assert packs(lm.model.base_model)  # both are found out before
    seen = []
    lm.model.base_model.register_forward_pre_hook(
        lambda _module, _args, inputs: seen.append(tuple(inputs["input_ids"].shape)),
        with_kwargs=True,
    )
    for packing in (None, True, False):
        completion_logprobs(lm.model, laid_out(batch, packing))
    together = (1, int(batch.mask.sum()))
    assert seen == [together, together, tuple(batch.ids.shape)]


def test_what_cannot_be_packed_is_padded_unasked(tiny, sequences):
    lm = tiny("gemma2")
    batch = sequences(lm, lengths=LENGTHS)
    found, _ = completion_logprobs(lm.model, batch)
    want, _ = completion_logprobs(lm.model, laid_out(batch, False))
    assert torch.equal(found, want)


def test_half_precision_is_attended_to_in_float32_on_a_cpu():
    parts = [torch.randn(1, 2, 8, 4).bfloat16() for _ in range(3)]
    documents = Documents([3, 5], torch.device("cpu"))
    found, _ = by_document(None, *parts, None, documents=documents)
    want, _ = by_document(None, *(part.float() for part in parts), None, documents=documents)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, want.bfloat16())
