from __future__ import annotations

import pytest
import torch

from heed.models.heads import ValueModel
from heed.models.language_model import attach_lora, save_language_model
from heed.models.reward_model import new_reward_model


def open_head(value_model):
    torch.manual_seed(0)
    torch.nn.init.normal_(value_model.head.weight)
    torch.nn.init.constant_(value_model.head.bias, 0.5)
    return value_model.eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_the_value_at_t_is_read_before_token_t(tiny, sequences, kind):
    lm = tiny(kind)
    batch = sequences(lm)
    value_model = ValueModel.from_language_model(lm)
    assert not value_model(batch).any()
    values = open_head(value_model)(batch).detach()
    assert not values[~batch.target].any()
    for row in range(len(batch)):
        for t in batch.target[row].nonzero()[:, 0].tolist():
            hidden = lm.model.base_model(batch.ids[row, :t][None]).last_hidden_state[0, -1]
            torch.testing.assert_close(
                values[row, t], value_model.head(hidden)[0], atol=1e-4, rtol=1e-4
            )


def test_from_a_reward_model(tiny, sequences, tmp_path):
    save_language_model(tiny("llama", tokenizer="without_pad"), tmp_path / "policy")
    reward_model = new_reward_model(tmp_path / "policy", device="cpu", dtype="float32")
    value_model = ValueModel.from_reward_model(reward_model)
    batch = sequences(reward_model)
    with torch.no_grad():
        value_model.head.weight.copy_(reward_model.head.weight)
        # The reward is read after the last token, the value there before it.
        cut = batch.rows(torch.tensor([1]))
        value = value_model(cut)[0, -1]
        before = type(cut)(cut.ids[:, :-1], cut.mask[:, :-1], cut.target[:, :-1])
        torch.testing.assert_close(value, reward_model.scores(before)[0])
    value_model(batch).sum().backward()
    assert all(weight.grad is None for weight in reward_model.model.parameters())


def test_a_lora_policy_gives_its_merged_backbone_and_all_of_it_trains(tiny, sequences):
    lm = attach_lora(tiny("llama"), rank=4, alpha=8)
    for name, weight in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    batch = sequences(lm)
    value_model = open_head(ValueModel.from_language_model(lm))
    assert all(weight.requires_grad for weight in value_model.parameters())
    assert not any("lora" in name for name, _ in value_model.named_parameters())
    inner = lm.model.get_base_model().base_model
    hidden = inner(batch.ids, attention_mask=batch.mask.long()).last_hidden_state
    want = value_model.head(hidden[:, :-1])[..., 0] * batch.target[:, 1:]
    torch.testing.assert_close(value_model(batch)[:, 1:], want, atol=1e-4, rtol=1e-4)
