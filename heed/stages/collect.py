"""Feedback from simulated annotators: pairs of answers, graded, as comparisons."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heed.errors import UserError
from heed.feedback.comparisons import comparisons
from heed.feedback.pairs import sample_pairs
from heed.files import write_json, write_records
from heed.progress import Display
from heed.recipe import Collect
from heed.run import StageRun
from heed.sampling.mixture import MixtureSampler
from heed.stages.workplace import Summary, Workplace
from heed.types import Annotation, Pair, Split
from heed.world.annotators import noise_ceiling


def collect(work: Workplace, settings: Collect, stage: StageRun) -> Summary:
    """Leaves pairs, annotations, comparisons (training and held-out prompts) and the ceiling."""
    assert work.world is not None, "load_recipe lets nobody collect outside the world"
    people = work.world.annotators(**settings.annotators.model_dump(exclude_none=True))
    pairs = {pair.id: pair for pair in _pairs(work, settings, stage)}
    draw = random.Random(work.seed(stage.name, "people"))
    annotations = [draw.choice(people).annotate(pair) for pair in pairs.values()]
    decided = [item for item in annotations if item.prefers_left is not None]
    train = comparisons([item for item in decided if item.item.startswith("train")], pairs)
    judged = [item for item in decided if item.item.startswith("heldout")]
    heldout = comparisons(judged, pairs)
    if not train or not heldout:
        raise UserError(_too_few(settings, len(train), len(heldout)))
    write_records(stage.directory / "pairs.jsonl", pairs.values())
    write_records(stage.directory / "annotations.jsonl", annotations)
    write_records(stage.directory / "comparisons.jsonl", train)
    write_records(stage.directory / "heldout.jsonl", heldout)
    ceilings = [noise_ceiling(people, pairs[item.item]) for item in judged]
    write_json(stage.directory / "ceiling.json", ceilings)
    return {
        "annotators": len(people),
        "comparisons": len(train),
        "heldout": len(heldout),
        "without_a_side": _undecided(annotations),
    }


def _pairs(work: Workplace, settings: Collect, stage: StageRun) -> list[Pair]:
    """Pairs on training prompts ("train-0", ...), then on held-out ones ("heldout-0", ...)."""
    sampler = MixtureSampler(
        [work.sampler(work.policy(name), settings.sampling, name) for name in settings.policies]
    )
    pairs: list[Pair] = []
    counts: dict[Split, int] = {"train": settings.comparisons, "heldout": settings.heldout}
    with Display(stage.name, sum(counts.values()), visible=stage.writes) as bar:
        for split, count in counts.items():
            done = len(pairs)
            pairs += sample_pairs(
                sampler,
                work.prompts(settings.records, split),
                count,
                seed=work.seed(stage.name, split),
                name=split,
                progress=lambda made, done=done: bar(done + made),  # type: ignore[misc]
            )
    return pairs


def _too_few(settings: Collect, train: int, heldout: int) -> str:
    return (
        f"{settings.name}: the answers of {', '.join(settings.policies)} gave {train} comparisons "
        f"to train on, {heldout} to judge on: too few. Only two finished, unlike answers are "
        "compared: train that policy longer, raise sampling.max_new_tokens, or ask for more "
        "comparisons."
    )


def _undecided(annotations: Sequence[Annotation]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in annotations:
        if isinstance(item.verdict, str):
            counts[item.verdict] = counts.get(item.verdict, 0) + 1
    return counts
