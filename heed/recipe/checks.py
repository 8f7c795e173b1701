"""What no single stage can know of itself: whether the stages and the data go together.

A check gives (place of the stage, key of its settings, what is wrong and what to do); a new one is
a function and a place in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches

from heed.recipe.base import Stage
from heed.recipe.policy_gradient import OnPolicy
from heed.recipe.recipe import Recipe
from heed.recipe.rewards import Check, Correct, Reward
from heed.recipe.selection import Rejection
from heed.recipe.training import Sft
from heed.recipe.weak_to_strong import Relabel, WeakToStrong

Complaint = tuple[int, str, str]


def complaints(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Everything that is wrong; the names that stages read from are those of earlier stages."""
    for check in CHECKS:
        yield from check(recipe, stages)


def fit(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """What a stage reads from is of a kind that it can use."""
    earlier: dict[str, Stage] = {}
    for index, stage in enumerate(stages):
        try:
            stage.check(earlier)
        except ValueError as error:
            yield index, "", f"the stage {stage.name!r} {error}."
        earlier[stage.name] = stage


def right_answers(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Only the embedded world knows by itself what is right."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Correct) and recipe.data != "world":
            yield (
                index,
                "",
                f"the stage {stage.name!r} asks the embedded world what is right; with other data, "
                "use exact or maths with a file of answers.",
            )


def families(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """The embedded world has the families that shall be held out, asked or checked."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Sft):
            key, named = "held_families", stage.held_families
        elif isinstance(stage, OnPolicy | Rejection | Check):
            key, named = "families", stage.families
        else:
            continue
        for name in named:
            if recipe.data == "world" and name not in recipe.world.families:
                yield (
                    index,
                    key,
                    f"the recipe's world has no family {name!r}. "
                    f"{nearest(name, recipe.world.families)}",
                )


def asked_and_scored(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """A check looks at some of the families that a policy is asked about."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        if not isinstance(stage, OnPolicy | Rejection) or not stage.families:
            continue
        reward = by_name[stage.reward]
        looked_at = reward.families if isinstance(reward, Check) else []
        if looked_at and not set(stage.families) & set(looked_at):
            yield (
                index,
                "families",
                f"{stage.name!r} asks about {', '.join(stage.families)}, but its reward "
                f"{reward.name!r} looks at {', '.join(looked_at)} only, so that all answers score "
                "the same. Ask about a family that it looks at.",
            )


def gold_judges(recipe: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """The gold reward is asked where it is known."""
    for index, stage in enumerate(stages):
        if isinstance(stage, Relabel) and stage.reward is None and recipe.data != "world":
            yield (
                index,
                "reward",
                f"the stage {stage.name!r} asks the gold reward, which only the embedded world "
                "has; with other data, name a reward stage in `reward`.",
            )


def reward_models(_: Recipe, stages: Sequence[Stage]) -> Iterator[Complaint]:
    """Who relabels, and who is measured from weak to strong, is a reward model."""
    by_name = {stage.name: stage for stage in stages}
    for index, stage in enumerate(stages):
        models: list[str] = []
        if isinstance(stage, Relabel) and stage.reward is not None:
            models = [stage.reward]
        elif isinstance(stage, WeakToStrong):
            models = [stage.weak, *stage.students, stage.ceiling]
        for name in models:
            if not isinstance(by_name[name], Reward):
                yield (
                    index,
                    "",
                    f"{stage.name!r} needs reward models, but {name!r} is a stage of kind "
                    f"{by_name[name].kind!r}. Name one of kind 'reward'.",
                )


def nearest(name: str, valid: Sequence[str]) -> str:
    """What the writer may have meant, or else what there is, as a sentence."""
    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Valid: {', '.join(valid)}."


CHECKS: Sequence[Callable[[Recipe, Sequence[Stage]], Iterator[Complaint]]] = (
    fit,
    right_answers,
    families,
    asked_and_scored,
    gold_judges,
    reward_models,
)
