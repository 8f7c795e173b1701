"""What comparisons say of policies and rewards: how often each prefers what people chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from heed.evaluation.accuracy import beats
from heed.evaluation.likelihood import nll
from heed.models.language_model import LanguageModel
from heed.models.rows import pair_rows
from heed.stats.intervals import (
    Estimate,
    difference_interval,
    mean_interval,
    proportion_interval,
)
from heed.types import Comparison

Correct = Sequence[float]
"""A comparison each: 1 where the chosen answer is preferred, 0 where the other is, else .5."""


@dataclass(frozen=True)
class Likelihoods:
    """log p(answer | prompt) of both answers of each comparison, in nats, and their lengths."""

    chosen: Sequence[float]
    rejected: Sequence[float]
    chosen_tokens: Sequence[float]
    rejected_tokens: Sequence[float]

    @classmethod
    def joined(cls, parts: Sequence[Likelihoods]) -> Likelihoods:
        """Those of several sets of comparisons, one after another."""
        return cls(
            *(
                [value for part in parts for value in getattr(part, each.name)]
                for each in fields(cls)
            )
        )


def likelihoods(
    policy: LanguageModel,
    comparisons: Sequence[Comparison],
    *,
    context: int,
    micro_tokens: int = 16384,
) -> Likelihoods:
    """Under a policy at temperature 1, closing tokens included; rows of at most `context` tokens
    are cut as in training (`models/rows.py: fitted`).
    """
    pairs = pair_rows(policy.chat, comparisons, context)
    sums = [nll(policy, side, micro_tokens) for side in (pairs.chosen, pairs.rejected)]
    tokens = [side.target.sum(1).tolist() for side in (pairs.chosen, pairs.rejected)]
    return Likelihoods(*([-x for x in side] for side in sums), *tokens)


def too_long(policy: LanguageModel, comparisons: Sequence[Comparison], context: int) -> int:
    """How many comparisons have an answer that does not fit whole, with its prompt."""

    def tokens(pair: Comparison, text: str) -> int:
        return len(policy.chat.prompt_ids(pair.prompt)) + len(policy.chat.completion_ids(text))

    return sum(
        max(tokens(pair, pair.chosen), tokens(pair, pair.rejected)) > context
        for pair in comparisons
    )


def preferred_by(own: Likelihoods, reference: Likelihoods | None = None) -> dict[str, list[float]]:
    """Whether the chosen answer is preferred, comparison by comparison, by four scores.

    "log_prob" is log p(y | x), "log_prob_token" the same a token (SimPO's reward, Meng et al. 2024,
    equation 4); with a reference, "implicit_reward" is log p(y | x) - log ref(y | x), DPO's reward
    over beta (Rafailov et al. 2023, section 4), and "implicit_reward_token" that a token.
    """
    scores = {"log_prob": (own.chosen, own.rejected)}
    if reference is not None:
        scores["implicit_reward"] = (
            _less(own.chosen, reference.chosen),
            _less(own.rejected, reference.rejected),
        )
    found: dict[str, list[float]] = {}
    for name, (chosen, rejected) in scores.items():
        found[name] = _beat(chosen, rejected)
        found[f"{name}_token"] = _beat(
            _over(chosen, own.chosen_tokens), _over(rejected, own.rejected_tokens)
        )
    return found


def longer(comparisons: Sequence[Comparison]) -> list[float]:
    """What a judge that reads nothing says: the longer answer, in characters."""
    return [beats(len(each.chosen), len(each.rejected)) for each in comparisons]


def accuracy(correct: Correct, comparisons: Sequence[Comparison]) -> Estimate:
    """The share that is right, its interval clustered by prompt (Wilson's where none is .5)."""
    interval = proportion_interval if set(correct) <= {0.0, 1.0} else mean_interval
    return interval(correct, [each.prompt.id for each in comparisons])


def accuracies(
    judges: Mapping[str, Correct], comparisons: Sequence[Comparison]
) -> dict[str, dict[str, Estimate]]:
    """Each judge's accuracy, and how far it is above the longer answer's, paired by comparison."""
    prompts = [each.prompt.id for each in comparisons]
    length = longer(comparisons)
    return {
        name: {
            "accuracy": accuracy(correct, comparisons),
            "above_length": difference_interval(correct, length, prompts, prompts),
        }
        for name, correct in judges.items()
    }


def _less(own: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(own, other, strict=True)]


def _over(sums: Sequence[float], tokens: Sequence[float]) -> list[float]:
    return [x / max(n, 1.0) for x, n in zip(sums, tokens, strict=True)]


def _beat(chosen: Sequence[float], rejected: Sequence[float]) -> list[float]:
    return [beats(a, b) for a, b in zip(chosen, rejected, strict=True)]
