"""How a request is answered: by the policy as it is, by the best of several, behind a guardrail.

A client chooses by the model's name: `ppo`, `ppo:best-of-4`, `ppo:guardrail`. What was done stands
in headers of the reply; its usage counts every token that was drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from heed.run import derive_seed
from heed.sampling.asked import Asked, Begun, Engine
from heed.serving.bell import Bell, Hearing
from heed.serving.errors import Refused
from heed.serving.scoring import Scorer
from heed.serving.wire import REFUSED, Choice
from heed.types import Completion

BEST_OF = re.compile(r"best-of-([1-9][0-9]{0,3})")
GUARDRAIL = "guardrail"
SEEDS = 2**62


@dataclass(frozen=True)
class Guard:
    """Answers that score below `threshold` are not given: the policy answers again, `tries` times
    in all, and then `refusal` is said instead.
    """

    threshold: float
    tries: int
    refusal: str


@dataclass(frozen=True)
class Offer:
    """What is offered beside the plain policy: best of up to `best_of` by the scorer (below 2:
    none), and a guardrail by it.
    """

    scorer: Scorer | None = None
    best_of: int = 0
    guard: Guard | None = None

    @property
    def suffixes(self) -> list[str]:
        """Of models' names, beside the plain ones."""
        several = [f"best-of-{self.best_of}"] if self.scorer and self.best_of > 1 else []
        return [*several, *([GUARDRAIL] if self.scorer and self.guard else [])]


@dataclass
class Outcome:
    """Answers, what they cost, and what a client may want to know of how they came about."""

    choices: list[Choice]
    prompt_tokens: int
    drawn: int
    headers: dict[str, str] = field(default_factory=dict)
    guarded: Counter[str] = field(default_factory=Counter)
    """What came of answers behind a guardrail: passed, again (at a later try), refused."""


@dataclass(frozen=True)
class Way:
    """A way to answer; `many` answers are written at a time for each that is given."""

    answer: Callable[[Bell, Engine, Asked], Coroutine[Any, Any, Outcome]]
    many: int = 1


async def _plainly(bell: Bell, engine: Engine, asked: Asked) -> Outcome:
    begun = await drawn(bell, engine, asked)
    choices = [Choice(at, writing) for at, writing in enumerate(begun.writings)]
    return _outcome(choices, [begun])


PLAIN = Way(_plainly)
"""The policy's own answers."""


async def drawn(bell: Bell, engine: Engine, asked: Asked) -> Begun:
    """Answers, at their ends. Raises Refused (500) where the engine failed at one."""
    begun = await Hearing(bell, engine, asked).end()
    for writing in begun.writings:
        if writing.error:
            raise Refused(500, "engine_failed", writing.error)
    return begun


def way_of(offer: Offer, suffix: str) -> Way | None:
    """The way that a model's name asks for behind its colon; None where it is not offered."""
    several = BEST_OF.fullmatch(suffix)
    if several and offer.scorer is not None and 2 <= int(several[1]) <= offer.best_of:
        return _best_of(offer.scorer, int(several[1]))
    if suffix == GUARDRAIL and offer.scorer is not None and offer.guard is not None:
        return _guarded(offer.scorer, offer.guard)
    return None


def _best_of(scorer: Scorer, many: int) -> Way:
    """Of every `many` answers the one that scores highest, the first among equals
    (`heed.policies.best_of_n`).
    """

    async def answer(bell: Bell, engine: Engine, asked: Asked) -> Outcome:
        begun = await drawn(bell, engine, replace(asked, n=asked.n * many))
        scores = await scorer.scores(_completions(begun))
        groups = range(0, len(scores), many)
        best = [max(range(at, at + many), key=scores.__getitem__) for at in groups]
        choices = [Choice(at, begun.writings[place]) for at, place in enumerate(best)]
        chosen = ", ".join(f"{scores[place]:.4g}" for place in best)
        told = {"X-Heed-Best-Of": str(many), "X-Heed-Reward": chosen}
        return _outcome(choices, [begun], told)

    return Way(answer, many)


def _guarded(scorer: Scorer, guard: Guard) -> Way:
    """Answers that score enough; in place of others, after so many tries, the refusal."""

    async def answer(bell: Bell, engine: Engine, asked: Asked) -> Outcome:
        given: dict[int, Choice] = {}
        told: dict[int, str] = {}
        best: dict[int, float] = {}
        came: Counter[str] = Counter()
        all_begun: list[Begun] = []
        for tried in range(1, guard.tries + 1):
            left = [at for at in range(asked.n) if at not in given]
            if not left:
                break
            seed = asked.seed if tried == 1 else derive_seed(asked.seed, "again", tried) % SEEDS
            begun = await drawn(bell, engine, replace(asked, n=len(left), seed=seed))
            all_begun.append(begun)
            scores = await scorer.scores(_completions(begun))
            for at, writing, score in zip(left, begun.writings, scores, strict=True):
                best[at] = max(score, best.get(at, score))
                if score >= guard.threshold:
                    given[at] = Choice(at, writing)
                    told[at] = "passed" if tried == 1 else f"passed at answer {tried}"
                    came["passed" if tried == 1 else "again"] += 1
        for at in set(range(asked.n)) - given.keys():
            given[at] = Choice(at, None, guard.refusal, REFUSED)
            told[at] = (
                f"refused: {scorer.name} gave {guard.tries} answers {best[at]:.4g} at best, "
                f"below {guard.threshold:.4g}"
            )
            came["refused"] += 1
        headers = {"X-Heed-Guardrail": "; ".join(told[at] for at in range(asked.n))}
        outcome = _outcome([given[at] for at in range(asked.n)], all_begun, headers)
        return replace(outcome, guarded=came)

    return Way(answer)


def _completions(begun: Begun) -> list[Completion]:
    return [
        Completion(begun.asked.prompt, writing.text(), finish=writing.finish or "length")
        for writing in begun.writings
    ]


def _outcome(
    choices: list[Choice], all_begun: list[Begun], headers: dict[str, str] | None = None
) -> Outcome:
    for choice in choices:
        choice.look()
    drawn_tokens = sum(len(one.ids) for begun in all_begun for one in begun.writings)
    return Outcome(choices, len(all_begun[0].prompt_ids), drawn_tokens, headers or {})
