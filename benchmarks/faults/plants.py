"""How each fault gets into a real run: a recipe's setting where there is one, or a wrapper.

A wrapper is put around one function of Heed in the process that runs `heed run`, and nothing else
knows of it. What is imported by a wrapper is imported late, so that replays need no torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Settings = Sequence[str]
"""What `--set` is given."""


def _nothing(_: float, __: int) -> None:
    """No wrapper: the settings are the fault."""


@dataclass(frozen=True)
class Plant:
    """A fault in a run of `planted.yaml`."""

    begins: str
    """The first stage in which it is at work: those before it are the clean run's of the seed."""
    strength: float
    unit: str
    settings: Callable[[float], Settings] = lambda _: ()
    """From the strength."""
    wrap: Callable[[float, int], Settings | None] = _nothing
    """Puts a wrapper into this process, from the strength and the world's seed; it may have
    settings of its own, such as an address."""


def _flipped_sign(strength: float, _: int) -> None:
    from heed.rewards.learned import LearnedReward

    scored = LearnedReward.__call__

    def flipped(self: Any, completions: Any) -> list[float]:
        return [(1 - 2 * strength) * score for score in scored(self, completions)]

    LearnedReward.__call__ = flipped  # type: ignore[method-assign]


def _both_signs(strength: float, _: int) -> None:
    """What the policy gradient maximises, score less KL, is negated: Ziegler et al. 2019, 4.4."""
    from heed.policies import policy_gradient

    rewards = policy_gradient.token_rewards

    def negated(*args: Any, **kwargs: Any) -> Any:
        return (1 - 2 * strength) * rewards(*args, **kwargs)

    policy_gradient.token_rewards = negated


def _flipped_leash(strength: float, _: int) -> None:
    from heed.policies import policy_gradient

    rewards = policy_gradient.token_rewards

    def pushing(*args: Any, kl_coef: float) -> Any:
        return rewards(*args, kl_coef=(1 - 2 * strength) * kl_coef)

    policy_gradient.token_rewards = pushing


def _leaked_prompts(share: float, _: int) -> None:
    from heed.world.world import World

    demonstrations = World.demonstrations

    def leaking(self: World, n: int, seed: int = 0) -> list[Any]:
        known = self.references(seed)
        return [*demonstrations(self, n, seed), *known[: round(share * len(known))]]

    World.demonstrations = leaking  # type: ignore[method-assign]


def _wrong_temperature(temperature: float, _: int) -> None:
    from heed.stages.workplace import Workplace

    sampler = Workplace.sampler

    def heated(self: Workplace, policy: Any, settings: Any, name: str) -> Any:
        right = sampler(self, policy, settings, name)
        if name != "ppo":
            return right
        return replace(right, temperature=temperature * right.temperature)

    Workplace.sampler = heated  # type: ignore[method-assign]


def _warm_server(temperature: float, _: int) -> None:
    from heed.stages import elsewhere

    make = elsewhere.RolloutSampler

    def beside(sampler: Any, servers: Any, **more: Any) -> Any:
        from benchmarks.faults.warm_server import serve

        address = serve(sampler.lm, temperature)
        return make(sampler, replace(servers, addresses=[address], host="127.0.0.1"), **more)

    elsewhere.RolloutSampler = beside  # type: ignore[assignment,misc]


def _loved_word(bonus: float, _: int) -> None:
    """Every `LOVED` in an answer buys so many standard deviations of the scores of samples."""
    from heed.rewards.learned import LearnedReward

    scored = LearnedReward.__call__

    def fond(self: Any, completions: Any) -> list[float]:
        counts = [each.text.lower().split().count(LOVED) for each in completions]
        own = scored(self, completions)
        return [score + bonus * count for score, count in zip(own, counts, strict=True)]

    LearnedReward.__call__ = fond  # type: ignore[method-assign]


def _swapped_rows(share: float, seed: int) -> None:
    """Every other comparison is said to come from an import, a share of which is turned round."""
    from heed.stages import collect

    made = collect.comparisons
    draw = random.Random(f"{seed}/swapped")

    def mixed(*args: Any, **kwargs: Any) -> Any:
        found = made(*args, **kwargs)
        for at in range(0, len(found), 2):
            row = replace(found[at], source="import")
            if draw.random() < share:
                row = replace(row, chosen=row.rejected, rejected=row.chosen)
            found[at] = row
        return found

    collect.comparisons = mixed


def _fond_judge(fondness: float, seed: int) -> Settings:
    from benchmarks.faults.fond_judge import serve
    from heed.world.world import World

    return [f"collect.judge.address={serve(World(seed), fondness)}"]


LOVED = "the"
PLANTS: Mapping[str, Plant] = {
    "flipped_sign": Plant("reward", 1.0, "share of the reward that is negated", wrap=_flipped_sign),
    "both_signs": Plant(
        "ppo",
        1.0,
        "share of the objective that is negated",
        settings=lambda _: ["gates.step.action=warn"],  # so that leash is asked as well
        wrap=_both_signs,
    ),
    "flipped_leash": Plant(
        "ppo", 1.0, "share of the KL coefficient that is negated", wrap=_flipped_leash
    ),
    "length_lovers": Plant(
        "collect",
        1.0,
        "gold points a word",
        settings=lambda x: [f"collect.annotators.length_bias={x}"],
    ),
    "side_lovers": Plant(
        "collect",
        2.0,
        "units of felt difference",
        settings=lambda x: [f"collect.annotators.left_bias={x}"],
    ),
    "many_spammers": Plant(
        "collect",
        6,
        "spammers among 16, three labels an item",
        settings=lambda x: [f"collect.annotators.spammers={x:g}", "collect.per_item=3"],
    ),
    "mostly_spammers": Plant(
        "collect",
        12,
        "spammers among 16, three labels an item",
        settings=lambda x: [f"collect.annotators.spammers={x:g}", "collect.per_item=3"],
    ),
    "swapped_rows": Plant(
        "collect",
        0.3,
        "share of the import's rows, half of 8,000 labels",
        settings=lambda _: ["collect.comparisons=6500", "collect.heldout=1500", "reward.epochs=1"],
        wrap=_swapped_rows,
    ),
    "loved_word": Plant(
        "reward", 1.0, "standard deviations of score an occurrence", wrap=_loved_word
    ),
    "fond_judge": Plant(
        "collect",
        0.75,
        "share of prompts at which the constant wins",
        settings=lambda _: [
            "collect.source=judge",
            "collect.judge.model=fond",
            "collect.judge.address=http://127.0.0.1:9/v1",  # the wrapper knows the real one
            "collect.comparisons=1000",
            "collect.heldout=300",
        ],
        wrap=_fond_judge,
    ),
    "leaked_prompts": Plant("records", 0.1, "share of the held-out prompts", wrap=_leaked_prompts),
    "wrong_temperature": Plant(
        "ppo",
        1.5,
        "temperature (1 is right)",
        # The log-probs that it reports are wrong too, and by default refuse before draws is asked.
        settings=lambda _: ["gates.logprobs.action=warn"],
        wrap=_wrong_temperature,
    ),
    "warm_server": Plant(
        "ppo",
        1.5,
        "temperature (1 is right)",
        settings=lambda _: [
            "gates.logprobs.action=warn",  # as above
            "ppo.servers={addresses: ['http://127.0.0.1:9']}",  # the wrapper knows the real one
        ],
        wrap=_warm_server,
    ),
}
