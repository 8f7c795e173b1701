"""Weights on their way from who trains to a server that draws: a group of processes made for that.

A group has nothing to do with the one that torchrun makes, and every server has a group of its own:
one that dies breaks no other. The trainer is rank 0 and everything goes out from there; who it is
told over HTTP (`rollouts.py`), the numbers go through the group.

    gloo   torch.distributed over TCP, weights from and into main memory
    nccl   torch.distributed between GPUs
    vllm   vLLM's own communicator over NCCL, which speaks with no group of torch's

Whoever can reach the ports of a group can disturb it: it is for a network that one trusts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor, distributed
from torch._C._distributed_c10d import TCPStore

from heed.errors import UserError


class Group(Protocol):
    """Processes between which tensors are sent, all in one order."""

    device: torch.device
    """Where tensors must lie."""

    def broadcast(self, tensor: Tensor) -> None:
        """Rank 0's values, contiguous; at every other rank they are written into `tensor`.

        Raises RuntimeError where another process is gone or does not come in time.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Meeting:
    """Where and as whom a process joins a group, and how many seconds anything in it may take."""

    address: str
    port: int
    rank: int
    size: int
    timeout: float
    own: str
    """This process's own address, as the others reach it."""
    store: Any = None
    """Rank 0's, which listens already."""


class _TorchGroup:
    """A group of torch.distributed that is no process's default group."""

    def __init__(self, group: Any, device: torch.device) -> None:
        self.group = group
        self.device = device
        self.options = distributed.BroadcastOptions()
        self.options.rootRank = self.options.rootTensor = 0

    def broadcast(self, tensor: Tensor) -> None:
        self.group.broadcast([tensor], self.options).wait()

    def close(self) -> None:
        self.group.abort()


class _VllmGroup:
    """vLLM's communicator; it needs vLLM installed where the training runs, too."""

    def __init__(self, communicator: Any, device: torch.device) -> None:
        self.communicator = communicator
        self.device = device

    def broadcast(self, tensor: Tensor) -> None:
        self.communicator.broadcast(tensor, src=0, stream=torch.cuda.current_stream())
        torch.cuda.current_stream().synchronize()

    def close(self) -> None:
        self.communicator = None


def _gloo(at: Meeting) -> Group:
    kind: Any = distributed.ProcessGroupGloo
    options = kind._Options()
    options._timeout = timedelta(seconds=at.timeout)
    options._threads = 1
    # Not what the host's name says, which may be an address that nobody else can reach.
    options._devices = [kind.create_device(hostname=at.own)]
    return _TorchGroup(kind(_store(at), at.rank, at.size, options), torch.device("cpu"))


def _nccl(at: Meeting) -> Group:
    make = getattr(distributed, "ProcessGroupNCCL", None)
    if make is None or not torch.cuda.is_available():
        raise UserError(
            "transfer: nccl needs GPUs and a torch that was built with NCCL; set transfer: gloo."
        )
    options = make.Options()
    options._timeout = timedelta(seconds=at.timeout)
    device = torch.device("cuda", torch.cuda.current_device())
    return _TorchGroup(make(_store(at), at.rank, at.size, options), device)


def _vllm(at: Meeting) -> Group:
    try:
        from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator
        from vllm.distributed.utils import StatelessProcessGroup
    except ImportError as error:
        raise UserError(
            "transfer: vllm sends weights through vLLM's own communicator, which has to be "
            "installed where the training runs, too (pip install vllm)."
        ) from error
    device = torch.device("cuda", torch.cuda.current_device())
    group = StatelessProcessGroup.create(
        host=at.address, port=at.port, rank=at.rank, world_size=at.size
    )
    return _VllmGroup(PyNcclCommunicator(group, device=device), device)


GROUPS: Mapping[str, Callable[[Meeting], Group]] = {"gloo": _gloo, "nccl": _nccl, "vllm": _vllm}
"""What a recipe calls `transfer`."""
OWN_STORES = frozenset({"vllm"})
"""Those that open the port themselves."""


def opened(transfer: str, own: str, size: int, timeout: float) -> Meeting:
    """Rank 0's place in a new group, on a port that is free."""
    if transfer in OWN_STORES:
        return Meeting(own, _free_port(own), 0, size, timeout, own)
    store = TCPStore(own, 0, size, True, timeout=timedelta(seconds=timeout), wait_for_workers=False)
    return Meeting(own, store.port, 0, size, timeout, own, store)


def own_address(of: str, port: int) -> str:
    """The address of this host from which another one is reached, and so the other way round.

    Raises OSError where there is no way.
    """
    family, kind, _, _, place = socket.getaddrinfo(of, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)  # sends nothing: a datagram socket only looks for its way
        return str(probe.getsockname()[0])


def _store(at: Meeting) -> Any:
    if at.store is not None:
        return at.store
    return TCPStore(at.address, at.port, at.size, False, timeout=timedelta(seconds=at.timeout))


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])
