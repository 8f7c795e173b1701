"""The part of a rollout server that has the model: it draws what is asked, and takes new weights.

One thread draws, all that was asked alike together. An answer depends on its request's seed and on
nothing that was drawn beside it. New weights are written into the model between two batches; while
they come, `version` is None, and stays so when only a part of them came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heed.models.language_model import LanguageModel
from heed.models.modes import disable_dropout
from heed.sampling.local import LocalSampler, uniform_numbers
from heed.sampling.transfer import GROUPS, Group, Meeting, own_address
from heed.types import Finish

GATHERING = 0.005
"""Seconds in which further requests may join the first one of a batch."""
FULL = 8192
"""Requests that wait, beyond which further ones are turned away."""


class Refused(ValueError):  # noqa: N818 - an answer to a request
    """A request that can never be served; its text says why."""


class Busy(RuntimeError):  # noqa: N818 - an answer to a request
    """A request that may be served later."""


@dataclass(frozen=True)
class Alike:
    """What requests have in common that are drawn together."""

    n: int
    max_tokens: int
    temperature: float
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """`alike.n` answers to a prompt by its ids."""

    ids: tuple[int, ...]
    seed: int
    alike: Alike


@dataclass(frozen=True)
class Drawn:
    """One answer, and the version of the weights that drew it."""

    ids: list[int]
    logprobs: list[float]
    text: str
    finish: Finish | None
    """None: it was broken off."""
    version: str | None


@dataclass
class _Waiting:
    ask: Ask
    future: Future[list[Drawn]]


class Engine:
    """A model that answers requests until `close`.

    Args:
        lm: the model; its weights are overwritten by those that come.
        transfer: how they come, "gloo" or "nccl".
        half: whether it computes in bfloat16.
        rows: answers drawn side by side.
        timeout: seconds a sending of weights may stand still.
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        transfer: str = "gloo",
        half: bool = False,
        rows: int = 256,
        timeout: float = 120.0,
    ) -> None:
        disable_dropout(lm.model)
        self.lm = lm
        self.transfer, self.half, self.rows, self.timeout = transfer, half, rows, timeout
        self.version: str | None = None
        self.paused = False
        self.group: Group | None = None
        self.model_lock = threading.Lock()
        """Held by who draws, or writes weights."""
        self.changed = threading.Condition()
        self.waiting: list[_Waiting] = []
        self.breaking = False
        self.closed = False
        self.thread = threading.Thread(target=self._serve, daemon=True, name="heed-rollouts")
        self.thread.start()

    def submit(self, ask: Ask) -> Future[list[Drawn]]:
        """The answers, once they are drawn.

        Raises Refused or Busy.
        """
        self._check(ask)
        future: Future[list[Drawn]] = Future()
        with self.changed:
            if len(self.waiting) >= FULL:
                raise Busy(f"{FULL} requests wait already")
            self.waiting.append(_Waiting(ask, future))
            self.changed.notify_all()
        return future

    def pause(self, mode: str) -> None:
        """Draw no more: `abort` breaks off what was asked, `wait` finishes what is being drawn,
        `keep` leaves it to be drawn from its beginning after `resume`.
        """
        if mode not in ("abort", "wait", "keep"):
            raise Refused(f"mode is abort, wait or keep, not {mode!r}")
        with self.changed:
            self.paused = True
            if mode == "abort":
                self._break_off(self.waiting)
                self.waiting = []
            self.breaking = mode == "abort"
        with self.model_lock:  # until nothing is being drawn
            self.breaking = False

    def resume(self) -> None:
        with self.changed:
            self.paused = False
            self.changed.notify_all()

    def meet(self, where: Mapping[str, Any]) -> None:
        """Join the group of who will send weights; another one that was there is left."""
        address, port = str(where["master_address"]), int(where["master_port"])
        with self.model_lock:
            self._part()
            own = own_address(address, port)
            rank, size = int(where["rank_offset"]), int(where["world_size"])
            self.group = GROUPS[self.transfer](
                Meeting(address, port, rank, size, self.timeout, own)
            )

    def begin(self) -> None:
        """Weights are about to come: those that are here have no version any more."""
        self.version = None

    @torch.no_grad()
    def receive(self, names: Sequence[str], dtypes: Sequence[str], shapes: Sequence[Any]) -> None:
        """Write the weights that come into the model.

        Raises Refused for weights that it does not have; the group is left then, for whoever sends
        may wait in it.
        """
        own, group = dict(self.lm.model.named_parameters()), self.group
        try:
            kinds = _kinds(own, names, dtypes, shapes)
        except Refused:
            with self.model_lock:
                if self.group is group:
                    self._part()
            raise
        with self.model_lock:
            if group is None:
                raise Refused("no group: /init_weight_transfer_engine comes first")
            if self.group is not group:
                raise Refused("another group was met meanwhile")
            self.version = None
            try:
                for name, kind in zip(names, kinds, strict=True):
                    come = torch.empty(own[name].shape, dtype=kind, device=group.device)
                    group.broadcast(come)
                    own[name].copy_(come)
            except RuntimeError:
                self._part()
                raise

    def finish(self, version: str | None) -> None:
        self.version = version

    def close(self) -> None:
        with self.changed:
            self.closed = self.breaking = True
            self._break_off(self.waiting)
            self.waiting = []
            self.changed.notify_all()
        self.thread.join(10)
        self._part()

    def _part(self) -> None:
        group, self.group = self.group, None
        if group is not None:
            group.close()

    def _check(self, ask: Ask) -> None:
        config = self.lm.model.config.get_text_config()
        if not ask.ids or not all(0 <= token < config.vocab_size for token in ask.ids):
            raise Refused(f"the prompt is no list of tokens below {config.vocab_size}")
        context = getattr(config, "max_position_embeddings", None)
        needed = len(ask.ids) + ask.alike.max_tokens
        if context is not None and needed > context:
            raise Refused(
                f"the prompt has {len(ask.ids)} tokens and the answer may have "
                f"{ask.alike.max_tokens}; the model's context holds {context}"
            )

    def _serve(self) -> None:
        while True:
            with self.changed:
                while not self.closed and (self.paused or not self.waiting):
                    self.changed.wait()
                if self.closed:
                    return
            time.sleep(GATHERING)
            with self.model_lock:
                batch = self._batch()
                if batch:
                    self._answer(batch)

    def _batch(self) -> list[_Waiting]:
        """The first that waits and those like it, up to so many rows."""
        with self.changed:
            if self.paused or not self.waiting:
                return []
            alike = self.waiting[0].ask.alike
            most = max(1, self.rows // alike.n)
            batch = [each for each in self.waiting if each.ask.alike == alike][:most]
            taken = {id(each) for each in batch}
            self.waiting = [each for each in self.waiting if id(each) not in taken]
            return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            found = self._draw([each.ask for each in batch])
        except Exception as error:  # the thread must outlive whatever a model does
            for each in batch:
                each.future.set_exception(error)
            return
        if found is None:
            self._break_off(batch)
            return
        for each, drawn in zip(batch, found, strict=True):
            each.future.set_result(drawn)

    @torch.no_grad()
    def _draw(self, asks: Sequence[Ask]) -> list[list[Drawn]] | None:
        """The answers to requests that are alike; None where they were broken off."""
        alike, version = asks[0].alike, self.version
        sampler = LocalSampler(
            self.lm,
            max_new_tokens=alike.max_tokens,
            temperature=alike.temperature,
            stop=alike.stop,
            batch_size=self.rows,
        )
        numbers = [uniform_numbers(alike.n, alike.max_tokens, ask.seed) for ask in asks]
        table = sampler.table(torch.cat(numbers))
        kind = self.lm.device.type
        with torch.autocast(kind, torch.bfloat16, self.half, cache_enabled=False):
            for _ in sampler.write([list(ask.ids) for ask in asks], alike.n, table):
                if self.breaking:
                    return None
        columns = (table.lengths, table.stopped, table.ids, table.logprobs)
        lengths, stopped, ids, logprobs = (column.tolist() for column in columns)
        rows = [
            Drawn(
                ids[row][:length],
                logprobs[row][:length],
                sampler.text(ids[row][:length]),
                "stop" if stopped[row] else "length",
                version,
            )
            for row, length in enumerate(lengths)
        ]
        return [rows[at * alike.n : (at + 1) * alike.n] for at in range(len(asks))]

    def _break_off(self, broken: Sequence[_Waiting]) -> None:
        for each in broken:
            each.future.set_result([Drawn([], [], "", None, None)] * each.ask.alike.n)


def _kinds(
    own: Mapping[str, Tensor], names: Sequence[str], dtypes: Sequence[str], shapes: Sequence[Any]
) -> list[torch.dtype]:
    """The formats of weights that come. Raises Refused for weights that are not `own`'s."""
    if not len(names) == len(dtypes) == len(shapes):
        raise Refused("names, dtype_names and shapes are not of one length")
    if differing := _differing(own, names, shapes):
        raise Refused(f"the model here has other weights: {differing}")
    kinds = [getattr(torch, name, None) for name in dtypes]
    known = [kind for kind in kinds if isinstance(kind, torch.dtype)]
    if len(known) < len(kinds):
        raise Refused(f"unknown dtype_names: {sorted(set(dtypes))}")
    return known


def _differing(own: Mapping[str, Tensor], names: Sequence[str], shapes: Sequence[Any]) -> str:
    """What the weights that come and those that are here differ in; "" where in nothing."""
    come = dict(zip(names, (list(shape) for shape in shapes), strict=True))
    here = {name: list(weight.shape) for name, weight in own.items()}
    for name in [*come, *here]:
        if come.get(name) != here.get(name):
            return f"{name} is {come.get(name)} there and {here.get(name)} here"
    return ""
