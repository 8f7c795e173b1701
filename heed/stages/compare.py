"""Policies against each other: blind pairs, judged by everyone that the recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from heed.data.labels import training_votes
from heed.evaluation.compared import compared, fooled_notes
from heed.evaluation.contestants import Contestant, decoys, pair_up
from heed.evaluation.votes import Vote, votes_of
from heed.feedback.scored import ScoreSource
from heed.files import read_records, write_json, write_records
from heed.progress import Display
from heed.recipe import Compare, Evaluate, Recipe, Sampling, Stage, listed
from heed.recipe.compare import GOLD
from heed.run import StageRun
from heed.stages.sources import judge_of, people_of
from heed.stages.workplace import Summary, Workplace
from heed.types import Completion, Item, Prompt, Source

ITEMS = "items.jsonl"


def compare(work: Workplace, settings: Compare, stage: StageRun) -> Summary:
    """Leaves items.jsonl (what was judged), votes.jsonl and compare.json."""
    items = _items(work, settings, stage)
    votes: list[Vote] = []
    accounts: dict[str, Any] = {}
    for source in _sources(work, settings, stage):
        votes += asked(source, items, f"{stage.name} asks {source.name}", visible=stage.writes)
        accounts[source.name] = source.account()
    write_records(stage.directory / "votes.jsonl", votes)
    baseline = settings.against(_evaluate(work, settings))
    found = compared(votes, baseline, seed=work.seed(stage.name, "resampling"))
    write_json(stage.directory / "compare.json", {**found, "accounts": accounts})
    judged = found["judges"]
    silent = [name for name in settings.judges.names if name not in judged]
    return {
        "prompts": len({item.prompt.id for item in items}),
        "pairs": len(items),
        "votes": len(votes),
        "judges": settings.judges.names,
        "notes": [
            *(f"{name} decided no pair." for name in silent),
            *(
                note
                for judge, each in found["judges"].items()
                for note in fooled_notes(judge, each)
            ),
            *taught(
                work.recipe, settings.labelled(_evaluate(work, settings)), settings.judges.rewards
            ),
        ],
    }


def asked(source: Source, items: Sequence[Item], label: str, *, visible: bool = True) -> list[Vote]:
    """What a source says of the items, as votes under its name."""
    with Display(label, len(items), before=0, visible=visible) as bar:
        said = source.ask(items, bar)
    by_id = {item.id: item for item in items}
    kept = training_votes(said, by_id, split="all").labels
    return votes_of(source.name, items, kept)


def _evaluate(work: Workplace, settings: Compare) -> Evaluate | None:
    return settings.source({stage.name: stage for stage in work.recipe.stages})


def _items(work: Workplace, settings: Compare, stage: StageRun) -> list[Item]:
    """The pairs, laid out once: a stage that goes on asks about the same answers."""
    path = stage.directory / ITEMS
    if not path.exists():
        contestants, prompts = _contestants(work, settings)
        if settings.prompts is not None:
            draw = Random(work.seed(stage.name, "prompts"))
            prompts = draw.sample(prompts, min(settings.prompts, len(prompts)))
        seed = work.seed(stage.name, "pairs")
        field = [*contestants, *decoys(prompts)]
        write_records(path, pair_up(field, prompts, pairs=settings.pairs, seed=seed))
    return read_records(path, Item)


def _contestants(work: Workplace, settings: Compare) -> tuple[list[Contestant], list[Prompt]]:
    """With the answers of an evaluation, or sampled anew; and the prompts that they answered."""
    evaluate = _evaluate(work, settings)
    prompts: dict[str, Prompt] = {}
    contestants = []
    for label, stage in settings.labelled(evaluate).items():
        if evaluate is not None:
            path = work.path(evaluate.name, f"samples-{label}.jsonl")
            answers = read_records(path, Completion)
        else:
            answers = _sampled(work, settings, stage)
        prompts |= {each.prompt.id: each.prompt for each in answers}
        contestants.append(Contestant.of(label, answers, settings.answers))
    return contestants, list(prompts.values())


def _sampled(work: Workplace, settings: Compare, policy: str) -> list[Completion]:
    assert settings.records is not None, "the settings want one where there is no evaluation"
    sampler = work.candidate(policy, settings.sampling or Sampling()).sampler
    prompts = work.prompts(settings.records, "heldout")
    seed = work.seed(settings.name, policy)
    return sampler.sample(prompts, n=settings.answers, seed=seed)


def _sources(work: Workplace, settings: Compare, stage: StageRun) -> Iterator[Source]:
    """Everyone who judges, those who are asked at no cost first."""
    judges = settings.judges
    if judges.gold:
        yield ScoreSource(GOLD, work.gold[GOLD])
    for name in judges.rewards:
        yield ScoreSource(name, work.reward(name))
    if judges.model is not None:
        batch = (settings.sampling or Sampling()).batch_size
        yield judge_of(work, judges.model, batch, stage)
    if judges.people is not None:
        yield people_of(work, judges.people, judges.people.per_item, stage)


def taught(recipe: Recipe, labelled: Mapping[str, str], judges: Sequence[str]) -> list[str]:
    """A note on each policy that learned from a reward stage that judges it, or from what that one
    learned from.
    """
    notes = []
    for label, name in labelled.items():
        stage = recipe.stage(name)
        behind = _behind(recipe, stage.rewards())
        for reward in judges:
            if reward in behind:
                notes.append(
                    f"{label} was trained on {reward}: that {reward} prefers it proves little."
                )
            elif common := _comparisons(stage) & _comparisons(recipe.stage(reward)):
                notes.append(
                    f"{label} learned from the comparisons that {reward} learned from "
                    f"({', '.join(sorted(common))})."
                )
    return notes


def _behind(recipe: Recipe, rewards: Sequence[str]) -> set[str]:
    """The rewards, and those that they are made of."""
    return {
        each
        for name in rewards
        for each in ({name} | _behind(recipe, recipe.stage(name).rewards()))
    }


def _comparisons(stage: Stage) -> set[str]:
    return set(listed(getattr(stage, "comparisons", None) or []))
