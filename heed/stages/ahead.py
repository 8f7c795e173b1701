"""The process that draws a policy gradient's next round, for as long as the stage lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from heed.errors import UserError
from heed.losses.policy import LogRatio
from heed.policies.ahead import Ahead
from heed.ranks import Ranks
from heed.recipe import OnPolicy
from heed.run import StageRun
from heed.sampling.ahead import AheadSampler, split_threads
from heed.sampling.local import LocalSampler
from heed.stages.workplace import Workplace


@contextmanager
def drawn_ahead(
    work: Workplace,
    settings: OnPolicy,
    stage: StageRun,
    sampler: LocalSampler,
    log_ratio: LogRatio,
) -> Iterator[Ahead | None]:
    """Within the block another process can draw what `sampler` would, and has half of the threads;
    None, and nothing is changed, without the setting `ahead`.

    Raises UserError under torchrun.
    """
    if settings.ahead is None:
        yield None
        return
    if Ranks.here().count > 1:
        raise UserError(
            f"{stage.name}: `ahead` works with one process that learns, and torchrun started "
            f"{Ranks.here().count}, each of which would draw the same. Start `heed run` without "
            "torchrun, or set ahead to null."
        )
    lora = settings.lora.model_dump(include={"rank", "alpha", "targets"}) if settings.lora else None
    before = torch.get_num_threads()
    own, other = split_threads()
    beside = AheadSampler(
        sampler,
        work.policy_source(settings.policy),
        lora=lora and {**lora, "seed": work.seed(stage.name)},
        half=work.dtype == torch.bfloat16,
        threads=other,
    )
    torch.set_num_threads(own)
    try:
        yield Ahead(
            beside, iterations=settings.iterations, cap=settings.ahead.cap, log_ratio=log_ratio
        )
    finally:
        torch.set_num_threads(before)
        beside.close()
