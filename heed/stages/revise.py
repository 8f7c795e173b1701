"""Revision by a constitution: a model answers, criticises and revises itself; what comes of it is
demonstrations, which an `sft` stage takes as its `records`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from heed.errors import UserError
from heed.feedback.constitution import Constitution, Trail
from heed.feedback.constitution import revise as revise_by
from heed.feedback.journal import Journal
from heed.files import write_records
from heed.progress import Display
from heed.recipe import Revise
from heed.run import StageRun
from heed.sampling.local import LocalSampler
from heed.stages.sources import constitution
from heed.stages.workplace import Summary, Workplace
from heed.types import Message, Prompt, Sampler
from heed.world.world import World

REPLIES = 3
"""An answer, a critique and a revision have to fit into the model's context beside the prompt."""
SHOWN = ("rude", "harmful", "correct", "total")
"""Gold scores that the summary compares before and after."""


def revise(work: Workplace, settings: Revise, stage: StageRun) -> Summary:
    """Leaves demonstrations.jsonl, and trail.jsonl: every answer, critique and revision."""
    principles = constitution(settings.constitution)
    sampler = work.speaker(settings.speaker, settings.sampling)
    train = work.prompts(settings.records, "train")
    short = [prompt for prompt in train if _fits(sampler, prompt, principles)]
    if not short:
        raise UserError(_no_room(settings, len(train)))
    asked = _in_turn(short, settings.prompts, work.seed(stage.name, "prompts"))
    with Display(stage.name, len(asked), visible=stage.writes) as bar:
        revisions = revise_by(
            sampler,
            asked,
            principles,
            rounds=settings.rounds,
            seed=work.seed(stage.name, "samples"),
            progress=bar,
            journal=Journal(stage.directory / "trail.jsonl", Trail),
        )
    if not revisions.demonstrations:
        raise UserError(_nothing_adopted(settings))
    write_records(stage.directory / "demonstrations.jsonl", revisions.demonstrations)
    summary: dict[str, Any] = {**revisions.to_json(), "notes": _left_out(len(train) - len(short))}
    if work.world is not None:
        summary["gold"] = _before_and_after(work.world, revisions.trails)
    return summary


def _in_turn(prompts: Sequence[Prompt], count: int, seed: int) -> list[Prompt]:
    """So many prompts, in shuffled rounds: none comes again before all others have come."""
    draw = random.Random(seed)
    asked: list[Prompt] = []
    while len(asked) < count:
        asked += draw.sample(prompts, len(prompts))
    return asked[:count]


def _fits(sampler: Sampler, prompt: Prompt, constitution: Constitution) -> bool:
    """Whether the longest conversation about a prompt fits the context of a model that is here."""
    if not isinstance(sampler, LocalSampler):
        return True  # a server says itself what is too long for it
    roomy = replace(sampler, max_new_tokens=REPLIES * sampler.max_new_tokens)
    return all(
        roomy.fits(
            replace(
                prompt,
                messages=(
                    *prompt.messages,
                    Message("assistant", ""),
                    Message("user", principle.critique),
                    Message("assistant", ""),
                    Message("user", principle.revise),
                ),
            )
        )
        for principle in constitution.principles
    )


def _before_and_after(world: World, trails: Sequence[Trail]) -> dict[str, dict[str, float]]:
    """Gold scores of the first answers and of the demonstrations made of them, on average.

    Only trails that end in a demonstration count, so that both columns are of the same prompts.
    """
    made = [(trail, trail.final) for trail in trails if trail.final is not None]
    columns = {
        "before": [asdict(world.gold(trail.prompt, trail.answer)) for trail, _ in made],
        "after": [asdict(world.gold(trail.prompt, final)) for trail, final in made],
    }
    return {
        when: {name: sum(score[name] for score in scores) / len(scores) for name in SHOWN}
        for when, scores in columns.items()
    }


def _left_out(count: int) -> list[str]:
    note = f"{count} train prompts leave no room for critique and revision and were left out."
    return [note] if count else []


def _no_room(settings: Revise, prompts: int) -> str:
    return (
        f"{settings.name}: none of the {prompts} train prompts leaves room in the model's context "
        f"for an answer, a critique and a revision of {settings.sampling.max_new_tokens} tokens "
        "each. Lower sampling.max_new_tokens, shorten the principles or take a model with a longer "
        "context."
    )


def _nothing_adopted(settings: Revise) -> str:
    return (
        f"{settings.name}: every revision was empty or was cut at "
        f"{settings.sampling.max_new_tokens} tokens, so there is nothing to learn from. Raise "
        "sampling.max_new_tokens."
    )
