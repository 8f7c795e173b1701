"""The comparisons of one model with a baseline, and by how much their answers differ."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heed.stats.bootstrap import Array
from heed.stats.win_rates import checked_wins


@dataclass(frozen=True)
class Contest:
    """One model against the baseline, a row a comparison.

    `differences` are the model's answer minus the baseline's, by name: of length, of list items.
    """

    items: Sequence[Hashable]
    wins: Array
    differences: Mapping[str, Array]

    def __post_init__(self) -> None:
        checked_wins(self.wins)
        lengths = {len(self.items), len(self.wins), *map(len, self.differences.values())}
        if len(lengths) != 1:
            raise ValueError(f"items, wins and differences differ in length: {sorted(lengths)}")

    @property
    def clusters(self) -> Sequence[Hashable] | None:
        """The items, where one was answered several times."""
        return self.items if len(set(self.items)) < len(self.items) else None

    def bounded(self, names: Iterable[str] | None = None) -> Array:
        """tanh(d / sd(d)) of the differences, a column each; 0 where no two answers differ.

        Raises:
            ValueError: there are fewer than two comparisons, or all pairs differ by as much, which
                cannot be told from quality.
        """
        if len(self.wins) < 2:
            raise ValueError(f"{len(self.wins)} comparisons are too few to control for anything")
        chosen = self.differences if names is None else names
        columns = [_bounded(name, self.differences[name]) for name in chosen]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.wins), 0))


def _bounded(name: str, values: Array) -> Array:
    d = np.asarray(values, dtype=np.float64)
    if not np.isfinite(d).all():
        raise ValueError(f"a difference of {name} is no number")
    if np.ptp(d) == 0:
        if d[0] != 0:
            raise ValueError(
                f"all {len(d)} pairs differ in {name} by {d[0]:g}: that cannot be told from quality"
            )
        return np.zeros_like(d)
    bounded: Array = np.tanh(d / d.std(ddof=1))
    return bounded
