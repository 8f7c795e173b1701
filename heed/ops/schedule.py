"""Learning-rate schedules: the factor on the peak rate at a share of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping


def _warm(done: float, warmup: float) -> float | None:
    """The rising part; None once it is over."""
    return done / warmup if done < warmup else None


def constant(done: float, warmup: float = 0.0) -> float:
    """1 after the warm-up."""
    rising = _warm(done, warmup)
    return 1.0 if rising is None else rising


def linear(done: float, warmup: float = 0.0) -> float:
    """From 1 after the warm-up to 0 at the end."""
    rising = _warm(done, warmup)
    return (1.0 - done) / (1.0 - warmup) if rising is None else rising


def cosine(done: float, warmup: float = 0.0) -> float:
    """Half a cosine from 1 after the warm-up to 0 at the end (Loshchilov & Hutter 2017)."""
    rising = _warm(done, warmup)
    past = (done - warmup) / (1.0 - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * past)) if rising is None else rising


SCHEDULES: Mapping[str, Callable[[float, float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
}
