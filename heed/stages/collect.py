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
from heed.types import Annotation, Pair, Prompt
from heed.world.annotators import noise_ceiling


def collect(work: Workplace, settings: Collect, stage: StageRun) -> Summary:
    """Leaves pairs, annotations, comparisons (training and held-out prompts) and the ceiling."""
    if work.world is None:
        raise UserError(
            f"The stage {stage.name!r} needs the embedded world (data: world): only there do "
            "simulated annotators know what they like."
        )
    people = work.world.annotators(**settings.annotators.model_dump(exclude_none=True))
    sampler = MixtureSampler(
        [work.sampler(work.policy(name), settings.sampling, name) for name in settings.policies]
    )
    total = settings.comparisons + settings.heldout
    with Display(stage.name, total, visible=stage.writes) as bar:

        def gather(prompts: Sequence[Prompt], count: int, name: str) -> list[Pair]:
            done = 0 if name == "train" else settings.comparisons
            return sample_pairs(
                sampler,
                prompts,
                count,
                seed=work.seed(stage.name, name),
                name=name,
                progress=lambda made: bar(done + made),
            )

        train = gather(work.prompts(settings.records, "train"), settings.comparisons, "train")
        heldout = gather(work.prompts(settings.records, "heldout"), settings.heldout, "heldout")
    pairs = {pair.id: pair for pair in (*train, *heldout)}
    draw = random.Random(work.seed(stage.name, "people"))
    asked = {pair.id: draw.choice(people) for pair in pairs.values()}
    annotations = [asked[pair.id].annotate(pair) for pair in pairs.values()]
    decided = [item for item in annotations if item.prefers_left is not None]
    kept = {
        name: comparisons([a for a in decided if a.item.startswith(name)], pairs)
        for name in ("train", "heldout")
    }
    if not kept["train"] or not kept["heldout"]:
        raise UserError(
            f"{stage.name}: the answers of {', '.join(settings.policies)} gave "
            f"{len(kept['train'])} comparisons to train on and {len(kept['heldout'])} to judge on, "
            "too few. Only two finished, unlike answers are compared: train that policy longer, raise "
            "sampling.max_new_tokens, or ask for more comparisons."
        )
    write_records(stage.directory / "pairs.jsonl", pairs.values())
    write_records(stage.directory / "annotations.jsonl", annotations)
    write_records(stage.directory / "comparisons.jsonl", kept["train"])
    write_records(stage.directory / "heldout.jsonl", kept["heldout"])
    judged = [pairs[item.item] for item in decided if item.item.startswith("heldout")]
    ceilings = [noise_ceiling(people, pair) for pair in judged]
    write_json(stage.directory / "ceiling.json", ceilings)
    return {
        "annotators": len(people),
        "comparisons": len(kept["train"]),
        "heldout": len(kept["heldout"]),
        "without_a_side": _undecided(annotations),
    }


def _undecided(annotations: Sequence[Annotation]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in annotations:
        if isinstance(item.verdict, str):
            counts[item.verdict] = counts.get(item.verdict, 0) + 1
    return counts
