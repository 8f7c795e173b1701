"""One rollout server and what ties it to the trainer: how weights get there, step by step.

POST /init_weight_transfer_engine {init_info}      once a group (`transfer.py`)
POST /pause?mode=abort, /start_weight_update
POST /update_weights {update_info}                 and rank 0's broadcasts meanwhile
POST /finish_weight_update {weight_version}, /reset_prefix_cache, /resume
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from torch import Tensor

from heed.errors import UserError
from heed.sampling.endpoint import (
    UNREADABLE,
    Endpoint,
    Passing,
    check_address,
    key_in,
    message,
)
from heed.sampling.transfer import GROUPS, Group, opened, own_address

Outcome = TypeVar("Outcome")

SAYING = 5.0
"""Seconds for a server to say why it left a group: a refusal says more than the end of the line."""


@dataclass(frozen=True)
class Servers:
    """Where answers are drawn, and how patiently one deals with it.

    Args:
        addresses: of the servers, such as http://10.0.0.2:8000.
        model: its name there; "" asks each server for the first it has.
        transfer: how weights get there, one of `transfer.GROUPS`.
        key: the environment variable that holds the servers' key, if they want one.
        host: this host's address as the servers reach it; "" finds it out.
        timeout: seconds a request, and a sending of the weights, may take.
        retries: see `heed.sampling.fleet.Fleet`.
        concurrency: requests under way at a time, at each server.
    """

    addresses: Sequence[str]
    model: str = ""
    transfer: str = "gloo"
    key: str = "HEED_ROLLOUT_KEY"
    host: str = ""
    timeout: float = 120.0
    retries: int = 12
    concurrency: int = 64

    def __post_init__(self) -> None:
        for address in self.addresses:
            check_address(address)

    def links(self) -> list[Link]:
        """To each of them."""
        key = key_in(self.key)
        return [Link(self, address, key) for address in self.addresses]


class Link:
    """One server: its address, the group that weights travel in, and what it was sent."""

    def __init__(self, servers: Servers, address: str, key: str) -> None:
        self.servers = servers
        self.endpoint = Endpoint.at(
            address.rstrip("/").removesuffix("/v1"),
            key,
            timeout=servers.timeout,
            connections=servers.concurrency + 2,
        )
        self.model = servers.model
        self.group: Group | None = None
        self.version: str | None = None
        """Of the weights that it was sent last; None where that is not known."""
        self.closed = False
        self.acting: list[threading.Thread] = []
        """Those that may be within torch.distributed."""
        self.sendings = 0
        """How often it was sent weights, or was about to be."""
        self.lock = threading.Lock()

    def send(self, version: str, weights: Mapping[str, Tensor]) -> None:
        """Give the server weights, under the name of a version.

        Raises Passing where it cannot take them now, UserError where it never will.
        """
        with self.lock:
            self.sendings += 1
            try:
                if self.group is None or not self._updated(version, weights):
                    self._update(version, weights)
            except Passing as failure:
                self.part()
                raise Passing(str(failure), wait=failure.wait, gone=True) from failure
            except (RuntimeError, OSError) as error:  # of torch.distributed, whatever went wrong
                self.part()
                said = self.endpoint.shown(str(error))
                raise Passing(f"did not take the weights: {said}", gone=True) from error
            self.version = version

    def has(self) -> str | None:
        """The version that the server says it has."""
        return self._asked("/weight_info", lambda said: _version(said["weight_version"]))

    def part(self) -> None:
        """Leave the group; weights that are sent later travel in a new one."""
        group, self.group, self.version = self.group, None, None
        if group is not None:
            group.close()

    def close(self) -> None:
        """Leave the server as it is.

        Whoever is within torch.distributed is waited for (as long as a sending may take): a process
        that ends meanwhile is aborted.
        """
        self.closed = True
        self.part()
        for thread in self.acting:
            thread.join(self.servers.timeout)
        self.endpoint.close()

    def _updated(self, version: str, weights: Mapping[str, Tensor]) -> bool:
        """Whether the group that is there did: a server that was begun anew knows none of ours."""
        try:
            self._update(version, weights)
        except (UserError, RuntimeError):
            self.part()
            return False
        return True

    def _update(self, version: str, weights: Mapping[str, Tensor]) -> None:
        if not self.model:
            self.model = self._asked("/v1/models", lambda said: str(said["data"][0]["id"]))
        if self.group is None:
            self.group = self._meet()
        self._told("POST", "/pause?mode=abort")
        self._told("POST", "/start_weight_update", {})
        self._move(self.group, weights)
        self._told("POST", "/finish_weight_update", {"weight_version": version})
        self._told("POST", "/reset_prefix_cache")
        self._told("POST", "/resume")

    def _meet(self) -> Group:
        """A new group with the server's processes."""
        size = 1 + self._asked("/get_world_size", lambda said: int(said["world_size"]))
        url = httpx2.URL(self.endpoint.address)
        own = self.servers.host or own_address(url.host, url.port or 80)
        at = opened(self.servers.transfer, own, size, self.servers.timeout)
        where = {"master_address": at.address, "master_port": at.port}
        told = {"init_info": {**where, "rank_offset": 1, "world_size": size}}
        return self._while_told(
            lambda: self._told("POST", "/init_weight_transfer_engine", told),
            lambda: GROUPS[self.servers.transfer](at),
        )

    def _move(self, group: Group, weights: Mapping[str, Tensor]) -> None:
        """The weights themselves."""
        update = {
            "names": list(weights),
            "dtype_names": [str(w.dtype).removeprefix("torch.") for w in weights.values()],
            "shapes": [list(w.shape) for w in weights.values()],
        }

        def broadcast() -> None:
            for weight in weights.values():
                group.broadcast(weight.to(group.device).contiguous())

        self._while_told(
            lambda: self._told("POST", "/update_weights", {"update_info": update}), broadcast
        )

    def _while_told(self, tell: Callable[[], Any], act: Callable[[], Outcome]) -> Outcome:
        """act(), while the server does its part because it is told to; what it refuses is raised at
        once, though `act` waits for it yet (in a thread of its own, until that is too long). Where
        `act` fails first, the server has a moment to say why.
        """
        done: dict[str, Any] = {}
        changed = threading.Condition()

        def run(name: str, step: Callable[[], Any]) -> None:
            try:
                outcome = step()
            except BaseException as error:
                outcome = error
            with changed:
                done[name] = outcome
                changed.notify_all()

        if self.closed:
            raise Passing("was left")
        told, acts = (
            threading.Thread(target=run, args=step, daemon=True, name="heed-weights")
            for step in (("told", tell), ("acted", act))
        )
        self.acting = [thread for thread in self.acting if thread.is_alive()] + [acts]
        for thread in (told, acts):
            thread.start()
        with changed:
            changed.wait_for(lambda: len(done) == 2 or any(map(_failed, done.values())))
            if _failed(done.get("acted")) and not isinstance(done["acted"], UserError):
                changed.wait_for(lambda: "told" in done, SAYING)
            failures = [done[name] for name in ("told", "acted") if _failed(done.get(name))]
        if failures:
            raise next((each for each in failures if isinstance(each, UserError)), failures[0])
        outcome: Outcome = done["acted"]
        return outcome

    def _asked(self, path: str, read: Callable[[Any], Outcome]) -> Outcome:
        """What the server says of itself."""
        response = self._told("GET", path)
        try:
            return read(response.json())
        except UNREADABLE as error:
            said = self.endpoint.shown(message(response))
            raise Passing(f"says at {path}: {said}", gone=True) from error

    def _told(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        """Tell the server something that it must not refuse."""
        response = self.endpoint.request(method, path, body)
        if response.status_code != 200:
            said = self.endpoint.shown(message(response))
            raise UserError(
                f"{self.endpoint.address}{path} answered {response.status_code}: {said}. A rollout "
                "server is started by `heed rollouts MODEL`, or by vLLM with "
                "VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config, and serves the very model "
                f"that trains; the key is read from {self.servers.key}."
            )
        return response


def _failed(outcome: Any) -> bool:
    return isinstance(outcome, BaseException)


def _version(said: Any) -> str | None:
    return None if said is None else str(said)
