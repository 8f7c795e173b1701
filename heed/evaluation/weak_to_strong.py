"""What a strong model makes of a weak one's labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heed.stats.intervals import Estimate, ratio_interval


def gap_recovered(
    weak: Sequence[float],
    student: Sequence[float],
    ceiling: Sequence[float],
    clusters: Sequence[str],
) -> Estimate | None:
    """PGR = (student - weak) / (ceiling - weak), of how right each is on the same comparisons.

    Burns et al. 2023 (arXiv:2312.09390), section 3: 0 imitates the supervisor, 1 reaches what the
    truth teaches. The interval is the delta method's, over clusters of comparisons; what another
    training seed would bring is not in it. None where the ceiling is not above the supervisor:
    there is no gap to recover.
    """
    gain, gap = np.array(student) - np.array(weak), np.array(ceiling) - np.array(weak)
    return ratio_interval(gain, gap, clusters) if gap.mean() > 0 else None
