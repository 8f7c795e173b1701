"""Who computes what, in one process that is told that it is one of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heed.errors import UserError
from heed.losses.sft import cross_entropy
from heed.models import activations
from heed.models.activations import checkpoint_activations
from heed.models.checkpoint_folder import CheckpointFolder
from heed.models.forward import completion_logprobs
from heed.models.shares import in_shares, micro_batches
from heed.ops.batch import Sequences
from heed.ops.packing import balanced
from heed.ranks import Ranks, _bytes, _lines, alone
from heed.recipe import Ppo, Sft
from heed.rewards.once import AskedOnce
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt


def batch(*lengths: int) -> Sequences:
    return Sequences.of([([1], [2] * (length - 1)) for length in lengths], pad=0)


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def put(rank: int, count: int) -> None:
        monkeypatch.setattr(Ranks, "here", classmethod(lambda cls: cls(rank, count)))
        monkeypatch.setattr(Ranks, "add", lambda *_: None)

    return put


def test_shares_hold_about_the_same_tokens() -> None:
    assert balanced([7, 6, 5, 4, 3, 2], 3) == [[0, 5], [1, 4], [2, 3]]
    assert balanced([9, 1, 1, 1], 2) == [[0], [1, 2, 3]]
    assert balanced([0, 0, 0], 3) == [[0], [1], [2]]
    assert balanced([4], 2) == [[0], []]


def test_all_processes_take_part_in_every_pass(as_rank: Callable[[int, int], None]) -> None:
    rows = batch(12, 3, 3, 3, 2)  # 12 tokens are one micro-batch, the others are two
    taken = {}
    for rank in (0, 1):
        as_rank(rank, 2)
        found = list(micro_batches(rows, 8, packed=False, alike=True))
        taken[rank] = [(micro.cost().tolist(), counted) for micro, counted in found]
        apart = [micro for micro, _ in micro_batches(rows, 8, packed=False, alike=False)]
        assert len(apart) == sum(counted for _, counted in found)
    assert taken[0] == [([12], True), ([2], False)]
    assert taken[1] == [([3, 3], True), ([3, 2], True)]


def test_each_process_fills_in_its_own_rows(as_rank: Callable[[int, int], None]) -> None:
    rows, sums = batch(12, 3, 3, 3, 2), torch.zeros(5)
    for rank in (0, 1, 2):
        as_rank(rank, 3)
        sums += in_shares(rows, 8, lambda part: part.cost().float())
    assert sums.tolist() == [12, 3, 3, 3, 2]
    with pytest.raises(ValueError, match="no results"):
        in_shares(rows.rows(torch.tensor([]).long()), 8, lambda part: part.cost().float())


def test_alone_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heed.ranks.dist.is_initialized", lambda: True)
    monkeypatch.setattr("heed.ranks.dist.get_rank", lambda: 1)
    monkeypatch.setattr("heed.ranks.dist.get_world_size", lambda: 2)
    with alone():
        assert Ranks.here() == Ranks(0, 1)
    assert Ranks.here() == Ranks(1, 2)
    assert Ranks(0, 1).gathered(["a", "b"]) == [["a", "b"]]


def test_a_line_of_the_table_gives_its_answer(toy_lm: Any, toy_prompts: Any) -> None:
    sampler = LocalSampler(toy_lm(), max_new_tokens=6)
    prompts = list(toy_prompts)[:3]
    every = sampler.sample(prompts, n=2, seed=5)
    lines = sampler.numbers(6, seed=5).view(3, 2, -1)
    some = sampler.drawn([prompts[2], prompts[0]], lines[[2, 0]].flatten(0, 1))
    assert [each.ids for each in some] == [every[at].ids for at in (4, 5, 0, 1)]


def test_the_first_process_asks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def reward(completions: Any) -> list[float]:
        asked.append(len(completions))
        return [0.1 + 0.2] * len(completions)

    answers = [Completion(Prompt.of("a"), "b")] * 2
    said: list[str] = []
    monkeypatch.setattr(
        Ranks, "_broadcast", lambda self, texts: said.extend(texts) or said if texts else said
    )
    for rank, wanted in ((0, [0.1 + 0.2] * 2), (1, [0.1 + 0.2] * 2)):
        here = Ranks(rank, 2)
        monkeypatch.setattr(Ranks, "here", classmethod(lambda cls, here=here: here))
        assert AskedOnce(reward)(answers) == wanted
    assert asked == [2]


def test_what_the_first_process_is_refused_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        Ranks, "_broadcast", lambda self, texts: said.extend(texts) or said if texts else said
    )

    def refuse() -> list[str]:
        raise UserError("No such server:\nlook again.")

    for rank in (0, 1):
        with pytest.raises(UserError, match="No such server:\nlook again"):
            Ranks(rank, 2).from_first(refuse)


def test_texts_as_bytes() -> None:
    """Also none at all: a process without a share brings nothing."""
    for texts in ([], [""], ["a", "", "é"]):
        assert _lines(_bytes(texts)) == texts


@pytest.mark.parametrize("padding", [True, False], ids=["packed", "plain"])
def test_layers_are_computed_again_to_the_same_gradient(
    toy_lm: Any, monkeypatch: pytest.MonkeyPatch, padding: bool
) -> None:
    again: list[str] = []
    own = activations._attending

    @contextmanager
    def entered(config: Any, kind: str) -> Iterator[None]:
        again.append(kind)
        with own(config, kind):
            yield

    monkeypatch.setattr(activations, "_attending", entered)
    rows = batch(9, 5, 2) if padding else batch(9, 9)
    found = []
    for checkpointed in (False, True):
        model = toy_lm().model
        if checkpointed:
            checkpoint_activations(model)
        (nll,) = cross_entropy(completion_logprobs(model, rows)[0], rows.target)
        nll.total.backward()
        found.append([weight.grad for weight in model.parameters()])
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
    assert again == ["heed_documents" if padding else "sdpa"] * model.config.num_hidden_layers


def test_layers_that_cannot_be_computed_again_are_refused(
    toy_lm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(nn.Module):
        pass

    monkeypatch.setattr(activations, "GradientCheckpointingLayer", Other)
    with pytest.raises(UserError, match="Leave checkpoint_activations out"):
        checkpoint_activations(toy_lm().model)


@pytest.mark.parametrize("key", ["shard", "checkpoint_activations"])
def test_a_shared_base_stays_whole(key: str) -> None:
    with pytest.raises(ValueError, match=rf"{key} does not go with lora.share"):
        Ppo.model_validate({key: True, "lora": {"share": True}})
    assert getattr(Sft.model_validate({key: True, "lora": {}}), key)


def test_a_checkpoint_in_parts_is_checked(tmp_path: Any) -> None:
    from heed.models.sharded_checkpoints import Writing

    def made(width: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
        module = nn.Linear(width, 3)
        return module, torch.optim.AdamW(module.parameters())

    module, optimizer = made(2)
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    renamed: list[bool] = []
    path = tmp_path / "last-000001"
    Writing(path, module, optimizer, {"n": 1}, lambda: renamed.append(path.exists())).finish()
    assert renamed == [True]
    folder = CheckpointFolder(tmp_path)
    other, others_optimizer = made(2)
    assert folder.load("last", other, others_optimizer) == {"n": 1}
    assert torch.equal(other.weight, module.weight)
    kept: list[Tensor] = [state["exp_avg"] for state in others_optimizer.state.values()]
    assert torch.equal(kept[0], optimizer.state[module.weight]["exp_avg"])
    assert [int(state["step"]) for state in others_optimizer.state.values()] == [1, 1]
    with pytest.raises(UserError, match="does not fit the model: 1 tensors differ"):
        folder.load("last", made(4)[0])
    (path / "rank-00000.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="Cannot read the checkpoint"):
        folder.load("last", other)


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Any) -> None:
    from heed.models.sharded_checkpoints import Writing

    (tmp_path / "checkpoints").write_text("no folder")
    module = nn.Linear(2, 3)
    path = tmp_path / "checkpoints" / "last-000001"
    writing = Writing(path, module, torch.optim.AdamW(module.parameters()), {}, lambda: None)
    with pytest.raises(OSError, match="checkpoints"):
        writing.finish()
