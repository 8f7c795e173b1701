"""Whose values the reward and the policies hold: evaluate/values.json."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heed.data.labels import training_votes
from heed.data.people import read_people
from heed.evaluation.people import (
    TRAITS,
    Wins,
    by_trait,
    pairs_of,
    rate,
    rates_apart,
    rates_apart_by_family,
    wins,
)
from heed.feedback.habits import (
    FEATURES,
    FEWEST,
    REWARD,
    Groups,
    Vote,
    apart,
    apart_by_family,
    found_groups,
    group_pairs,
    habit_of,
    halves,
    in_groups,
    shared_level,
    votes,
)
from heed.feedback.preferences import Preference, preferences
from heed.files import read_records
from heed.recipe import Collect, Evaluate, Recipe, listed
from heed.stages.answers import Answers
from heed.stages.costs import as_json
from heed.stages.sources import crowd
from heed.stages.workplace import Workplace
from heed.stats.cycles import cycles
from heed.types import Annotation, Completion, Item, Pair

HABITS = (REWARD, *FEATURES, "left")
SURE = 0.01
"""People are sorted into groups by a habit where chance makes them seem so unlike this seldom."""


@dataclass(frozen=True)
class Grouping:
    """People in groups, by what, and the votes from which their habits may be read."""

    by: str
    how: str
    """`field` of a file, `trait` of a simulated person, or `votes`."""
    groups: Groups
    votes: Sequence[Vote]
    """Those by which the groups are measured."""
    found_by: int = 0
    """How many other votes, on other prompts, the groups were found by."""


def asked_by(recipe: Recipe, reward: str) -> list[Collect]:
    """The collect stages whose comparisons a reward was made of."""
    stage = recipe.stage(reward)
    if isinstance(stage, Collect):
        return [stage]
    sources = [*listed(getattr(stage, "comparisons", None) or []), *stage.rewards()]
    found = {each.name: each for name in sources for each in asked_by(recipe, name)}
    return list(found.values())


def values(
    work: Workplace, settings: Evaluate, measured: Mapping[str, Answers], before: str | None
) -> dict[str, Any]:
    """How people voted, group by group, whom the policies please, and circles in what they said;
    nothing where nobody's annotations made the reward.
    """
    collected = asked_by(work.recipe, settings.reward) if settings.reward else []
    if not collected:
        return {}
    items, said = _annotated(work, collected)
    told = preferences(said)
    cast = votes(told, items, _scores(work, settings, items))
    groupings = [*_by_field(settings, cast), *_by_trait(work, collected, cast), *_by_votes(cast)]
    return {
        "collect": [each.name for each in collected],
        "annotators": len({vote.annotator for vote in cast}),
        "votes": len(cast),
        "habits": {
            name: {"chance": habit.chance, "people": as_json(habit.people)}
            for name in HABITS
            if (habit := habit_of(cast, name)) is not None
        },
        "groupings": [_grouping(each) for each in groupings],
        "wins": _wins(work, collected, groupings, measured, before),
        "cycles": _cycles(work, settings, told, items),
    }


def _annotated(
    work: Workplace, collected: Sequence[Collect]
) -> tuple[dict[str, Item], list[Annotation]]:
    """Items and the labels that hold, of all these stages; names of items are the stage's own."""
    items: dict[str, Item] = {}
    said: list[Annotation] = []
    for stage in collected:
        own = {item.id: item for item in work.records(stage.name, "items", Item)}
        spoken = read_records(work.path(stage.name, "annotations.jsonl"), Annotation)
        for each in training_votes(spoken, own, split="all").labels:
            said.append(_renamed(each, stage.name))
        items |= {f"{stage.name}/{id}": item for id, item in own.items()}
    return items, said


def _renamed(annotation: Annotation, stage: str) -> Annotation:
    return Annotation(
        f"{stage}/{annotation.item}", annotation.annotator, annotation.verdict,
        order=annotation.order, source=annotation.source,
    )  # fmt: skip


def _scores(
    work: Workplace, settings: Evaluate, items: Mapping[str, Item]
) -> dict[str, list[float]]:
    """What the reward gives the answers on held-out prompts, which it did not learn from."""
    heldout = {id: item for id, item in items.items() if item.prompt.split == "heldout"}
    texts = dict.fromkeys((i.prompt, text) for i in heldout.values() for text in i.answers)
    assert settings.reward is not None, "values are told of a reward that people made"
    reward = work.reward(settings.reward)
    given = dict(zip(texts, reward([Completion(*each) for each in texts]), strict=True))
    return {id: [given[item.prompt, text] for text in item.answers] for id, item in heldout.items()}


def _by_field(settings: Evaluate, cast: Sequence[Vote]) -> Iterator[Grouping]:
    """The groups of a file's fields, the largest first; one that holds everyone tells nothing."""
    fields = read_people(Path(settings.annotators)) if settings.annotators else {}
    voters = {vote.annotator for vote in cast}
    for field, known in fields.items():
        groups: dict[str, list[str]] = {}
        for who in sorted(voters & known.keys()):
            groups.setdefault(known[who], []).append(who)
        if len(groups) > 1:
            ordered = sorted(groups, key=lambda name: (-len(groups[name]), name))
            yield Grouping(field, "field", {name: groups[name] for name in ordered}, cast)


