"""A stage's checkpoints: the newest of each name, whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from heed.errors import UserError
from heed.models.checkpoint_folder import CheckpointFolder


def model(value: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    module = nn.Linear(2, 2)
    nn.init.constant_(module.weight, value)
    module.bias.requires_grad_(False)
    optimizer = torch.optim.AdamW([module.weight], lr=0.1)
    module.weight.grad = torch.full_like(module.weight, value)
    optimizer.step()
    return module, optimizer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").load("last", *model(0.0)) is None


def test_the_newest_of_each_name_stays(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for iteration in (5, 10, 100):
        folder.save("last", iteration, *model(float(iteration)), {"at": iteration})
        if iteration < 100:
            folder.save("best", iteration, *model(-float(iteration)), {"at": -iteration})
    assert names(tmp_path) == ["best-000010", "last-000100"]
    module, optimizer = model(0.0)
    assert folder.load("best", module) == {"at": -10}
    assert torch.equal(module.weight, model(-10.0)[0].weight)
    assert folder.load("last", module, optimizer) == {"at": 100}
    expected, its_optimizer = model(100.0)
    assert torch.equal(module.weight, expected.weight)
    (found,), (wanted,) = (o.state_dict()["state"].values() for o in (optimizer, its_optimizer))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_frozen_weights_are_left_alone(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save("last", 1, *model(1.0), {})
    module, optimizer = model(0.0)
    bias = module.bias.clone()
    folder.load("last", module, optimizer)
    assert torch.equal(module.bias, bias)


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save("last", 1, *model(1.0), {"at": 1})
    half = tmp_path / ".last-000002.abc"
    half.mkdir()
    (half / "tensors.safetensors").write_text("half")
    assert folder.load("last", *model(0.0)) == {"at": 1}
    assert names(tmp_path) == ["last-000001"]


def test_a_kill_before_the_older_one_was_removed(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path).save("last", 1, *model(1.0), {"at": 1})
    (tmp_path / "last-000001").rename(tmp_path / "aside")
    CheckpointFolder(tmp_path).save("last", 2, *model(2.0), {"at": 2})
    (tmp_path / "aside").rename(tmp_path / "last-000001")
    assert CheckpointFolder(tmp_path).load("last", *model(0.0)) == {"at": 2}


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save("last", 1, *model(1.0), {})
    with pytest.raises(UserError, match="does not fit the model"):
        folder.load("last", nn.Linear(3, 2))
