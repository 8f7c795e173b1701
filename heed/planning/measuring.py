"""What the stages do that measure: evaluations, comparisons, grades; and what it takes for whatever
answers for a stage to answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from heed import recipe
from heed.judging.decoys import DECOYS
from heed.planning.ground import JUDGED, Ground
from heed.planning.passes import Counts, Pass, together
from heed.planning.texts import Rows

TURNS = 2
"""Turns of a question, as in MT-Bench."""
STARTS = 1024
"""Answers by which the start of trainings is known (`heed.stages.overoptimisation`)."""
A_FAMILY = 12
"""Questions a family of the world, at most (`heed.evaluation.dialogues`)."""


def evaluate(ground: Ground, stage: recipe.Evaluate) -> Counts:
    """Every policy on the same prompts; KL and rewards of what it answered."""
    data, root = ground.data, ground.root(stage.reference)
    each = math.ceil(stage.samples / max(1, data.held))
    heldout = each * data.held
    seen = min(stage.seen, data.asked())
    questions = data.probes if stage.probes is None else _lines(stage.probes)
    plain = 0 if stage.probes is None else questions
    told = stage.wanted_opinions * (questions + plain)
    passes: list[Pass] = []
    for name in stage.policies.values():
        rows = ground.texts(ground.recipe.stage(name).name)
        answer = rows.answer(stage.sampling.max_new_tokens)
        row = rows.prompt() + answer
        groups = ((heldout, each), (seen, 1), (told, stage.wanted_opinions or 1))
        for answers, group in groups:
            passes += candidate(ground, name, answers, stage.sampling, group=group)
        measured = heldout + seen
        passes.append(Pass("forwarded", measured * row, measured * answer, root))
        for reward_name in stage.rewards():
            passes += ground.score(reward_name, measured, row)
    return Counts(
        prompts=data.held + seen + questions + plain,
        answers=len(stage.policies) * (heldout + seen + told),
        passes=together(passes),
    )


def compare(ground: Ground, stage: recipe.Compare) -> Counts:
    """Pairs of every two contestants, decoys among them, shown to everyone who judges."""
    evaluate_, data = _evaluation(ground, stage), ground.data
    policies = list(stage.labelled(evaluate_).values())
    prompts = min(stage.prompts or data.held, data.held)
    drawn: list[Pass] = []
    answers = 0.0
    if evaluate_ is None:
        answers = float(len(policies) * stage.answers * data.held)
        for name in policies:
            each = answers / len(policies)
            sampling = stage.sampling or recipe.Sampling()
            drawn += candidate(ground, name, each, sampling, group=stage.answers)
    among = len(policies) * (len(policies) - 1) / 2
    pairs = prompts * stage.answers * (among + len(policies) * len(DECOYS))
    pairs = min(pairs, stage.pairs or pairs)
    rows, judges = ground.texts(policies[0]), stage.judges
    once = min(2 * pairs, prompts * stage.answers * (len(policies) + len(DECOYS)))
    for name in judges.rewards:
        drawn += ground.score(name, once, whole(rows))
    if judges.model is not None:
        question = JUDGED + rows.prompt() + 2 * rows.answer()
        drawn += ground.ask(judges.model.policy, 2 * pairs, question, judges.model.max_new_tokens)
    asked = judges.people.per_item * pairs if judges.people else 0.0
    return Counts(prompts, answers, asked, rows.words(2), together(drawn))


def _evaluation(ground: Ground, stage: recipe.Compare) -> recipe.Evaluate | None:
    return stage.source({each.name: each for each in ground.recipe.stages})


def grade_turns(ground: Ground, stage: recipe.GradeTurns) -> Counts:
    """Conversations of two turns, and a grade of every answer, the decoys' among them."""
    families = len(ground.data.heldout_prompts)
    questions = A_FAMILY * families if stage.questions is None else _lines(stage.questions)
    held = questions * stage.samples
    drawn: list[Pass] = []
    for name in stage.policies.values():
        rows = ground.texts(name)
        # The second turn is asked with the first and its answer before it.
        drawn += candidate(ground, name, TURNS * held, stage.sampling)
        drawn.append(Pass("forwarded", held * whole(rows), 0.0, ground.root(name)))
    graded = TURNS * (held * len(stage.policies) + questions * len(DECOYS))
    rows = ground.texts(next(iter(stage.policies.values())))
    question = JUDGED + 1.5 * whole(rows)
    drawn += ground.ask(stage.judge.policy, graded, question, stage.max_new_tokens)
    answers = TURNS * held * len(stage.policies)
    return Counts(prompts=TURNS * questions, answers=answers, passes=together(drawn))


