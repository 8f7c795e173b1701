"""Who draws a policy gradient's rounds: this process, another one ahead of it, or servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from heed.losses.policy import LogRatio
from heed.policies.ahead import Rounds
from heed.policies.elsewhere import Elsewhere
from heed.recipe import OnPolicy, RolloutServers
from heed.run import StageRun
from heed.sampling.local import LocalSampler
from heed.sampling.rollout_link import Servers
from heed.sampling.rollouts import RolloutSampler
from heed.stages.ahead import drawn_ahead
from heed.stages.workplace import Workplace
from heed.types import Sampler


@dataclass(frozen=True)
class Drawing:
    """What a method draws with."""

    sampler: Sampler
    """Answers at any moment, by the weights of that moment."""
    rounds: Rounds | None
    """The rounds, where it is not the sampler that draws them."""


@contextmanager
def drawing(
    work: Workplace,
    settings: OnPolicy,
    stage: StageRun,
    sampler: LocalSampler,
    log_ratio: LogRatio,
) -> Iterator[Drawing]:
    """Within the block rounds are drawn as `servers` and `ahead` say.

    Raises UserError under torchrun for `ahead` without servers.
    """
    if settings.servers is None:
        with drawn_ahead(work, settings, stage, sampler, log_ratio) as beside:
            yield Drawing(sampler, beside)
        return
    ahead = settings.ahead is not None
    # A server that comes back in a later round gets what the others got.
    copies = ahead or settings.servers.send_every > 1
    remote = RolloutSampler(sampler, servers_of(settings.servers), copies=copies)
    try:
        yield Drawing(
            remote,
            Elsewhere(
                remote,
                iterations=settings.iterations,
                ahead=ahead,
                every=settings.servers.send_every,
                cap=settings.servers.cap,
                log_ratio=log_ratio,
            ),
        )
    finally:
        remote.close()


def servers_of(settings: RolloutServers) -> Servers:
    """The servers that a recipe names."""
    return Servers(
        settings.addresses,
        model=settings.model,
        transfer=settings.transfer,
        key=settings.key,
        host=settings.host,
        timeout=settings.timeout,
        retries=settings.tries_again,
        concurrency=settings.concurrency,
    )
