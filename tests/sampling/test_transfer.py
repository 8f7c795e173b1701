"""Groups over which weights travel."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from heed.errors import UserError
from heed.sampling.transfer import GROUPS, Group, Meeting, opened, own_address

HERE = "127.0.0.1"


def met(size: int, timeout: float = 5.0) -> list[Group]:
    """A group of so many members, all in this process."""
    first = opened("gloo", HERE, size, timeout)
    groups: dict[int, Group] = {}

    def join(rank: int) -> None:
        groups[rank] = GROUPS["gloo"](Meeting(HERE, first.port, rank, size, timeout, HERE))

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(1, size)]
    for thread in threads:
        thread.start()
    groups[0] = GROUPS["gloo"](first)
    for thread in threads:
        thread.join()
    return [groups[rank] for rank in range(size)]


def test_everything_goes_out_from_rank_0_in_order() -> None:
    groups = met(3)
    sent = [torch.arange(5.0), torch.full((2, 3), 7.0), torch.tensor([1, 2])]
    found: dict[int, list[torch.Tensor]] = {}

    def take(rank: int) -> None:
        found[rank] = [torch.empty_like(tensor) for tensor in sent]
        for tensor in found[rank]:
            groups[rank].broadcast(tensor)

    threads = [threading.Thread(target=take, args=(rank,)) for rank in (1, 2)]
    for thread in threads:
        thread.start()
    for tensor in sent:
        groups[0].broadcast(tensor.clone())
    for thread in threads:
        thread.join()
    for rank in (1, 2):
        assert all(torch.equal(a, b) for a, b in zip(sent, found[rank], strict=True))
    for group in groups:
        group.close()


def test_groups_know_nothing_of_each_other() -> None:
    """One breaks; the other goes on."""
    broken, sound = met(2, 60.0), met(2)
    broken[1].close()
    del broken[1]
    taken = torch.zeros(3)
    thread = threading.Thread(target=sound[1].broadcast, args=(taken,))
    thread.start()
    sound[0].broadcast(torch.ones(3))
    thread.join()
    assert taken.tolist() == [1.0, 1.0, 1.0]
    began = time.monotonic()
    big = torch.ones(1 << 24)  # more than the line holds by itself
    with pytest.raises(RuntimeError):
        broken[0].broadcast(big)
    assert time.monotonic() - began < 30


def test_who_does_not_come_is_not_waited_for_for_ever() -> None:
    began = time.monotonic()
    with pytest.raises(RuntimeError):
        GROUPS["gloo"](opened("gloo", HERE, 2, 0.5))
    assert time.monotonic() - began < 5


def test_the_own_address_is_the_one_that_leads_there() -> None:
    assert own_address(HERE, 80) == HERE


def test_what_is_not_here_is_said() -> None:
    with pytest.raises(UserError, match="set transfer: gloo"):
        GROUPS["nccl"](Meeting(HERE, 1, 0, 2, 1.0, HERE))
    with pytest.raises(UserError, match="pip install vllm"):
        GROUPS["vllm"](opened("vllm", HERE, 2, 1.0))


def test_vllm_is_met_as_it_wants_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own names, at a port that it opens itself; against a stand-in of its two classes."""
    calls: list[Any] = []

    class Communicator:
        def __init__(self, group: Any, device: Any) -> None:
            calls.append(("made", group, str(device)))

        def broadcast(self, tensor: Any, src: int, stream: Any) -> None:
            calls.append(("sent", tensor.tolist(), src))

    def create(**where: Any) -> str:
        calls.append(where)
        return "group"

    names = ["vllm", "vllm.distributed", "vllm.distributed.device_communicators"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    pynccl: Any = ModuleType("pynccl")
    pynccl.PyNcclCommunicator = Communicator
    joined: Any = ModuleType("joined")
    joined.StatelessProcessGroup = SimpleNamespace(create=create)
    monkeypatch.setitem(sys.modules, f"{names[2]}.pynccl", pynccl)
    monkeypatch.setitem(sys.modules, f"{names[1]}.utils", joined)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    stream = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    at = opened("vllm", HERE, 3, 1.0)
    group = GROUPS["vllm"](at)
    group.broadcast(torch.ones(2))
    assert calls == [
        {"host": HERE, "port": at.port, "rank": 0, "world_size": 3},
        ("made", "group", "cuda:0"),
        ("sent", [1.0, 1.0], 0),
    ]
