"""What the gates need to see of a policy gradient beside its own metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from heed.errors import UserError
from heed.gates.levels import stand_out
from heed.gates.overoptimisation import Look, fallen, looks_of
from heed.recipe import Gates, OnPolicy
from heed.rewards.checked import CheckedReward
from heed.rewards.ensemble import EnsembleReward
from heed.rewards.remembered import Remembered
from heed.run import LOOKS, StageRun
from heed.sampling.local import LocalSampler
from heed.stages.workplace import Workplace
from heed.stats.diversity import repeated_n
from heed.trainer import Metrics
from heed.types import Completion, Prompt, RewardFn

REPEATED, STANDOUT, DISAGREEMENT = "repeated", "standout", "disagreement"
HELDOUT, HELDOUT_PROXY, FALL = "heldout_reward", "heldout_proxy", "heldout_fall"
PAIR = 2
"""Words of the runs whose repetition is counted."""


def _repeated(_: Remembered) -> RewardFn:
    """The share of an answer's word pairs that stood in it before."""
    return lambda completions: [repeated_n(item.text, PAIR) for item in completions]


def _standout(reward: Remembered) -> RewardFn:
    """How far a round's best score lies above the others."""
    return lambda _: [stand_out(reward.scores)]


def _disagreement(reward: Remembered) -> RewardFn | None:
    """The standard deviation of an ensemble's members."""
    inner = reward.reward.reward if isinstance(reward.reward, CheckedReward) else reward.reward
    return (lambda _: inner.spread) if isinstance(inner, EnsembleReward) else None


MEASURES: Mapping[str, tuple[str, Callable[[Remembered], RewardFn | None]]] = {
    "repetition": (REPEATED, _repeated),
    "outliers": (STANDOUT, _standout),
    "disagreement": (DISAGREEMENT, _disagreement),
}
"""What a gate wants measured of a round's answers, and the metric that it is logged as."""


def measures(gates: Gates, reward: Remembered) -> dict[str, RewardFn]:
    """Further means over a round's completions, asked after the reward, by metric."""
    asked = [MEASURES[name] for name, _ in gates.asked() if name in MEASURES]
    made = {metric: make(reward) for metric, make in asked}
    return {metric: measure for metric, measure in made.items() if measure is not None}


class Beside:
    """A trainer's callback: what another reward says of answers to held-out prompts as the policy
    learns. The same prompts and the same seed at every look, so that looks differ by the policy.
    """

    def __init__(
        self,
        work: Workplace,
        settings: OnPolicy,
        place: StageRun,
        sampler: LocalSampler,
        proxy: RewardFn,
    ) -> None:
        gate = work.recipe.gates.overoptimisation
        reward = work.recipe.beside(settings)
        assert reward is not None, "asked only where a reward is named"
        prompts = work.askable(settings.records, "heldout", sampler, settings.families)
        self.prompts = _spread(prompts, gate.prompts)
        if len(self.prompts) < 2:
            raise UserError(
                f"The gate overoptimisation looks at held-out prompts, of which {place.name!r} has "
                f"{len(self.prompts)}; set gates.overoptimisation.action to off."
            )
        self.heldout = work.reward(reward)
        self.proxy = proxy
        self.sampler = sampler
        self.seed = work.seed(place.name, "look")
        self.place = place
        self.fall = gate.fall
        self.steps = set(looks_of(settings.iterations, gate.every))
        self.looks: list[Look] | None = None

    def __call__(self, step: int, metrics: Metrics) -> None:
        if step not in self.steps:
            return
        if self.looks is None:  # the first of this process, which may have been resumed
            rows = [row for row in self.place.noted(LOOKS) if row["step"] < step]
            self.looks = [Look(**row) for row in rows]
        answers = self.sampler.sample(self.prompts, n=1, seed=self.seed)
        look = Look(step, self._scores(self.heldout, answers), self._scores(self.proxy, answers))
        self.looks.append(look)
        row = {"step": step, "heldout": look.heldout, "proxy": look.proxy}
        self.place.note(LOOKS, [row])
        metrics[HELDOUT] = float(np.mean(look.heldout))
        metrics[HELDOUT_PROXY] = float(np.mean(look.proxy))
        metrics[FALL] = fallen(self.looks, self.fall)

    def _scores(self, reward: RewardFn, answers: Sequence[Completion]) -> list[float]:
        return [float(score) for score in reward(answers)]


def _spread(items: Sequence[Prompt], most: int) -> list[Prompt]:
    """At most so many, evenly over all: prompts of one family stand together."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]
