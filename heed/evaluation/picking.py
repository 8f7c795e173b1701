"""Does a model pick better than it writes? The generator-discriminator gap.

Of n answers to a prompt, a model's pick is the one it finds likeliest itself (log-prob a token, so
that short answers have no advantage). The gap is how much better the pick is than an answer drawn
at random (Saunders et al. 2022, arXiv:2206.05802, section 5, with the likelihood as the judge):
what a model knows about good answers and does not yet write. Training on preferences can close it
by writing what was picked before, or by forgetting what a good answer is.
"""

from __future__ import annotations

from collections.abc import Sequence

from heed.evaluation.measures import Samples
from heed.stats.intervals import Estimate, difference_interval, mean_interval
from heed.types import Completion


def picking(samples: Samples, measure: str) -> dict[str, Estimate]:
    """`measure` of what a policy writes, of its own pick, the gap of both, and of the best.

    "writes" is the mean over all answers, "picks" over each prompt's likeliest answer, "best" over
    each prompt's answer with the highest value (as far as picking could go); "gap" is picks less
    writes, paired by prompt. Every prompt counts the same; intervals are over prompts.

    Raises:
        ValueError: an answer carries no log-probs.
    """
    answers: dict[str, list[tuple[float, float]]] = {}
    for item, value in zip(samples.completions, samples.values[measure], strict=True):
        answers.setdefault(item.prompt.id, []).append((likelihood(item), value))
    writes = [_mean([value for _, value in group]) for group in answers.values()]
    picks = [_likeliest(group) for group in answers.values()]
    best = [max(value for _, value in group) for group in answers.values()]
    prompts = list(answers)
    return {
        "writes": mean_interval(writes),
        "picks": mean_interval(picks),
        "gap": difference_interval(picks, writes, prompts, prompts),
        "best": mean_interval(best),
    }


def likelihood(item: Completion) -> float:
    """The log-prob a token, in nats, of an answer under the model that wrote it.

    Raises:
        ValueError: the answer carries no log-probs.
    """
    if not item.logprobs:
        raise ValueError(f"the answer {item.text!r} to {item.prompt.id!r} carries no log-probs")
    return _mean(item.logprobs)


def _likeliest(group: Sequence[tuple[float, float]]) -> float:
    """The mean value of the likeliest answers: the same text may have been drawn several times."""
    top = max(likely for likely, _ in group)
    return _mean([value for likely, value in group if likely == top])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
