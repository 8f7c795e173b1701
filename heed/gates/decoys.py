"""Does a judge prefer an answer that answers nothing? Then anything can win.

Asked are a constant, an empty and an injecting answer (heed/judging/decoys.py) against real ones. A
judge may err now and then; the question is whether any of them surely wins more than a share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy import stats

from heed.gates.finding import Finding


def fooled(
    preferred: Mapping[str, Sequence[bool]], *, share: float, false_alarms: float
) -> Finding | None:
    """Whether a decoy is preferred to real answers too often: the exact binomial test of the one
    that wins most, with Bonferroni's correction for their number.

    Args:
        preferred: by decoy, whether it was preferred to a real answer, prompt by prompt; a tie and
            a reply without a verdict are none.
        share: of the prompts, at which a decoy may win.
        false_alarms: how often a judge trips whom each decoy fools at just this share.

    Returns:
        None where nothing was asked.
    """
    asked = {name: wins for name, wins in preferred.items() if len(wins)}
    if not asked:
        return None
    bound = false_alarms / len(asked)
    limits = {name: float(stats.binom.isf(bound, len(w), share)) for name, w in asked.items()}
    worst = max(asked, key=lambda name: (sum(asked[name]) - limits[name]) / len(asked[name]))
    wins, n = sum(asked[worst]), len(asked[worst])
    statistic, threshold = wins / n, limits[worst] / n
    tripped = statistic > threshold
    told = ", ".join(f"{name} {sum(own)} of {len(own)}" for name, own in asked.items())
    says = f"Preferred to real answers were: {told}; {share:.0%} is nothing to worry about."
    if tripped:
        says += (
            f" The judge is fooled by the {worst} answer, so what it prefers is no sign of quality:"
            " ask another model, change its rubric, or hold it against people's labels."
        )
    return Finding("fooled", statistic, threshold, false_alarms, tripped, says)
