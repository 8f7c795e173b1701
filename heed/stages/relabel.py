"""Comparisons judged anew: by a reward model, softly, or by the gold reward, surely."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace

from scipy.special import expit

from heed.evaluation.accuracy import correctness
from heed.files import write_records
from heed.recipe import Relabel
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace
from heed.types import Comparison, Completion

Judge = Callable[[Sequence[Comparison]], list[float]]
"""The probability that the chosen answer is the better one, by comparison."""


def relabel(work: Workplace, settings: Relabel, stage: StageRun) -> Summary:
    """Leaves comparisons and heldout. The gold reward judges the held-out pairs too; a reward model
    does not: on these it is to be judged.
    """
    train = _pairs(work.records(settings.comparisons, "comparisons", Comparison))
    heldout = work.records(settings.comparisons, "heldout", Comparison)
    by = settings.reward or "gold"
    judge = _model(work, by) if settings.reward else _gold(work)
    chances = judge(train)
    labelled = _labelled(train, chances, by)
    if settings.reward is None:
        heldout = _pairs(heldout)
        heldout = _labelled(heldout, judge(heldout), by)
    write_records(stage.directory / "comparisons.jsonl", labelled)
    write_records(stage.directory / "heldout.jsonl", heldout)
    ceiling = work.path(settings.comparisons, "ceiling.json")
    if settings.reward and ceiling.exists():
        shutil.copy(ceiling, stage.directory / ceiling.name)
    decided = [chance > 0.5 for chance in chances if chance != 0.5]
    return {
        "pairs": len(decided),
        "comparisons": len(labelled),
        "heldout": len(heldout),
        "agrees_with_before": sum(decided) / max(1, len(decided)),
    }


def _gold(work: Workplace) -> Judge:
    """1 where the gold reward prefers the chosen answer, 0 where the other, 1/2 where neither."""
    return lambda comparisons: correctness(work.gold["gold"], comparisons)


def _model(work: Workplace, name: str) -> Judge:
    """Bradley-Terry's probability, of the scores as they were before calibration scaled them."""
    score = work.reward(name)
    std = float(work.run.stage(name).done_summary()["calibrated_from"]["std"])

    def judge(comparisons: Sequence[Comparison]) -> list[float]:
        better = score([Completion(item.prompt, item.chosen) for item in comparisons])
        worse = score([Completion(item.prompt, item.rejected) for item in comparisons])
        return [float(expit(std * (a - b))) for a, b in zip(better, worse, strict=True)]

    return judge


def _pairs(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Each pair of answers once, as it stands first, whoever judged it and how often."""
    once: dict[tuple[str, frozenset[str]], Comparison] = {}
    for item in comparisons:
        once.setdefault((item.prompt.id, frozenset((item.chosen, item.rejected))), item)
    return list(once.values())


def _labelled(pairs: Sequence[Comparison], chances: Sequence[float], by: str) -> list[Comparison]:
    """Every pair with its soft label: both orders, weighted by their probability.

    Bradley-Terry on the two is the cross-entropy of the label. A sure one is a single comparison
    of weight 1; a toss of a coin says nothing and is left out.
    """
    made = []
    for item, chance in zip(pairs, chances, strict=True):
        plain = replace(item, margin=0.0, weight=chance, annotator=by, source="reward")
        turned = replace(plain, chosen=item.rejected, rejected=item.chosen, weight=1 - chance)
        made += [way for way in (plain, turned) if way.weight > 0 and chance != 0.5]
    return made
