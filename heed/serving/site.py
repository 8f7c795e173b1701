"""What the server serves, as its routes reach it, and who is asked for by a model's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fastapi import Request

from heed.serving.bell import Bell
from heed.serving.callers import Allowance, Places
from heed.serving.counting import Counts
from heed.serving.errors import Refused
from heed.serving.remembering import Memory
from heed.serving.roster import Policy, Roster
from heed.serving.ways import Offer, Way, way_of


@dataclass(frozen=True)
class Terms:
    """What a request may ask for.

    tokens: of an answer at most. body_bytes: of a request. allowance: of one caller. requests: of
    all callers together under way, whether they are answered, wait or are still being read.
    """

    tokens: int = 2048
    body_bytes: int = 1024 * 1024
    allowance: Allowance = field(default_factory=Allowance)
    requests: int = 2048


@dataclass(frozen=True)
class Chosen:
    """Who answers a request, how (None: as it is), and how the client called it."""

    policy: Policy
    way: Way | None
    model: str


@dataclass
class Site:
    """One server's state."""

    roster: Roster
    offer: Offer
    terms: Terms
    places: Places
    memory: Memory | None = None
    bell: Bell = field(default_factory=Bell)
    counts: Counts = field(default_factory=Counts)

    @property
    def models(self) -> list[str]:
        """Every name that a client may ask for."""
        names = self.roster.names
        return [*names, *(f"{name}:{way}" for name in names for way in self.offer.suffixes)]

    def chosen(self, model: str, *, hold: bool = False) -> Chosen:
        """Whom a model's name means; with `hold` its engine is kept until it is released.

        Raises Refused (404) where it is none.
        """
        name, colon, suffix = model.partition(":")
        way = way_of(self.offer, suffix) if colon else None
        find = self.roster.hold if hold else self.roster.find
        policy = find(name) if way is not None or not colon else None
        if policy is None:
            raise Refused(
                404, "model_not_found",
                f"There is no model {model[:200]!r} here. There are: {', '.join(self.models)}.",
                param="model",
            )  # fmt: skip
        return Chosen(policy, way, model)

    def gauges(self) -> Iterator[tuple[str, float, Mapping[str, str]]]:
        """What the engines do now."""
        for name in self.roster.names:
            policy = self.roster.find(name)
            assert policy is not None, "names of the roster have policies"
            load, labels = policy.engine.load(), {"model": name}
            yield "heed_slots", load.slots, labels
            yield "heed_running", load.running, labels
            yield "heed_waiting", load.waiting, labels
            yield "heed_weights_version", policy.version, labels


def site_of(request: Request) -> Site:
    """The server's state."""
    site: Site = request.app.state.site
    return site