def overoptimisation(ground: Ground, stage: recipe.Overoptimisation) -> Counts:
    """Many answers of the start to every held-out prompt, scored by every proxy."""
    held, rows = ground.data.held, ground.texts(stage.policy)
    answers = held * stage.samples
    drawn = candidate(ground, stage.policy, answers, stage.sampling, group=stage.samples)
    starts = STARTS if stage.runs else 0
    drawn += candidate(ground, stage.policy, starts, stage.sampling)
    answers += starts
    for name in stage.rewards():
        drawn += ground.score(name, answers, whole(rows))
    return Counts(prompts=held + starts, answers=answers, passes=together(drawn))


def weak_to_strong(ground: Ground, stage: recipe.WeakToStrong) -> Counts:
    """Every reward model on the held-out pairs."""
    pairs = ground.pairs(stage.comparisons)
    names = dict.fromkeys([stage.weak, *stage.students, stage.ceiling])
    scored = [ground.score(name, 2 * pairs.heldout, whole(pairs.rows)) for name in names]
    return Counts(passes=together(each for some in scored for each in some))


def candidate(
    ground: Ground, name: str, answers: float, sampling: recipe.Sampling, *, group: int = 1
) -> list[Pass]:
    """Answers of whatever answers for a stage: a policy, one asked with more, the best of n."""
    stage = ground.recipe.stage(name)
    if isinstance(stage, recipe.BestOfN):
        drawn, rows = answers * stage.n, ground.texts(stage.policy)
        scored = ground.score(stage.reward, drawn, rows.prompt() + rows.answer())
        more = candidate(ground, stage.policy, drawn, sampling, group=group * stage.n)
        return [*more, *scored]
    stands = BEFORE.get(type(stage))
    before = 0.0 if stands is None else stands(ground, stage)
    policy = stage.policy if isinstance(stage, IN_CONTEXT) else name
    return ground.sample(policy, answers, sampling, group=group, before=before)


def _said(_: Ground, stage: recipe.SystemPrompt) -> float:
    text = stage.text if stage.text is not None else Path(stage.file or "").read_text("utf-8")
    return 1.3 * len(text.split())


def _found(ground: Ground, stage: recipe.Retrieval) -> float:
    rows = ground.data.demonstrations
    shots = stage.demonstrations or stage.demonstrations_file
    return stage.k * (rows.prompt() + rows.answer() if shots else ground.data.documents)


def _level(_: Ground, stage: recipe.RewardConditioned) -> float:
    return len(stage.template.split()) + 2


IN_CONTEXT = (recipe.SystemPrompt, recipe.Retrieval)
BEFORE: Mapping[type[recipe.Stage], Callable[[Ground, Any], float]] = {
    recipe.SystemPrompt: _said,
    recipe.Retrieval: _found,
    recipe.RewardConditioned: _level,
}
"""Tokens that stand before a prompt, by the stage that answers."""


def whole(rows: Rows) -> float:
    """Tokens of a prompt and a whole answer."""
    return rows.prompt() + rows.answer()


def _lines(path: str) -> int:
    return sum(1 for line in Path(path).read_text("utf-8").splitlines() if line.strip())
