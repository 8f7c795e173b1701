"""What is measured of somebody's answers where no recipe says it: the measures of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heed.evaluation.accuracy import beats
from heed.evaluation.costs import cost_table, with_costs
from heed.evaluation.measures import Samples, gap
from heed.stats.intervals import Estimate
from heed.types import Completion


@dataclass(frozen=True)
class Answered:
    """Somebody's answers and what is known of each.

    kl: from the reference, nats an answer; nan or empty where it is not known. scores: of each
    reward, by its label. own: whether the log-probs are those of the distribution drawn from.
    """

    completions: Sequence[Completion]
    kl: Sequence[float] = ()
    scores: Mapping[str, Sequence[float]] | None = None
    own: bool = True

    def samples(self) -> Samples:
        """The answers with every measure that is a number an answer."""
        values = {
            "length": [float(len(item.text.split())) for item in self.completions],
            "unfinished": [float(item.finish != "stop") for item in self.completions],
            "kl": list(self.kl) or [math.nan] * len(self.completions),
            **(self.scores or {}),
        }
        plain = Samples(self.completions, values)
        paid = with_costs(plain, own=self.own)
        return Samples(self.completions, {**values, **paid.values})


def estimates(samples: Samples) -> dict[str, Estimate]:
    """Every measure that says something, rewards first. Of a single answer to each prompt nothing
    is said of how many are distinct.
    """
    found, costs = samples.estimates(), cost_table(samples)
    several = len(set(samples.prompts)) < len(samples.prompts)
    first = [name for name in found if name not in costs and (several or name != "distinct")]
    return {**{name: found[name] for name in first}, **costs}


def above(
    scores: Sequence[float], answers: Sequence[Completion], chosen: Mapping[str, float]
) -> list[float]:
    """1 where an answer scores above what people chose of its prompt, 0 where below, 1/2 where
    both are alike; nan where nobody chose.

    Args:
        scores: of the answers.
        answers: as many.
        chosen: by the prompt's id, the score of the answer that was chosen.
    """
    return [
        beats(score, chosen[item.prompt.id]) if item.prompt.id in chosen else math.nan
        for score, item in zip(scores, answers, strict=True)
    ]


def gaps(measured: Mapping[str, Samples], baseline: str) -> dict[str, dict[str, Estimate]]:
    """How much higher each measure is than the baseline's, paired by prompt, by contestant."""
    other = measured[baseline]
    return {
        name: {
            measure: gap(samples, other, measure)
            for measure in samples.values
            if samples.known(measure)[0] and measure in other.values and other.known(measure)[0]
        }
        for name, samples in measured.items()
        if name != baseline
    }
