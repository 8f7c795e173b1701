"""The first stage: prompts, texts and (human) comparisons, as records on disk."""

from __future__ import annotations

import random
from pathlib import Path

from heed.data.transcripts import read_transcripts, split_by_prompt
from heed.errors import UserError
from heed.files import write_records
from heed.recipe import Records
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace
from heed.types import Comparison, Demonstration
from heed.world.world import World


def records(work: Workplace, settings: Records, stage: StageRun) -> Summary:
    """From the embedded world, or from transcripts."""
    if work.world is not None:
        return _from_world(work.world, settings, stage)
    return _from_transcripts(work, settings, stage)


def _from_world(world: World, settings: Records, stage: StageRun) -> Summary:
    talk = world.feedback_dialogues(settings.feedback_talk)
    looked_up = world.document_dialogues(settings.documents)
    corpus = [*world.corpus(settings.corpus), *talk, *looked_up]
    demonstrations = world.demonstrations(settings.demonstrations)
    write_records(stage.directory / "prompts.jsonl", world.prompts)
    write_records(stage.directory / "corpus.jsonl", corpus)
    write_records(stage.directory / "demonstrations.jsonl", demonstrations)
    write_records(stage.directory / "references.jsonl", world.references())
    write_records(stage.directory / "documents.jsonl", world.documents())
    return {
        "prompts": len(world.prompts),
        "heldout_prompts": sum(prompt.split == "heldout" for prompt in world.prompts),
        "corpus": len(corpus),
        "demonstrations": len(demonstrations),
    }


def _from_transcripts(work: Workplace, settings: Records, stage: StageRun) -> Summary:
    sources = [work.recipe.data] if isinstance(work.recipe.data, str) else work.recipe.data
    transcripts = read_transcripts([Path(source) for source in sources])
    usable = list(transcripts.comparisons)
    random.Random(work.seed(stage.name, "limit")).shuffle(usable)  # every file has its share
    comparisons = split_by_prompt(
        usable[: settings.limit],
        heldout=settings.heldout,
        seed=work.seed(stage.name),
    )
    train = [item for item in comparisons if item.prompt.split == "train"]
    heldout = [item for item in comparisons if item.prompt.split == "heldout"]
    if not train or not heldout:
        raise UserError(
            f"{', '.join(sources)}: {len(comparisons)} usable comparisons are too few to train and "
            f"to judge on. {transcripts.message()}"
        )
    write_records(stage.directory / "prompts.jsonl", [item.prompt for item in comparisons])
    write_records(stage.directory / "comparisons.jsonl", train)
    write_records(stage.directory / "heldout.jsonl", heldout)
    write_records(stage.directory / "demonstrations.jsonl", _chosen(comparisons))
    write_records(stage.directory / "corpus.jsonl", [*_chosen(train), *_rejected(train)])
    return {
        "prompts": len(comparisons),
        "heldout_prompts": len(heldout),
        "comparisons": len(train),
        "set_aside": transcripts.set_aside,
        "notes": [transcripts.message()],
    }


def _chosen(comparisons: list[Comparison]) -> list[Demonstration]:
    return [Demonstration(item.prompt, item.chosen) for item in comparisons]


def _rejected(comparisons: list[Comparison]) -> list[Demonstration]:
    return [Demonstration(item.prompt, item.rejected) for item in comparisons]
