from __future__ import annotations

import pytest
import torch

from heed.models.forward import completion_logprobs, has_plain_head
from heed.models.language_model import attach_lora
from heed.ops.batch import Sequences

KINDS = ["llama", "gpt2", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "granite"]


def by_hand(model, ids, prompt_length, temperature):
    """One row alone, without padding, from the model's own logits."""
    logprobs = (model(ids[None]).logits[0].float() / temperature).log_softmax(-1)
    places = torch.arange(prompt_length, len(ids))
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs[places - 1, ids[places]], entropy[places - 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_equal_to_each_row_alone(tiny, sequences, kind, temperature):
    lm = tiny(kind, tokenizer="pad_is_eos")
    batch = sequences(lm)
    with torch.no_grad():
        logprobs, entropy = completion_logprobs(lm.model, batch, temperature=temperature)
        for row in range(len(batch)):
            length = int(batch.mask[row].sum())
            start = int(batch.target[row].nonzero()[0])
            want = by_hand(lm.model, batch.ids[row, :length], start, temperature)
            torch.testing.assert_close(logprobs[row, start:length], want[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(entropy[row, start:length], want[1], atol=1e-5, rtol=1e-5)
    assert not logprobs[~batch.target].any()
    assert not entropy[~batch.target].any()
    assert bool(batch.target[1, -1])  # the end of sequence is scored although it is the pad id
    assert logprobs[1, -1] < 0


@pytest.mark.parametrize("kind", KINDS)
def test_which_models_have_a_plain_head(tiny, kind):
    # A fresh model of usual size has logits so small that a soft cap leaves them unbent.
    lm = tiny(kind, initializer_range=0.02)
    assert has_plain_head(lm.model) == (kind not in {"gemma2", "granite"})


def test_a_head_with_an_adapter_is_not_plain(tiny, sequences):
    lm = tiny("llama")
    assert has_plain_head(lm.model)
    lm = attach_lora(lm, rank=2, alpha=4, targets=["q_proj", "lm_head"])
    assert not has_plain_head(lm.model)
    for name, weight in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    batch = sequences(lm)
    logits = lm.model(batch.ids, attention_mask=batch.mask.long()).logits
    want = logits.log_softmax(-1)[:, :-1].gather(2, batch.ids[:, 1:, None])[..., 0]
    got, _ = completion_logprobs(lm.model, batch)
    torch.testing.assert_close(got[:, 1:], want * batch.target[:, 1:])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_gradient_equals_that_of_the_full_logits(tiny, sequences, kind):
    lm = tiny(kind)
    batch = sequences(lm)
    logprobs, entropy = completion_logprobs(lm.model, batch)
    (logprobs.sum() + 0.3 * entropy.sum()).backward()
    got = {name: weight.grad.clone() for name, weight in lm.model.named_parameters()}
    lm.model.zero_grad()
    logits = lm.model(
        batch.ids, attention_mask=batch.mask.long(), position_ids=batch.positions
    ).logits
    full = logits[:, :-1].log_softmax(-1)
    chosen = full.gather(2, batch.ids[:, 1:, None])[..., 0]
    entropies = -(full.exp() * full).sum(-1)
    ((chosen + 0.3 * entropies) * batch.target[:, 1:]).sum().backward()
    for name, weight in lm.model.named_parameters():
        torch.testing.assert_close(got[name], weight.grad, atol=2e-4, rtol=1e-3, msg=name)


def test_a_batch_without_padding_gives_the_same(tiny, sequences):
    lm = tiny("gpt2")
    batch = sequences(lm, lengths=(6, 4))
    alone = batch.rows(torch.tensor([0]))
    assert bool(alone.mask.all())
    together, _ = completion_logprobs(lm.model, batch)
    apart, _ = completion_logprobs(lm.model, alone)
    torch.testing.assert_close(apart[0], together[0, : apart.shape[1]], atol=1e-5, rtol=1e-5)


def test_a_row_cannot_begin_with_a_target(tiny):
    lm = tiny("llama")
    with pytest.raises(ValueError, match="first token"):
        completion_logprobs(lm.model, Sequences.of([([], [5, 6])], pad=0))
