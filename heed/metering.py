"""What this process has put through models: tokens, answers, floating-point operations.

One account a process, as there is one high-water mark of memory. A forward pass adds what it did
(`heed.models.work`); the pipeline begins the account anew with every stage, and a training loop
writes down what each iteration added, so that a stage which is killed keeps what it had spent.

Amounts may be tensors on a device: they are added there, and nobody waits for them until the
account is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["trained", "forwarded", "sampled", "answers", "flops"]
"""Tokens in forward passes with a gradient, in those without (prompts that are answered among
them), tokens drawn, answers drawn, floating-point operations of the matrices."""
KINDS: tuple[Kind, ...] = ("trained", "forwarded", "sampled", "answers", "flops")


class Meter:
    """Amounts by kind, since the start and since they were last taken."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._since: dict[str, Any] = {}

    def start(self) -> None:
        """Forget everything."""
        self._before, self._since = {}, {}

    def add(self, kind: Kind, amount: Any) -> None:
        """Add a number, or a tensor of one."""
        self._since[kind] = self._since.get(kind, 0) + amount

    def take(self) -> dict[str, float]:
        """What was added since the last take; kinds of which nothing was are left out."""
        taken = {kind: float(amount) for kind, amount in self._since.items()}
        self._since = {}
        self._before = added(self._before, taken)
        return taken

    def total(self) -> dict[str, float]:
        """What was added since the start."""
        self.take()
        return dict(self._before)


def added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Two accounts as one."""
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in {**first, **second}}


METER = Meter()
"""This process's account."""
