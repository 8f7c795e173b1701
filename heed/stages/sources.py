"""Who annotates in a collect stage: one function a source, from settings to a `Source`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from heed import recipe
from heed.feedback.constitution import (
    Constitution,
    ConstitutionSource,
    Principle,
    read_constitution,
)
from heed.feedback.journal import Journal
from heed.feedback.judge import Judged, JudgeSource
from heed.feedback.simulated import SimulatedSource
from heed.judging.judge import Judge
from heed.judging.rubric import BY_PRINCIPLE, Rubric
from heed.recipe import Collect, People, Sampling
from heed.run import StageRun, fingerprint
from heed.stages.workplace import Workplace
from heed.types import Source
from heed.world.annotators import SimulatedAnnotator

JUDGEMENTS = "judgements.jsonl"
STORE = "feedback.db"
"""The run's own store, outside every stage's folder: no stage that is done again empties it."""


def crowd(work: Workplace, settings: Collect) -> list[SimulatedAnnotator]:
    """The world's people with the habits that the settings give them."""
    assert work.world is not None, "load_recipe asks nobody simulated outside the world"
    return work.world.annotators(**settings.annotators.model_dump(exclude_none=True))


def simulated(work: Workplace, settings: Collect, stage: StageRun) -> Source:
    """The world's people, each item shown to so many of them."""
    return SimulatedSource(
        crowd(work, settings),
        per_item=settings.per_item,
        seed=work.seed(stage.name, "people"),
    )


def people(work: Workplace, settings: Collect, stage: StageRun) -> Source:
    """Whoever opens the labelling page."""
    return people_of(work, settings.people, settings.per_item, stage)


def people_of(work: Workplace, asked: People, per_item: int, stage: StageRun) -> Source:
    """Other items make another project: what was said of earlier ones stays in the store."""
    from heed.feedback.people import PeopleSource  # the store takes half a second
    from heed.store.projects import ProjectSettings

    guideline = Path(asked.guideline).read_text(encoding="utf-8") if asked.guideline else ""
    return PeopleSource(
        place=asked.store or str(work.run.directory / STORE),
        project=f"{stage.name}-{fingerprint(str(stage.directory / 'items.jsonl'))[:8]}",
        settings=ProjectSettings(
            per_item=per_item,
            gold_rate=asked.gold_rate if asked.gold else 0.0,
            repeat_rate=asked.repeat_rate,
            order=asked.order,
            lease_seconds=60 * asked.lease_minutes,
            pay_per_hour=asked.pay_per_hour,
            currency=asked.currency,
            seed=work.seed(stage.name, "queue"),
        ),
        guideline=guideline,
        enough=asked.enough,
        desk=work.desk(asked),
        announce=work.say,
    )


def judge(work: Workplace, settings: Collect, stage: StageRun) -> Source:
    """A language model with the recipe's rubric."""
    return judge_of(work, settings.judge, settings.sampling.batch_size, stage)


def judge_of(work: Workplace, asked: recipe.Judge, batch: int, stage: StageRun) -> Source:
    """A language model; so many replies are generated side by side."""
    return JudgeSource(
        _judge(work, asked, batch, Rubric()),
        seed=work.seed(stage.name, "judge"),
        journal=Journal(stage.directory / JUDGEMENTS, Judged),
    )


def by_constitution(work: Workplace, settings: Collect, stage: StageRun) -> Source:
    """A language model that goes by one principle an item."""
    return ConstitutionSource(
        _judge(work, settings.judge, settings.sampling.batch_size, Rubric(template=BY_PRINCIPLE)),
        constitution(settings.constitution),
        seed=work.seed(stage.name, "judge"),
        journal=Journal(stage.directory / JUDGEMENTS, Judged),
    )


def _judge(work: Workplace, asked: recipe.Judge, batch: int, built_in: Rubric) -> Judge:
    """The judge that the settings describe: what they leave open is the built-in rubric's."""
    sampling = Sampling(
        temperature=0.0,
        max_new_tokens=asked.max_new_tokens,
        batch_size=batch,
    )
    given = asked.rubric.model_dump(exclude_none=True)
    sampler = work.speaker(asked, sampling)
    return Judge(sampler, replace(built_in, **given), asked.name, asked.retries)


def constitution(settings: recipe.Constitution) -> Constitution:
    """The recipe's principles, those of its file, or the built-in ones."""
    if settings.principles:
        written = [Principle(**each.model_dump()) for each in settings.principles]
        return Constitution(tuple(written))
    return read_constitution(Path(settings.file) if settings.file else None)


SOURCES: Mapping[str, Callable[[Workplace, Collect, StageRun], Source]] = {
    "simulated": simulated,
    "people": people,
    "judge": judge,
    "constitution": by_constitution,
}
