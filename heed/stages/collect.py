"""Feedback: answers of the policies, compared by whoever the recipe asks, as comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from heed.data.comparisons import comparisons, rewrites, undesirable
from heed.data.labels import labels_to_learn_from, training_votes, without_adjudications
from heed.data.preferences import read_preferences
from heed.errors import UserError
from heed.feedback.items import sample_items
from heed.feedback.judge import JudgeSource
from heed.feedback.weights import reliability_weights
from heed.files import read_records, write_json, write_records
from heed.progress import Display
from heed.recipe import Collect
from heed.run import StageRun
from heed.sampling.mixture import MixtureSampler
from heed.stages.sources import JUDGEMENTS, SOURCES, crowd
from heed.stages.workplace import Summary, Workplace
from heed.types import Annotation, Comparison, Completion, Item, Pair, Source, Split, Unpaired
from heed.world.annotators import noise_ceiling


def collect(work: Workplace, settings: Collect, stage: StageRun) -> Summary:
    """Leaves items, annotations, comparisons (training and held-out prompts), answers called bad
    by themselves (training prompts), rewrites; the ceiling, where the annotators are simulated.
    """
    items = {item.id: item for item in _items(work, settings, stage)}
    source = SOURCES[settings.source](work, settings, stage)
    with Display(f"{stage.name} asks", len(items), visible=stage.writes) as bar:
        said = list(source.ask(list(items.values()), bar))
    votes = training_votes(said, items, split="all")
    train, heldout, unpaired = _feedback(settings, said, items, votes.labels)
    if not train or not heldout:
        raise UserError(_too_few(settings, stage, source, said, (len(train), len(heldout))))
    write_records(stage.directory / "annotations.jsonl", said)
    write_records(stage.directory / "comparisons.jsonl", train)
    write_records(stage.directory / "heldout.jsonl", heldout)
    write_records(stage.directory / "unpaired.jsonl", unpaired)
    write_records(
        stage.directory / "rewrites.jsonl",
        rewrites(labels_to_learn_from(said, items).labels, items),
    )
    if settings.source == "simulated":
        write_json(stage.directory / "ceiling.json", _ceilings(work, settings, heldout))
    return {
        "source": source.name,
        "annotators": len({each.annotator for each in said}),
        "items": len(items),
        "annotations": len(said),
        "comparisons": len(train),
        "heldout": len(heldout),
        "left_out": votes.left_out,
        "without_a_side": Counter(each.verdict for each in said if isinstance(each.verdict, str)),
        "minutes": round(sum(each.seconds for each in said) / 60, 1),
        **source.account(),
    }


def _items(work: Workplace, settings: Collect, stage: StageRun) -> list[Item]:
    """The items, sampled once: a stage that goes on asks about the same answers."""
    path = stage.directory / "items.jsonl"
    if not path.exists():
        sampled = _sampled(work, settings, stage)
        write_records(path, [*_by_disagreement(work, settings, sampled), *_gold(settings)])
    return read_records(path, Item)


def _sampled(work: Workplace, settings: Collect, stage: StageRun) -> list[Item]:
    """Items on training prompts ("train-0", ...), then on held-out ones ("heldout-0", ...)."""
    sampler = MixtureSampler(
        [work.candidate(name, settings.sampling).sampler for name in settings.policies]
    )
    items: list[Item] = []
    labels: dict[Split, int] = {"train": settings.comparisons, "heldout": settings.heldout}
    counts = {split: -(-count // settings.per_item) for split, count in labels.items()}
    with Display(stage.name, sum(counts.values()), before=0, visible=stage.writes) as bar:
        for split, count in counts.items():
            done = len(items)
            items += sample_items(
                sampler,
                work.prompts(settings.records, split),
                count,
                seed=work.seed(stage.name, split),
                name=split,
                progress=lambda made, done=done: bar(done + made),  # type: ignore[misc]
                answers=settings.answers,
            )
    return items


def _by_disagreement(work: Workplace, settings: Collect, items: Sequence[Item]) -> list[Item]:
    """The items with a priority: how far apart the reward models are about them.

    The standard deviation over the models of score differences, meaned over pairs of answers:
    what query by committee asks first (Seung et al. 1992; Christiano et al. 2017, section 2.2.4).
    """
    if not settings.disagreement:
        return list(items)
    answers = [Completion(item.prompt, text) for item in items for text in item.answers]
    scores = np.array([work.reward(name)(answers) for name in settings.disagreement])
    by_item = scores.reshape(len(settings.disagreement), len(items), settings.answers)
    gaps = by_item[..., :, None] - by_item[..., None, :]
    first, second = np.triu_indices(settings.answers, k=1)
    spread = gaps[..., first, second].std(axis=0).mean(axis=-1)
    return [replace(item, priority=float(value)) for item, value in zip(items, spread, strict=True)]


def _gold(settings: Collect) -> list[Item]:
    """Items with a known answer, for people to be measured on, never for training."""
    if settings.source != "people" or settings.people.gold is None:
        return []
    path = Path(settings.people.gold)
    _, found = read_preferences(path)
    if found.errors:
        raise UserError(f"{found.errors[0].place}: {found.errors[0].why}.")
    unknown = [item.id for item in found.items if item.known is None]
    if unknown or not found.items:
        raise UserError(
            f"{path}: a gold item says in `known` what the right verdict is"
            f"{f', {unknown[0]!r} does not' if unknown else '; the file holds none'}."
        )
    return [replace(item, id=f"gold-{item.id}") for item in found.items]


def _feedback(
    settings: Collect,
    said: Sequence[Annotation],
    items: Mapping[str, Item],
    votes: Sequence[Annotation],
) -> tuple[list[Comparison], list[Comparison], list[Unpaired]]:
    """Comparisons to train on and to judge on, of the labels among those `said` that train; and
    the answers called bad by themselves, to train on.
    """
    own = without_adjudications(said)
    weights = reliability_weights(own, items) if settings.weights == "reliability" else None

    def of(split: Split) -> list[Annotation]:
        return [each for each in votes if items[each.item].prompt.split == split]

    train = comparisons(of("train"), items, ties=settings.ties, weights=weights)
    unpaired = undesirable(of("train"), items, weights=weights)
    return train, comparisons(of("heldout"), items), unpaired


def _ceilings(work: Workplace, settings: Collect, heldout: Sequence[Comparison]) -> list[float]:
    """The chance that the best reward model agrees with the crowd, by held-out comparison."""
    people = crowd(work, settings)
    return [
        noise_ceiling(people, Pair("", each.prompt, each.chosen, each.rejected)) for each in heldout
    ]


def _too_few(
    settings: Collect,
    stage: StageRun,
    source: Source,
    said: Sequence[Annotation],
    made: tuple[int, int],
) -> str:
    """What came of the question, and what to do about it."""
    words = Counter(each.verdict for each in said if isinstance(each.verdict, str))
    counts = (
        f"{settings.name}: the answers of {', '.join(settings.policies)} gave {len(said)} "
        f"annotations ({words['cannot_tell']} cannot tell or unreadable, {words['tie']} ties, "
        f"{words['both_bad']} both bad), of these {made[0]} comparisons to train on, {made[1]} to "
        "judge on: too few."
    )
    if not words:
        return (
            f"{counts} Only finished, unlike answers are compared: train that policy longer, raise "
            "sampling.max_new_tokens, or ask for more comparisons."
        )
    if not isinstance(source, JudgeSource):
        return f"{counts} Ask for more comparisons, or for answers that differ more."
    rubric, seen = source.judge.rubric, source.tally
    forms = [f"{rubric.marker} {word}".strip() for word in rubric.verdicts]
    return (
        f"{counts} {seen.unparsable} pairs got no verdict, {seen.cut} replies were cut at "
        f"judge.max_new_tokens, and where both orders disagree it is a tie. The last line of a "
        f"reply has to be one of: {', '.join(forms)}. The raw replies stand in "
        f"{stage.directory / JUDGEMENTS}: compare, then change judge.rubric or ask another model."
    )
