"""A fleet of endpoints that draw answers for one trainer, simulated event by event.

Every endpoint draws so many answers side by side, a token of each in a time that does not depend on
their number (drawing is bound by the reading of weights). Endpoints fail at random, lose what they
were drawing, and come back; what was lost is drawn again, by whoever is free, with the weights of
then. An answer's version is that of the weights it was begun with, its staleness the optimiser's
rounds since then when it is learned from.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

Lengths = Callable[[Random], float]
"""Tokens of one answer, drawn."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Endpoints, answers that each draws side by side, seconds a token of each of them, mean
    seconds between failures of one endpoint, and seconds until it is back.
    """

    endpoints: int = 8
    slots: int = 64
    token: float = 0.02
    mtbf: float = math.inf
    restart: float = 300.0


@dataclass(frozen=True, slots=True)
class Learner:
    """Answers a round, seconds to learn from them, seconds to bring the weights to all
    endpoints.
    """

    batch: int = 512
    seconds: float = 20.0
    sync: float = 2.0


@dataclass(frozen=True, slots=True)
class Policy:
    """When an answer may be begun, and which are learned from.

    `staleness`: rounds that an answer may be old. `barrier`: a round is begun when the one before
    it is all there, and drawn with the weights of that moment. `in_order`: a round learns from the
    answers that were begun for it; else from those that are there first, and what would be too old
    is thrown away.
    """

    name: str
    staleness: int = 0
    barrier: bool = False
    in_order: bool = True


SYNCHRONOUS = Policy("synchronous")
AHEAD = Policy("one round ahead", 1, barrier=True)
POLICIES = (
    SYNCHRONOUS,
    AHEAD,
    *(Policy(f"at most {most} old", most) for most in (1, 2, 4)),
    *(Policy(f"first come, at most {most}", most, in_order=False) for most in (1, 2, 4)),
)


@dataclass(frozen=True)
class Outcome:
    """What so many rounds were like. Idle shares are of time; `staleness` counts answers."""

    rounds: int
    hourly: float
    trainer_idle: float
    fleet_idle: float
    staleness: Mapping[int, int]
    lost: int
    """Answers that a failure took, and that were drawn again."""
    thrown: int
    """Answers that were too old when they came."""
    length: float
    """Tokens of an answer that was learned from, on average."""

    @property
    def mean_staleness(self) -> float:
        return sum(age * count for age, count in self.staleness.items()) / sum(
            self.staleness.values()
        )


def lognormal(mean: float, sigma: float, most: float = math.inf) -> Lengths:
    """Lengths whose logarithm is normal, of this mean before the longest are cut at `most`."""
    mu = math.log(mean) - sigma**2 / 2
    return lambda rng: min(most, math.exp(mu + sigma * rng.gauss(0.0, 1.0)))


def simulate(
    fleet: Fleet, learner: Learner, policy: Policy, lengths: Lengths, *, rounds: int, seed: int = 0
) -> Outcome:
    """So many rounds after a first one, which fills the pipeline and is not counted."""
    state = _State(fleet, learner, policy, lengths, Random(seed))
    state.until(1)
    first = state.mark()
    state.ages.clear()
    state.lost = state.thrown = 0
    state.tokens = 0.0
    state.until(rounds + 1)
    last = state.mark()
    seconds, learnt, drawn = (b - a for a, b in zip(first, last, strict=True))
    return Outcome(
        rounds=rounds,
        hourly=3600 * rounds / seconds,
        trainer_idle=max(0.0, 1 - learnt / seconds),
        fleet_idle=max(0.0, 1 - drawn / (seconds * fleet.endpoints * fleet.slots)),
        staleness=dict(sorted(state.ages.items())),
        lost=state.lost,
        thrown=state.thrown,
        length=state.tokens / (rounds * learner.batch),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The version it was begun with, and its tokens."""

    version: int
    tokens: float


@dataclass
class _Endpoint:
    """`life` rises with every failure, so that what was to end before it is known to be gone."""

    up: bool = True
    life: int = 0
    drawing: dict[int, _Answer] = field(default_factory=dict)
    """Answers by their number."""


