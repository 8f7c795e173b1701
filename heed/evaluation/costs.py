"""What a policy paid for its reward: answers longer, more alike, more timid, further away.

Every cost is a number an answer, so that all of them have intervals clustered by prompt, by family
too, and differences from another policy that are paired by prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from heed.evaluation.measures import Samples, gap
from heed.stats.diversity import distinct_n, repeated_n
from heed.stats.intervals import Estimate
from heed.stats.phrases import hedges, refuses
from heed.stats.self_bleu import self_bleu
from heed.types import Completion

COSTS = (
    "length", "kl", "entropy", "distinct_1", "distinct_2", "self_bleu_prompt", "self_bleu",
    "repeated", "refuses", "hedges", "unfinished",
)  # fmt: skip
SetMeasure = Callable[[Sequence[str]], Sequence[float]]
"""From texts to a number each."""
REPEATED = 3
"""Words that make a repeated n-gram."""


def with_costs(samples: Samples, *, own: bool = True) -> Samples:
    """The answers with their `COSTS`, those that were measured before among them.

    "distinct_n" is Li et al.'s (2016) share over one prompt's answers, "self_bleu_prompt" an
    answer's BLEU against the other answers to its prompt, "self_bleu" against one answer to each
    other prompt (the first answers make a set, the second another, ...; its interval takes the
    others as given). "repeated" is an answer in which three words in a row come again. Where the
    log-probs are not the policy's `own` (best of n), nothing is said of its entropy.
    """
    texts = [item.text for item in samples.completions]
    groups: dict[str, list[int]] = {}
    for at, prompt in enumerate(samples.prompts):
        groups.setdefault(prompt, []).append(at)
    sets = list(groups.values())
    turns = [
        [group[turn] for group in sets if turn < len(group)] for turn in range(max(map(len, sets)))
    ]
    values = {
        "length": samples.values["length"],
        "kl": samples.values["kl"],
        "distinct_1": _over(sets, texts, lambda chosen: [distinct_n(chosen, 1)] * len(chosen)),
        "distinct_2": _over(sets, texts, lambda chosen: [distinct_n(chosen, 2)] * len(chosen)),
        "self_bleu_prompt": _over(sets, texts, self_bleu),
        "self_bleu": _over(turns, texts, self_bleu),
        "repeated": [float(repeated_n(text, REPEATED) > 0) for text in texts],
        "refuses": [float(refuses(text)) for text in texts],
        "hedges": [float(hedges(text)) for text in texts],
        "unfinished": samples.values["unfinished"],
    }
    plain = Samples(samples.completions, values)
    return _with_entropy(plain) if own and all(map(_logprobs, samples.completions)) else plain


def cost_table(samples: Samples) -> dict[str, Estimate]:
    """The costs of answers that have them, in their order."""
    return {
        name: samples.estimate(name)
        for name in COSTS
        if name in samples.values and samples.known(name)[0]
    }


def cost_families(samples: Samples) -> dict[str, dict[str, Estimate]]:
    """The costs by family; what an answer is alike to may be an answer to another family."""
    families = dict.fromkeys(item.prompt.family for item in samples.completions)
    tables = {}
    for name in families:
        part = samples.family(name)
        tables[name] = cost_table(_with_entropy(part) if "entropy" in part.values else part)
    return tables


def cost_changes(after: Samples, before: Samples) -> dict[str, Estimate]:
    """How much more each cost is than it was, paired by prompt."""
    return {
        name: gap(after, before, name)
        for name in COSTS
        if all(name in each.values and each.known(name)[0] for each in (after, before))
    }


def token_entropy(completion: Completion) -> float:
    """-log p a token, in nats, of an answer: one draw's estimate of its policy's entropy there."""
    logprobs = _logprobs(completion)
    return -sum(logprobs) / len(logprobs) if logprobs else math.nan


def _with_entropy(samples: Samples) -> Samples:
    """With the entropy a token: mean(-log p of an answer) / mean(tokens), over all its tokens.

    The expected -log p of what is drawn is the entropy of what it is drawn from. As a number an
    answer it is the ratio's linear form, whose mean is the ratio and whose error is the delta
    method's.
    """
    drawn = [_logprobs(item) for item in samples.completions]
    x = np.array([-sum(logprobs) for logprobs in drawn])
    tokens = np.array([len(logprobs) for logprobs in drawn])
    ratio = x.mean() / tokens.mean()
    linear: list[float] = (ratio + (x - ratio * tokens) / tokens.mean()).tolist()
    return Samples(samples.completions, {**samples.values, "entropy": linear})


def _logprobs(completion: Completion) -> tuple[float, ...]:
    """Of the distribution that was drawn from, where top-p or top-k cut it."""
    return completion.truncated_logprobs or completion.logprobs


def _over(sets: Sequence[Sequence[int]], texts: Sequence[str], measure: SetMeasure) -> list[float]:
    """What a measure of sets of texts says of each text."""
    values = [math.nan] * len(texts)
    for chosen in sets:
        for at, value in zip(chosen, measure([texts[at] for at in chosen]), strict=True):
            values[at] = value
    return values
