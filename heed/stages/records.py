"""The first stage: prompts, texts and (people's) feedback, as records on disk."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import get_args

from heed.data.aside import BROKEN, keep_apart, refusal, write_rejected
from heed.data.sources import files_of
from heed.data.survey import Survey, survey
from heed.data.tables import length
from heed.data.training_set import TrainingSet, on, training_set
from heed.errors import UserError
from heed.files import write_records
from heed.progress import Display
from heed.recipe import Kto, Records, Sft, Stage, listed
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace
from heed.types import Split
from heed.world.world import World

MANY, STEP = 20_000, 1000
"""Rows from which on reading them is shown, and how often."""
_BOTH = "to train and to judge on"


def records(work: Workplace, settings: Records, stage: StageRun) -> Summary:
    """From the embedded world, or from people's data."""
    if work.world is not None:
        return _from_world(work.world, settings, stage)
    return _from_data(work, settings, stage)


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


def _from_data(work: Workplace, settings: Records, stage: StageRun) -> Summary:
    found = _read(work, settings, stage)
    kept = training_set(
        found,
        heldout=settings.heldout,
        limit=settings.limit,
        seed=lambda *names: work.seed(stage.name, *names),
    )
    _check(work, stage, found, kept)
    folder = stage.directory
    write_records(folder / "prompts.jsonl", kept.prompts)
    write_records(folder / "comparisons.jsonl", on(kept.comparisons, "train"))
    write_records(folder / "heldout.jsonl", on(kept.comparisons, "heldout"))
    write_records(folder / "unpaired.jsonl", on(kept.unpaired, "train"))
    write_records(folder / "heldout_unpaired.jsonl", on(kept.unpaired, "heldout"))
    write_records(folder / "demonstrations.jsonl", kept.imitated)
    write_records(folder / "corpus.jsonl", kept.corpus)
    counts = {"unpaired": len(kept.unpaired), "demonstrations": len(kept.demonstrations)}
    return {
        "prompts": len(kept.prompts),
        "heldout_prompts": sum(prompt.split == "heldout" for prompt in kept.prompts),
        "comparisons": len(on(kept.comparisons, "train")),
        **{kind: count for kind, count in counts.items() if count},
        "set_aside": found.left_out,
        "notes": [found.message(), *_notes(found, kept, stage)],
    }


def _read(work: Workplace, settings: Records, stage: StageRun) -> Survey:
    """What the recipe's data hold. Raises UserError for broken rows that are not to be skipped."""
    sources = [work.recipe.data] if isinstance(work.recipe.data, str) else work.recipe.data
    total = sum(map(length, files_of(sources)))
    with Display(f"{stage.name} reads", total, visible=stage.writes and total >= MANY) as bar:
        found = survey(sources, progress=_counting(bar))
    if found.broken and settings.broken == "refuse":
        kept = keep_apart(found, work.run.directory / f"{stage.name}.aside")
        raise UserError(refusal(found, kept))
    if found.broken:
        write_rejected(stage.directory / BROKEN, found.broken)
    return found


def _counting(bar: Display) -> Callable[[str, int, int], None]:
    """What hears of every row of every file, and shows some."""
    rows = count(1)

    def heard(*_: object) -> None:
        done = next(rows)
        if done % STEP == 0:
            bar(min(done, bar.total))

    return heard


def _check(work: Workplace, stage: StageRun, found: Survey, kept: TrainingSet) -> None:
    """Raise UserError where the data do not hold what a later stage is trained on."""
    for later in work.recipe.stages:
        why = _lacking(later, stage.name, kept)
        if why:
            raise UserError(
                f"{', '.join(found.sources)}: {why} The stage {later.name!r} ({later.kind}) is "
                f"trained on them. {found.message()}{_fitting(kept)}"
            )


def _lacking(later: Stage, name: str, kept: TrainingSet) -> str:
    """What a stage would be trained on and is not there, as a sentence; nothing where all is."""
    named = getattr(later, "comparisons", None)
    if isinstance(named, str | list) and listed(named) == [name]:
        return _labelled(kept) if isinstance(later, Kto) else _compared(kept)
    if isinstance(later, Sft) and later.records == name:
        return _imitated(kept)
    return ""


def _imitated(kept: TrainingSet) -> str:
    """What is missing of answers to imitate."""
    if not on(kept.imitated, "train"):
        return "there are no demonstrations, and no answer was chosen or called good."
    # Where none is held out, the stage keeps one of those to train on for itself.
    if len(kept.imitated) == 1:
        if kept.comparisons and not kept.demonstrations:
            return _compared(kept)
        return f"1 usable demonstration is too little {_BOTH}."
    return ""


def _compared(kept: TrainingSet) -> str:
    """What is missing of comparisons to train and to judge on."""
    if not kept.comparisons:
        return "there are no comparisons (prompt, chosen, rejected)."
    enough = all(on(kept.comparisons, split) for split in get_args(Split))
    return "" if enough else f"{len(kept.comparisons)} usable comparisons are too few {_BOTH}."


def _labelled(kept: TrainingSet) -> str:
    """What is missing of good and bad answers, which KTO wants of each to train on."""
    train, heldout = (
        [*on(kept.comparisons, split), *on(kept.unpaired, split)] for split in get_args(Split)
    )
    if not kept.comparisons and not kept.unpaired:
        return "there are no answers called good or bad (prompt, completion, label)."
    if not train or not heldout:
        return f"{len(train) + len(heldout)} usable answers are too few {_BOTH}."
    labels = {each.desirable for each in on(kept.unpaired, "train")}
    if on(kept.comparisons, "train") or len(labels) == 2:
        return ""
    return f"all answers are called {'good' if True in labels else 'bad'}; there are no others."


def _fitting(kept: TrainingSet) -> str:
    """Which method the data are for, where they are for one alone."""
    if kept.comparisons:
        return ""
    if len({each.desirable for each in kept.unpaired}) == 2:
        return (
            " Answers that are labelled one by one fit the method KTO: a stage of kind kto with "
            "comparisons: records, in place of rewards and of methods that learn from them."
        )
    if kept.demonstrations:
        return (
            " Demonstrations fit the method SFT: a recipe of records, pretrain, sft, evaluate and "
            "report, or a reward that is not trained (exact, maths, regex, ...)."
        )
    return ""


def _notes(found: Survey, kept: TrainingSet, stage: StageRun) -> list[str]:
    """What a person should know of the data beside the counts."""
    held = sum(prompt.split == "heldout" for prompt in found.prompts)
    notes = {
        f"{len(found.broken):,} broken rows were left out; they stand with their reasons in "
        f"{stage.directory / BROKEN}.": len(found.broken),
        f"{found.contradictory:,} rows say otherwise than an earlier one of the same annotator, or "
        "of nobody, on the same answers; the first stands.": found.contradictory,
        f"The data hold {held:,} prompts out themselves, and these are kept: training sees no row "
        "of any of them.": held,
        "There are no demonstrations: the stage sft imitates the answers that were called good.": (
            bool(kept.unpaired) and not kept.comparisons and not kept.demonstrations
        ),
    }
    return [note for note, said in notes.items() if said]
