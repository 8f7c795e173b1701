"""UltraFeedback's rows: an instruction and scored completions, which make a ranking."""

from __future__ import annotations

from collections.abc import Sequence

from heed.data import fields
from heed.data.entries import Entry, Reading, prompt_of, said, side
from heed.data.rows import Row, RowError
from heed.data.trl import author
from heed.types import Item, Verdict


def scored(row: Row, reading: Reading) -> Entry:
    """instruction and completions, a list of {"response", "model", "overall_score"}."""
    values = row.values
    completions = values.get("completions")
    if not isinstance(completions, list) or not all(isinstance(one, dict) for one in completions):
        raise RowError("the column 'completions' has no list of objects")
    if len(completions) < 2:
        raise RowError("fewer than two completions: nothing to compare")
    answers = tuple(fields.text(one, "response") for one in completions)
    models = tuple(fields.optional(one, "model") for one in completions)
    scores = [fields.number(one, "overall_score") for one in completions]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        raise RowError("a completion has no overall_score")
    prompt = prompt_of(fields.prompt(values, "instruction"))
    item = Item("", prompt, answers, models if any(models) else ())
    order = tuple(range(len(answers)))
    return Entry(row, item, (said(author(values, reading), from_scores(known), order),))


def from_scores(scores: Sequence[float]) -> Verdict:
    """The ranking that scores make, the highest first; of two equal ones a tie."""
    ranks = tuple(1 + sum(other > score for other in scores) for score in scores)
    if len(scores) > 2:
        return ranks
    return "tie" if scores[0] == scores[1] else side(ranks.index(1))
