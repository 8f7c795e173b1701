from __future__ import annotations

import pytest
import torch
from torch import nn

from heed.errors import UserError
from heed.models.checkpoints import (
    load_checkpoint,
    load_module_tensors,
    load_optimizer_tensors,
    module_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from heed.models.forward import completion_logprobs
from heed.models.language_model import attach_lora


def train(model, optimizer, batch, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        logprobs, _ = completion_logprobs(model, batch)
        (-logprobs.sum() / batch.target.sum()).backward()
        optimizer.step()


def adamw(model):
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [{"params": weights[::2], "weight_decay": 0.1}, {"params": weights[1::2]}]
    return torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))


@pytest.mark.parametrize("kind", ["llama", "qwen2", "lora"])
def test_three_steps_saved_and_three_more_are_six_straight_to_the_bit(
    tiny, sequences, tmp_path, kind
):
    def make():
        lm = tiny("llama" if kind == "lora" else kind)
        return attach_lora(lm, rank=2, alpha=4) if kind == "lora" else lm

    only_trainable = kind == "lora"
    straight = make()
    batch = sequences(straight)
    optimizer = adamw(straight.model)
    train(straight.model, optimizer, batch, 3)
    weights = module_tensors(straight.model, only_trainable=only_trainable)
    moments = optimizer_tensors(optimizer)
    tensors = {f"module/{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in moments.items()}
    tensors["rng"] = torch.random.get_rng_state()
    save_checkpoint(tmp_path / "last", tensors, {"iteration": 3, "coef": 0.1})
    train(straight.model, optimizer, batch, 3)

    resumed = make()
    optimizer = adamw(resumed.model)
    loaded, state = load_checkpoint(tmp_path / "last")
    assert state == {"iteration": 3, "coef": 0.1}
    assert torch.equal(loaded["rng"], tensors["rng"])
    parts = {
        part: {
            name.removeprefix(f"{part}/"): tensor
            for name, tensor in loaded.items()
            if name.startswith(part)
        }
        for part in ("module", "optimizer")
    }
    if only_trainable:
        assert all("lora_" in name for name in parts["module"])
    load_module_tensors(resumed.model, parts["module"], only_trainable=only_trainable)
    load_optimizer_tensors(optimizer, parts["optimizer"])
    train(resumed.model, optimizer, batch, 3)
    want = straight.model.state_dict()
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, want[name]), name


def test_tied_weights_are_stored_once_and_stay_tied(tiny):
    model, other = tiny("qwen2").model, tiny("qwen2", seed=1).model
    tensors = module_tensors(model)
    assert "model.embed_tokens.weight" in tensors
    assert "lm_head.weight" not in tensors
    load_module_tensors(other, tensors)
    assert other.lm_head.weight is other.model.embed_tokens.weight
    assert torch.equal(other.lm_head.weight, model.lm_head.weight)


def test_buffers_views_and_scalars_survive(tmp_path):
    module = nn.BatchNorm1d(3)
    module(torch.randn(4, 3))
    table = torch.arange(12.0).view(3, 4)
    tensors = module_tensors(module) | {"view": table[:, 1], "turned": table.T, "whole": table}
    save_checkpoint(tmp_path / "c", tensors, {})
    loaded, _ = load_checkpoint(tmp_path / "c")
    assert "num_batches_tracked" in loaded
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_a_checkpoint_of_something_else(tiny):
    model = tiny("llama").model
    tensors = module_tensors(model)
    with pytest.raises(UserError, match="does not fit the model"):
        load_module_tensors(tiny("llama", hidden_size=16).model, tensors)
    with pytest.raises(UserError, match="does not fit the model"):
        load_module_tensors(tiny("gpt2").model, tensors)
    batch_optimizer = adamw(model)
    completion = model(torch.arange(5)[None]).logits.sum()
    completion.backward()
    batch_optimizer.step()
    moments = optimizer_tensors(batch_optimizer)
    other = torch.optim.AdamW([nn.Parameter(torch.zeros(2))])
    with pytest.raises(UserError, match="does not fit the optimiser"):
        load_optimizer_tensors(other, moments)


def test_no_checkpoint_or_a_damaged_one(tmp_path):
    with pytest.raises(UserError, match="Cannot read the checkpoint"):
        load_checkpoint(tmp_path / "none")
    path = tmp_path / "c"
    save_checkpoint(path, {"a": torch.ones(3)}, {})
    data = (path / "tensors.safetensors").read_bytes()
    (path / "tensors.safetensors").write_bytes(data[:-4])
    with pytest.raises(UserError, match="Cannot read the checkpoint"):
        load_checkpoint(path)