def _by_trait(
    work: Workplace, collected: Sequence[Collect], cast: Sequence[Vote]
) -> Iterator[Grouping]:
    asked = [each for each in collected if each.source == "simulated"]
    people = [each.person for each in crowd(work, asked[0])] if asked else []
    for trait in TRAITS if people else ():
        if groups := by_trait(people, trait):
            yield Grouping(trait, "trait", groups, cast)


def _by_votes(cast: Sequence[Vote]) -> Iterator[Grouping]:
    """Groups by each habit in which people differ beyond chance. Whether they do, and who is in
    which, is read from one half of the prompts; the groups are measured on the other.
    """
    finding, measuring = halves(cast)
    for name in HABITS:
        habit = habit_of(finding, name, FEWEST // 2)
        unlike = habit is not None and habit.chance < SURE / len(HABITS)
        if unlike and (groups := found_groups(finding, name)):
            yield Grouping(name, "votes", groups, measuring, len(finding))


def _grouping(each: Grouping) -> dict[str, Any]:
    """What groups do, and how far every two of them are apart: intervals that hold together."""
    found = {name: in_groups(each.votes, each.groups, name) for name in HABITS}
    pairs = group_pairs(each.groups)
    level = shared_level(len(pairs))
    return {
        "by": each.by,
        "how": each.how,
        "found_by": each.found_by,
        "measured_by": len(each.votes),
        "groups": {name: sorted(people) for name, people in each.groups.items()},
        "habits": {name: as_json(table) for name, table in found.items()},
        "level": level,
        "pairs": [_voted_apart(each, *pair, level) for pair in pairs],
    }


def _voted_apart(each: Grouping, first: str, second: str, level: float) -> dict[str, Any]:
    two = each.groups[first], each.groups[second]
    return {
        "first": first,
        "second": second,
        "apart": as_json({name: apart(each.votes, *two, name, level) for name in HABITS}),
        "families": {
            name: as_json(apart_by_family(each.votes, *two, name, level)) for name in HABITS
        },
    }


def _wins(
    work: Workplace,
    collected: Sequence[Collect],
    groupings: Sequence[Grouping],
    measured: Mapping[str, Answers],
    before: str | None,
) -> dict[str, Any]:
    """The simulated people's preference for each policy to the one called `before`."""
    asked = [each for each in collected if each.source == "simulated"]
    if not asked or before is None:
        return {}
    people = [each for each in crowd(work, asked[0]) if not each.person.spammer]
    names = {each.name for each in people}
    table = {}
    for label, answers in measured.items():
        if label == before:
            continue
        pairs = pairs_of(answers.heldout.completions, measured[before].heldout.completions)
        won = wins(people, pairs)
        rows = [(each, _present(each.groups, names)) for each in groupings]
        table[label] = {
            "all": rate(won, names, pairs).to_json(),
            "people": as_json({name: rate(won, [name], pairs) for name in won}),
            "groupings": [
                {"by": each.by, "how": each.how, **_won_by_group(won, groups, pairs)}
                for each, groups in rows
                if len(groups) > 1
            ],
        }
    return table


def _won_by_group(won: Wins, groups: Groups, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Each group's win rate, and how far every two are apart: intervals that hold together."""
    two = group_pairs(groups)
    level = shared_level(len(two))
    return {
        "groups": as_json({name: rate(won, who, pairs) for name, who in groups.items()}),
        "level": level,
        "pairs": [
            {
                "first": a,
                "second": b,
                "apart": rates_apart(won, groups[a], groups[b], pairs, level).to_json(),
                "families": as_json(rates_apart_by_family(won, groups[a], groups[b], pairs, level)),
            }
            for a, b in two
        ],
    }


def _present(groups: Groups, names: Collection[str]) -> dict[str, list[str]]:
    """The groups without those who are asked nothing."""
    left = {name: [who for who in people if who in names] for name, people in groups.items()}
    return {name: people for name, people in left.items() if people}


def _cycles(
    work: Workplace, settings: Evaluate, told: Sequence[Preference], items: Mapping[str, Item]
) -> dict[str, Any]:
    """Circles among the models that wrote the answers, and among the answers to one prompt."""
    sides: dict[str, list[tuple[str, str, float]]] = {"models": [], "answers": []}
    for each in told:
        item = items[each.item]
        if each.lean is None:
            continue
        score = 0.5 + (each.lean > 0) / 2 - (each.lean < 0) / 2
        first, second = (item.answers[at].strip() for at in (each.first, each.second))
        if first != second:
            prompt = item.prompt.id
            sides["answers"].append((f"{prompt}\n{first}", f"{prompt}\n{second}", score))
        if item.models and item.models[each.first] != item.models[each.second]:
            sides["models"].append((item.models[each.first], item.models[each.second], score))
    seed = work.seed(settings.name, "cycles")
    found = {
        name: cycles(*map(list, zip(*rows, strict=True)), seed=seed)
        for name, rows in sides.items()
        if rows
    }
    return {name: asdict(each) for name, each in found.items() if each is not None}
