"""Best of n: nothing to train; what answers for the stage is made where it is sampled from."""

from __future__ import annotations

from heed.recipe import BestOfN
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace
from heed.stats.best_of_n import kl_bound


def best_of_n(_work: Workplace, settings: BestOfN, _stage: StageRun) -> Summary:
    """Leaves its marker only."""
    return {"n": settings.n, "kl_bound": kl_bound(settings.n)}
