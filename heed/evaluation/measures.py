"""Measures of a policy's samples, as estimates with intervals, over all and by family.

Several samples share a prompt and are not independent, so intervals are clustered by prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from heed.stats.diversity import distinct_answers, distinct_n
from heed.stats.intervals import (
    Estimate,
    difference_interval,
    mean_interval,
    proportion_interval,
)
from heed.types import Completion

Values = Mapping[str, Sequence[float]]
"""Measure -> one number a completion, nan where the measure has nothing to say of it."""


@dataclass(frozen=True)
class Samples:
    """A policy's completions of held-out prompts and what was measured on each."""

    completions: Sequence[Completion]
    values: Values

    def where(self, chosen: Sequence[bool]) -> Samples:
        """Only the completions so marked."""
        keep = [index for index, take in enumerate(chosen) if take]
        return Samples(
            [self.completions[i] for i in keep],
            {name: [values[i] for i in keep] for name, values in self.values.items()},
        )

    def family(self, name: str) -> Samples:
        """Only the answers to prompts of a family."""
        return self.where([item.prompt.family == name for item in self.completions])

    @property
    def prompts(self) -> list[str]:
        return [item.prompt.id for item in self.completions]

    def known(self, measure: str) -> tuple[list[float], list[str]]:
        """The values of a measure, and the prompts they belong to."""
        pairs = zip(self.values[measure], self.prompts, strict=True)
        found = [(value, prompt) for value, prompt in pairs if not math.isnan(value)]
        return [value for value, _ in found], [prompt for _, prompt in found]

    def estimate(self, measure: str) -> Estimate:
        """Mean over completions, interval clustered by prompt (Wilson's for yes and no)."""
        values, prompts = self.known(measure)
        interval = proportion_interval if set(values) <= {0.0, 1.0} else mean_interval
        return interval(values, prompts)

    def estimates(self) -> dict[str, Estimate]:
        """Every measure that says something, and how varied the samples of one prompt are.

        "distinct" is the share of distinct answers, "distinct_2" of distinct word pairs.
        """
        return {
            **{name: self.estimate(name) for name in self.values if self.known(name)[0]},
            **{name: mean_interval(list(found.values())) for name, found in self._varied().items()},
        }

    def by_prompt(self) -> dict[str, dict[str, float]]:
        """Every measure's mean over the answers to a prompt, by measure and prompt; prompts of
        which it says nothing are left out.
        """
        means: dict[str, dict[str, float]] = {}
        for name in self.values:
            found: dict[str, list[float]] = {}
            for value, prompt in zip(*self.known(name), strict=True):
                found.setdefault(prompt, []).append(value)
            if found:
                means[name] = {prompt: fmean(values) for prompt, values in found.items()}
        return {**means, **self._varied()}

    def _varied(self) -> dict[str, dict[str, float]]:
        """How varied the answers to each prompt are, by measure and prompt."""
        answers: dict[str, list[str]] = {}
        for item in self.completions:
            answers.setdefault(item.prompt.id, []).append(item.text)
        return {
            "distinct": {at: distinct_answers(texts) for at, texts in answers.items()},
            "distinct_2": {at: distinct_n(texts, 2) for at, texts in answers.items()},
        }

    def by_family(self) -> dict[str, dict[str, Estimate]]:
        """The estimates of each family of prompts."""
        families = dict.fromkeys(item.prompt.family for item in self.completions)
        return {family: self.family(family).estimates() for family in families}


def gap(better: Samples, worse: Samples, measure: str) -> Estimate:
    """How much higher a measure is for one policy than for another, paired by prompt."""
    (ours, our_prompts), (theirs, their_prompts) = better.known(measure), worse.known(measure)
    return difference_interval(ours, theirs, our_prompts, their_prompts)
