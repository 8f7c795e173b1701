"""Conversations of several turns, every answer graded: turns.json.

<grade_turns>/  answers/LABEL.jsonl, grades.jsonl; both grow as the work goes on, so that a kill
                loses the last few answers only
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heed.data.mt_bench import Dialogue, read_dialogues
from heed.errors import UserError
from heed.evaluation.dialogues import world_dialogues
from heed.evaluation.turns import (
    FOOLED,
    Answered,
    Graded,
    Grades,
    asked,
    best_of,
    converse,
    graded_id,
    to_grade,
    verdict_on,
)
from heed.feedback.journal import Journal
from heed.files import write_json
from heed.judging.decoys import DECOYS
from heed.judging.grading import Grader, GradingRubric
from heed.progress import Display
from heed.recipe import GradeTurns, Sampling
from heed.run import StageRun, derive_seed
from heed.sampling.local import LocalSampler
from heed.stages.workplace import Summary, Workplace
from heed.types import Completion, Finish, Sampler

CHUNK = 32
"""Conversations held, and answers graded, between two writes."""
DECOY = "decoy/"
"""Before a decoy's name; no policy's label holds a /."""
Conversations = Mapping[str, Sequence[Answered]]
"""By policy, the decoys' among them."""


def grade_turns(work: Workplace, settings: GradeTurns, stage: StageRun) -> Summary:
    """Leaves turns.json, every answer and every reply of the judge."""
    every = _dialogues(work, settings)
    dialogues = _short(work, settings, every)
    if not dialogues:
        raise UserError(
            f"{settings.name}: none of the {len(every)} questions leaves room in the policies' "
            f"context for answers of {settings.sampling.max_new_tokens} tokens each. Lower "
            "sampling.max_new_tokens, or take a model with a longer context."
        )
    policies = settings.policies
    turns, times = sum(len(each.turns) for each in dialogues), settings.samples * len(policies)
    total = times * len(dialogues) + (times + len(DECOYS)) * turns
    with Display(stage.name, total, before=0, visible=stage.writes) as bar:
        held: dict[str, Sequence[Answered]] = {}
        for label in policies:
            before = sum(map(len, held.values()))
            held[label] = _converse(work, settings, stage, label, dialogues, bar, before)
        done = sum(map(len, held.values()))
        for name, text in DECOYS.items():
            held[DECOY + name] = [_says_always(each, text) for each in dialogues]
        graded = _grade(work, settings, stage, dialogues, held, bar, done)
    found = _turns(settings, dialogues, graded)
    found["cut"] = {name: _cut(held[name]) for name in policies}
    write_json(stage.directory / "turns.json", found)
    return {
        "questions": len(dialogues),
        "answers": len(graded),
        "unparsable": sum(each.value is None for each in graded),
        "notes": list(_notes(settings, len(every) - len(dialogues), found)),
    }


def _dialogues(work: Workplace, settings: GradeTurns) -> list[Dialogue]:
    if settings.questions is not None:
        return read_dialogues(Path(settings.questions))
    assert work.world is not None, "the recipe's check demands a file elsewhere"
    return world_dialogues(work.world, work.seed(settings.name, "questions"))


def _short(work: Workplace, settings: GradeTurns, dialogues: list[Dialogue]) -> list[Dialogue]:
    """Those that fit the context of every policy; one policy is loaded at a time."""
    for source in settings.policies.values():
        sampler = work.candidate(source, settings.sampling).sampler
        dialogues = [each for each in dialogues if _fits(sampler, each)]
        del sampler  # before the next one is loaded
    return dialogues


def _fits(sampler: Sampler, dialogue: Dialogue) -> bool:
    """Whether the longest conversation about a question fits the context of a model that is here:
    its last turn, with all earlier answers as long as they may be.
    """
    while not isinstance(sampler, LocalSampler):
        inner = getattr(sampler, "sampler", None)
        if inner is None:
            return True  # a server says itself what is too long for it
        sampler = inner
    turns = len(dialogue.turns)
    roomy = replace(sampler, max_new_tokens=turns * sampler.max_new_tokens)
    return roomy.fits(asked(dialogue, [""] * (turns - 1)))


