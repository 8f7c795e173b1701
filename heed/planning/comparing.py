"""What a comparison of policies will do."""

from __future__ import annotations

import math

from heed import recipe
from heed.planning.candidates import candidate
from heed.planning.ground import Ground
from heed.planning.passes import Counts, Pass, together

JUDGED = 150
"""Tokens of a judge's rubric around what it judges."""
DECOYS = 3
"""Answers that answer nothing, of which each meets every policy."""


def compare(ground: Ground, stage: recipe.Compare) -> Counts:
    """Every two policies and every decoy, unless sampled before; what is judged by models."""
    evaluate = stage.source({each.name: each for each in ground.recipe.stages})
    names, held = list(stage.labelled(evaluate).values()), ground.data.held
    answers = stage.answers * (min(stage.prompts, held) if stage.prompts else held)
    rows = ground.texts(names[0])
    sampling = (evaluate.sampling if evaluate else stage.sampling) or recipe.Sampling()
    row = rows.prompt() + rows.answer(sampling.max_new_tokens)
    twos = math.comb(len(names), 2) + DECOYS * len(names)
    pairs = stage.pairs or twos * answers
    passes: list[Pass] = []
    for name in names if evaluate is None else ():
        passes += candidate(ground, name, answers, sampling, group=stage.answers)
    for name in stage.judges.rewards:
        passes += ground.score(name, len(names) * answers, row)
    if (model := stage.judges.model) is not None:
        question = JUDGED + 2 * row - rows.prompt()
        passes += ground.ask(model.policy, 2 * pairs, question, model.max_new_tokens)
    people = stage.judges.people
    return Counts(
        prompts=answers if evaluate is None else 0,
        answers=len(names) * answers if evaluate is None else 0,
        labels=pairs * people.per_item if people else 0,
        words=rows.words(2) if people else 0.0,
        passes=together(passes),
    )
