"""Can it be told when a policy makes something up? And does it know how likely it is right?

Of questions with one right answer, an answer that claims something is right or wrong; who says "I
do not know" claims nothing. Two signals need no truth: how much the policy's other answers to the
same prompt differ in the answer given (Wang et al. 2022's self-consistency; Farquhar et al. 2024,
doi:10.1038/s41586-024-07421-0), and how unsure it was of the tokens that it drew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heed.evaluation.costs import token_entropy
from heed.stats.calibration import Calibration, calibration
from heed.stats.intervals import Clusters, Estimate
from heed.stats.roc import auroc
from heed.types import Completion

SIGNALS = ("disagreement", "entropy")


@dataclass(frozen=True)
class Claims:
    """Answers that claim something, a row each: whether it is wrong, and what hints at it."""

    prompts: Clusters
    wrong: Sequence[bool]
    signals: Mapping[str, Sequence[float]]
    """By name of `SIGNALS`; nan where an answer gives none."""

    def detection(self) -> dict[str, Estimate]:
        """How well each signal tells wrong claims from right ones: the area under the ROC curve.

        Nothing of a signal that no claim gives, or where all claims are right, or all wrong.
        """
        table = {}
        for name, values in self.signals.items():
            known = [at for at, value in enumerate(values) if not math.isnan(value)]
            found = auroc(
                [values[at] for at in known],
                [self.wrong[at] for at in known],
                [self.prompts[at] for at in known],
            )
            if math.isfinite(found.mean):
                table[name] = found
        return table

    def calibration(self) -> Calibration | None:
        """Of the probability that the policy gives the answer that it gave, against its being
        right; None where no prompt was answered twice.

        The probability is estimated by the share of the *other* answers to the prompt that give
        the same one, which is unbiased: the answer itself does not vouch for itself.
        """
        known = [
            at for at, value in enumerate(self.signals["disagreement"]) if not math.isnan(value)
        ]
        if not known:
            return None
        return calibration(
            [1 - self.signals["disagreement"][at] for at in known],
            [not self.wrong[at] for at in known],
            [self.prompts[at] for at in known],
        )


def claims(
    answers: Sequence[Completion],
    given: Sequence[str | None],
    right: Sequence[bool],
    *,
    own: bool = True,
) -> Claims:
    """The claims among answers, with what their fellows and their tokens hint.

    Args:
        answers: all answers, several to a prompt.
        given: what each says is right; None where it claims nothing, which differs from any claim
            and agrees with other silence.
        right: whether that is so.
        own: whether the log-probs are the policy's own; without, nothing is said of entropy.
    """
    counts: dict[str, Counter[str | None]] = {}
    for item, answer in zip(answers, given, strict=True):
        counts.setdefault(item.prompt.id, Counter())[answer] += 1
    rows = [at for at, answer in enumerate(given) if answer is not None]

    def disagreement(at: int) -> float:
        fellows = counts[answers[at].prompt.id]
        others = fellows.total() - 1
        return 1 - (fellows[given[at]] - 1) / others if others else math.nan

    signals = {"disagreement": [disagreement(at) for at in rows]}
    if own:
        signals["entropy"] = [token_entropy(answers[at]) for at in rows]
    return Claims(
        prompts=[answers[at].prompt.id for at in rows],
        wrong=[not right[at] for at in rows],
        signals=signals,
    )