def _converse(
    work: Workplace,
    settings: GradeTurns,
    stage: StageRun,
    label: str,
    dialogues: Sequence[Dialogue],
    bar: Display,
    before: int,
) -> list[Answered]:
    """One policy's conversations, `samples` a question; those of a killed run are not held again.

    A chunk's seed is of its place, and the same for all policies.
    """
    wanted = [(each, n) for each in dialogues for n in range(settings.samples)]
    journal = Journal(stage.directory / "answers" / f"{label}.jsonl", Answered)
    names = [f"{each.id}/{n}" for each, n in wanted]
    held = journal.resume(names, lambda each: each.id, CHUNK)
    if len(held) == len(wanted):
        return held
    sampler = work.candidate(settings.policies[label], settings.sampling).sampler
    for start in range(len(held), len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        seed = work.seed(stage.name, "answers", start)
        new = converse(sampler, [each for each, _ in some], [n for _, n in some], seed)
        journal.append(new)
        held += new
        bar(before + len(held))
    return held


def _says_always(dialogue: Dialogue, text: str) -> Answered:
    finishes: list[Finish] = ["stop" for _ in dialogue.turns]
    return Answered(dialogue.id, 0, (text,) * len(finishes), tuple(finishes))


def _grade(
    work: Workplace,
    settings: GradeTurns,
    stage: StageRun,
    dialogues: Sequence[Dialogue],
    held: Conversations,
    bar: Display,
    before: int,
) -> list[Graded]:
    """A grade of every answer; those of a killed run are not asked for again."""
    sampling = Sampling(
        temperature=0.0,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.sampling.batch_size,
    )
    rubric = GradingRubric(**settings.rubric.model_dump(exclude_none=True))
    grader = Grader(work.speaker(settings.judge, sampling), rubric, settings.retries)
    wanted = list(_wanted({each.id: each for each in dialogues}, held))
    journal = Journal(stage.directory / "grades.jsonl", Graded)
    graded = journal.resume([name for name, *_ in wanted], lambda each: each.id, CHUNK)
    for start in range(len(graded), len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        grades = grader.grade(
            [completion for *_, completion, _ in some],
            references=[reference for *_, reference in some],
            seed=derive_seed(work.seed(stage.name, "judge"), start),
        )
        new = [
            Graded(*of, grade.value, grade.reply)
            for (_, of, _, _), grade in zip(some, grades, strict=True)
        ]
        journal.append(new)
        graded += new
        bar(before + len(graded))
    return graded


Of = tuple[str, str, int, int]
"""Policy, question, sample and turn of an answer."""


def _wanted(
    dialogues: Mapping[str, Dialogue], held: Conversations
) -> Iterator[tuple[str, Of, Completion, str]]:
    """Every answer to be graded: its name, whose it is, itself, a right one where it is known."""
    for policy, conversations in held.items():
        for each in conversations:
            dialogue = dialogues[each.question]
            for turn, completion in enumerate(to_grade(dialogue, each)):
                of = (policy, each.question, each.sample, turn)
                yield graded_id(*of), of, completion, dialogue.reference(turn)


def _turns(
    settings: GradeTurns, dialogues: Sequence[Dialogue], graded: Sequence[Graded]
) -> dict[str, Any]:
    """What turns.json says."""
    categories = {each.id: each.category for each in dialogues}
    rows: dict[str, list[Graded]] = {}
    for each in graded:
        rows.setdefault(each.policy, []).append(each)
    grades = {name: Grades(own, categories) for name, own in rows.items()}
    policies = {name: grades[name] for name in settings.policies}
    before, best = next(iter(policies)), best_of(policies)
    decoys = {name: grades[DECOY + name] for name in DECOYS}
    return {
        "judge": settings.judge.policy or settings.judge.model,
        "own": settings.judge.policy in settings.policies.values(),
        "questions": len(dialogues),
        "referenced": sum(any(each.references) for each in dialogues),
        "samples": settings.samples,
        "before": before,
        "policies": {name: each.to_json() for name, each in policies.items()},
        "above": {
            name: each.above(policies[before]).to_json()
            for name, each in policies.items()
            if name != before
        },
        "best": best,
        "decoys": {
            name: {**each.to_json(), **(verdict_on(policies[best], each) if best else {})}
            for name, each in decoys.items()
        },
    }


def _cut(conversations: Sequence[Answered]) -> float:
    """The share of answers that were cut at their limit."""
    finishes = [finish for each in conversations for finish in each.finishes]
    return finishes.count("length") / len(finishes)


def _notes(settings: GradeTurns, left_out: int, found: Mapping[str, Any]) -> Iterator[str]:
    if left_out:
        yield (
            f"{left_out} questions leave no room for their answers in a policy's context and were "
            "left out for all."
        )
    graded = {**found["policies"], **found["decoys"]}
    without = sum(each["unparsable"] for each in graded.values())
    if without:
        answers = sum(each["answers"] for each in graded.values())
        yield f"The judge gave {without} of {answers} answers no grade; they are left out."
    fooled = [name for name, each in found["decoys"].items() if each.get("says") == FOOLED]
    if fooled:
        yield (
            f"The judge is fooled: it grades the decoys {', '.join(fooled)} as high as "
            f"{found['best']}'s answers."
        )
    if found["own"]:
        yield f"The judge, {settings.judge.policy}, grades its own answers, too."