class _State:
    """The clock, what is under way, and what has been counted."""

    def __init__(
        self, fleet: Fleet, learner: Learner, policy: Policy, lengths: Lengths, rng: Random
    ) -> None:
        self.fleet, self.learner, self.policy = fleet, learner, policy
        self.lengths, self.rng = lengths, rng
        self.now = self.learnt = self.drawn = self.tokens = 0.0
        self.version = self.begun = self.started = self.lost = self.thrown = 0
        self.ages: Counter[int] = Counter()
        self.learning = False
        self.again: deque[int] = deque()
        self.there: dict[int, _Answer] = {}
        """Finished answers by their number, in the order of finishing."""
        self.endpoints = [_Endpoint() for _ in range(fleet.endpoints)]
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0
        for endpoint in self.endpoints:
            self._fails_some_day(endpoint)
        self._start()

    def until(self, version: int) -> None:
        """Let time pass until the weights have been learned so often."""
        while self.version < version:
            at, _, happens = heapq.heappop(self.events)
            busy = sum(len(each.drawing) for each in self.endpoints)
            self.drawn += busy * (at - self.now)
            self.learnt += self.learning * (at - self.now)
            self.now = at
            happens()
            self._learn()
            self._start()

    def mark(self) -> tuple[float, float, float]:
        """The clock, seconds learned, and seconds of all slots that drew."""
        return self.now, self.learnt, self.drawn

    def _after(self, seconds: float, happens: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, happens))

    def _fails_some_day(self, endpoint: _Endpoint) -> None:
        if math.isfinite(self.fleet.mtbf):
            self._after(self.rng.expovariate(1 / self.fleet.mtbf), lambda: self._fail(endpoint))

    def _fail(self, endpoint: _Endpoint) -> None:
        self.lost += len(endpoint.drawing)
        self.again.extend(endpoint.drawing)
        endpoint.drawing.clear()
        endpoint.up, endpoint.life = False, endpoint.life + 1
        self._after(self.fleet.restart, lambda: self._come_back(endpoint))

    def _come_back(self, endpoint: _Endpoint) -> None:
        endpoint.up = True
        self._fails_some_day(endpoint)

    def _start(self) -> None:
        """Begin what may be begun, on the endpoint that has most room."""
        while self.again or self._may_begin():
            ready = [each for each in self.endpoints if each.up]
            endpoint = min(ready, key=lambda each: len(each.drawing), default=None)
            if endpoint is None or len(endpoint.drawing) >= self.fleet.slots:
                return
            if self.again:
                number = self.again.popleft()
            else:
                number, self.started = self.started, self.started + 1
            self._draw(endpoint, number)

    def _may_begin(self) -> bool:
        """Fu et al. 2025 (arXiv:2505.24298, equation 3): no answer is begun that could only be
        learned from more than `staleness` rounds later.
        """
        if self.policy.barrier:
            return self.started // self.learner.batch <= self.begun
        if self.policy.in_order:
            return self.started // self.learner.batch <= self.version + self.policy.staleness
        busy = sum(len(each.drawing) for each in self.endpoints) + len(self.there)
        room = self.policy.staleness + 1 - self.learning
        return busy < room * self.learner.batch

    def _draw(self, endpoint: _Endpoint, number: int) -> None:
        answer = _Answer(self._version_of(number), self.lengths(self.rng))
        endpoint.drawing[number] = answer
        life = endpoint.life

        def finished() -> None:
            if endpoint.life == life:
                self.there[number] = endpoint.drawing.pop(number)

        self._after(answer.tokens * self.fleet.token, finished)

    def _version_of(self, number: int) -> int:
        """The weights that an answer is begun with: now's, or the same for all of a round."""
        return max(0, number // self.learner.batch - 1) if self.policy.barrier else self.version

    def _learn(self) -> None:
        """Begin to learn where the trainer is free and a round is there."""
        if self.learning:
            return
        if not self.policy.in_order:
            most = self.policy.staleness
            old = [n for n, each in self.there.items() if self.version - each.version > most]
            self.thrown += len(old)
            for number in old:
                del self.there[number]
        batch = self.learner.batch
        wanted = (
            range(self.begun * batch, (self.begun + 1) * batch)
            if self.policy.in_order
            else list(self.there)[:batch]
        )
        if len(wanted) < batch or not all(number in self.there for number in wanted):
            return
        answers = [self.there.pop(number) for number in wanted]
        self.learning, self.begun = True, self.begun + 1
        ages = Counter(self.version - each.version for each in answers)
        self._after(self.learner.seconds + self.learner.sync, lambda: self._learned(answers, ages))

    def _learned(self, answers: Sequence[_Answer], ages: Counter[int]) -> None:
        self.ages += ages
        self.tokens += sum(each.tokens for each in answers)
        self.learning, self.version = False, self.version + 1
