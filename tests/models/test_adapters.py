"""Several adapters on one copy of the base's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from heed.errors import UserError
from heed.models.adapters import OWN, adapter_weights, add_adapter, save_adapter, wearing
from heed.models.forward import completion_logprobs
from heed.models.heads import VALUE, ValueModel
from heed.models.language_model import attach_lora, load_language_model, save_language_model
from heed.models.modes import seeded
from heed.models.reward_model import (
    load_reward_model,
    new_reward_model,
    on_shared_base,
    save_reward_model,
    with_adapter,
)

CPU = {"device": "cpu", "dtype": "float32"}
REWARD = "reward/model"


def move(model, name):
    """Away from where an adapter starts: its second factor is zero there."""
    with seeded(7), torch.no_grad():
        for weight in adapter_weights(model, name):
            weight.add_(torch.randn_like(weight), alpha=0.1)


def logprobs(model, batch):
    with torch.no_grad():
        return completion_logprobs(model, batch)[0]


def flags(model):
    return {name: weight.requires_grad for name, weight in model.named_parameters()}


@pytest.fixture
def saved(tiny, tmp_path):
    """A policy and a calibrated reward model that is an adapter on it, in their folders."""

    def make(kind, tokenizer="templated"):
        save_language_model(tiny(kind, tokenizer=tokenizer), tmp_path / "policy")
        reward = with_adapter(new_reward_model(tmp_path / "policy", **CPU), rank=3, alpha=6.0)
        move(reward.model, OWN)
        reward.calibrate(0.7, 2.0)
        save_reward_model(reward, tmp_path / "reward")
        policy = attach_lora(load_language_model(tmp_path / "policy", **CPU), rank=2, alpha=4.0)
        return policy, reward, tmp_path / "reward"

    return make


def test_what_trains_in_a_reward_model_is_its_adapter_and_its_head(saved):
    _, reward, _ = saved("llama")
    trains = [name for name, on in flags(reward.model).items() if on]
    assert all("lora_" in name or name.endswith("score.weight") for name in trains)
    assert len(trains) == 2 * 7 * 2 + 1  # two factors, seven matrices, two layers; the head
    assert isinstance(reward.head, torch.nn.Linear)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "gemma2"])
@pytest.mark.parametrize("tokenizer", ["templated", "pad_is_eos", "without_pad"])
def test_the_same_scores_merged_and_on_a_shared_base(saved, sequences, kind, tokenizer):
    policy, reward, folder = saved(kind, tokenizer)
    rows = sequences(policy)
    batch = replace(rows, ids=rows.ids.masked_fill(~rows.mask, reward.chat.pad_id))
    with torch.no_grad():
        scores = reward.scores(batch)
        plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        logits = plain(input_ids=batch.ids, attention_mask=batch.mask.long()).logits[:, 0]
        torch.testing.assert_close(logits + plain.config.heed_offset, scores)
        torch.testing.assert_close(load_reward_model(folder, **CPU).scores(batch), scores)
        shared = on_shared_base(policy, folder, REWARD)
        torch.testing.assert_close(shared.scores(rows), scores, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            shared.token_scores(rows)[rows.mask], reward.token_scores(batch)[batch.mask],
            atol=1e-5, rtol=1e-5,
        )  # fmt: skip
    assert shared.offset == reward.offset != 0
    again = on_shared_base(policy, folder, REWARD)
    assert len(policy.model.peft_config) == 2
    assert torch.equal(again.scores(rows), shared.scores(rows))


def test_peft_alone_loads_the_adapter(saved, sequences, tmp_path):
    _, reward, folder = saved("llama")
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    base = load_language_model(tmp_path / "policy", **CPU).model.base_model
    plain.base_model.load_state_dict(base.state_dict())
    model = PeftModel.from_pretrained(plain, folder / "adapter").eval()
    batch = sequences(reward)
    logits = model(input_ids=batch.ids, attention_mask=batch.mask.long()).logits[:, 0]
    torch.testing.assert_close(logits + reward.offset, reward.scores(batch))


def test_three_roles_on_one_base_do_not_meet(saved, sequences):
    policy, _, folder = saved("llama")
    batch = sequences(policy)
    bare = logprobs(policy.model, batch)
    move(policy.model, OWN)
    alone = logprobs(policy.model, batch)
    reward = on_shared_base(policy, folder, REWARD)
    value = ValueModel.on_shared_base(policy, folder)
    assert torch.equal(logprobs(policy.model, batch), alone)
    scores = reward.scores(batch)
    assert not torch.allclose(bare, alone, atol=1e-2)
    with wearing(policy.model, None):
        assert torch.equal(logprobs(policy.model, batch), bare)
    # Until it learns, the value's backbone is the reward model's.
    values = value.backbone(input_ids=batch.ids).last_hidden_state
    assert torch.equal(values, reward.backbone(input_ids=batch.ids).last_hidden_state)
    move(policy.model, VALUE)
    assert torch.equal(reward.scores(batch), scores)
    assert torch.equal(logprobs(policy.model, batch), alone)


def test_a_value_model_without_a_reward_model_starts_from_the_policys_base(tiny, sequences):
    policy = attach_lora(tiny("qwen2"), rank=2, alpha=4.0)
    move(policy.model, OWN)
    value = ValueModel.on_shared_base(policy, None)
    batch = sequences(policy)
    with wearing(policy.model, None):
        hidden = policy.model.get_base_model().base_model(batch.ids).last_hidden_state
    assert torch.equal(value.backbone(input_ids=batch.ids).last_hidden_state, hidden)
    assert policy.model.peft_config[VALUE].r == 2


def test_gradient_reaches_what_trains_alone(saved, sequences):
    policy, _, folder = saved("llama")
    reward = on_shared_base(policy, folder, REWARD)
    value = ValueModel.on_shared_base(policy, folder)
    torch.nn.init.ones_(value.head.weight)
    batch = sequences(policy)
    loss = completion_logprobs(policy.model, batch)[0].sum() + value(batch).sum()
    assert not reward.scores(batch).requires_grad  # looked at between forward and backward
    loss.backward()
    reached = {
        name: bool(weight.grad.any())
        for name, weight in policy.model.named_parameters()
        if weight.grad is not None
    }
    assert all(f".{OWN}." in name or f".{VALUE}." in name for name in reached)
    assert {weight is not None for weight in (value.head.weight.grad,)} == {True}
    # Each second factor starts the other way: the policy's is zero, the value's is the reward's.
    assert {name for name, any_ in reached.items() if f".{OWN}." in name and any_} == {
        name for name in reached if f"lora_B.{OWN}." in name
    }
    assert all(any_ for name, any_ in reached.items() if f".{VALUE}." in name)
    assert all(weight.grad is None for weight in adapter_weights(policy.model, REWARD))
    assert reward.head.weight.grad is None


def broken(model, adapter, before):
    with wearing(model, adapter):
        assert flags(model) == before
        with wearing(model, VALUE):  # blocks nest
            assert flags(model) == before
        raise KeyError


def test_what_takes_a_gradient_is_the_same_within_and_after_also_when_something_breaks(saved):
    policy, _, folder = saved("llama")
    start = flags(policy.model)
    add_adapter(policy.model, VALUE, None, trains=True)
    on_shared_base(policy, folder, REWARD)
    before = flags(policy.model)
    assert {name: before[name] for name in start} == start
    assert sum(before.values()) == 2 * sum(start.values())
    for adapter in (REWARD, VALUE, None):
        with pytest.raises(KeyError):
            broken(policy.model, adapter, before)
        assert flags(policy.model) == before
        assert policy.model.active_adapters == [OWN]
        layers = [part for part in policy.model.modules() if hasattr(part, "lora_A")]
        assert all(layer.active_adapters == [OWN] for layer in layers)
        assert not any(layer.disable_adapters for layer in layers)


def test_within_a_bare_block_another_adapter_can_be_worn(saved, sequences):
    policy, _, folder = saved("llama")
    reward = on_shared_base(policy, folder, REWARD)
    batch = sequences(policy)
    scores = reward.scores(batch)
    with wearing(policy.model, None):
        bare = logprobs(policy.model, batch)
        assert torch.equal(reward.scores(batch), scores)
        assert torch.equal(logprobs(policy.model, batch), bare)


def test_what_is_saved_of_the_policy_is_its_own_adapter(saved, sequences, tmp_path):
    policy, _, folder = saved("llama")
    move(policy.model, OWN)
    on_shared_base(policy, folder, REWARD)
    ValueModel.on_shared_base(policy, folder)
    save_language_model(policy, tmp_path / "after")
    batch = sequences(policy)
    again = load_language_model(tmp_path / "after", **CPU)
    torch.testing.assert_close(logprobs(again.model, batch), logprobs(policy.model, batch))
    assert not any("lora" in name for name, _ in again.model.named_parameters())
    files = sorted(path.name for path in (tmp_path / "after/adapter").iterdir())
    assert "adapter_model.safetensors" in files
    assert not any(path.is_dir() for path in (tmp_path / "after/adapter").iterdir())
    save_adapter(again.model, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_head_gets_no_adapter(tiny, tmp_path):
    save_language_model(tiny("llama"), tmp_path / "policy")
    with pytest.raises(UserError, match="trains in full"):
        with_adapter(new_reward_model(tmp_path / "policy", **CPU), rank=2, alpha=4, targets="score")
    with pytest.raises(UserError, match="LoRA cannot be attached"):
        with_adapter(new_reward_model(tmp_path / "policy", **CPU), rank=2, alpha=4, targets="nope")


def test_a_folder_without_a_head(saved, tmp_path):
    policy, _, folder = saved("llama")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no score\.weight"):
        on_shared_base(policy, folder, REWARD)


def test_an_adapter_that_does_not_fit_the_base_is_refused(tiny, saved, tmp_path):
    policy, _, folder = saved("llama")
    file = folder / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    lost = next(name for name in tensors if "lora_B" in name)
    save_file({name: each for name, each in tensors.items() if name != lost}, file)
    with pytest.raises(UserError, match=r"does not fit a LlamaForCausalLM .* It has no .*lora_B"):
        on_shared_base(policy, folder, REWARD)
    # A reward model's pad token of its own is one row more than the policy's embeddings have.
    save_language_model(tiny("llama", tokenizer="without_pad"), tmp_path / "padless")
    own = with_adapter(
        new_reward_model(tmp_path / "padless", **CPU), rank=2, alpha=4.0, targets=["embed_tokens"]
    )
    save_reward_model(own, tmp_path / "wider")
    lm = attach_lora(load_language_model(tmp_path / "padless", **CPU), rank=2, alpha=4.0)
    with pytest.raises(UserError, match=r"does not fit a LlamaForCausalLM .* size mismatch"):
        on_shared_base(lm, tmp_path / "wider", REWARD)
