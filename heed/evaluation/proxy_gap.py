"""How much more a policy gained by the reward it was trained on than by the true one.

    gap = (r(pi) - r(ref)) / sd_ref(r)  -  (gold(pi) - gold(ref)) / sd_ref(gold)

Both gains are in standard deviations over the reference's answers, so that they can be compared: a
reward that means what it says leaves a gap of 0, one that is gamed a wide one (Gao, Schulman &
Hilton 2023, arXiv:2210.10760, plot the two; the scale is ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import pstdev

from heed.evaluation.measures import Samples, gap
from heed.stats.intervals import Estimate

GAP = "gap"


def proxy_gap(
    policy: Samples, policy_proxy: Sequence[float], reference: Samples, proxy: Sequence[float]
) -> dict[str, Estimate]:
    """The gains "proxy_gain" and "gold_gain" and the "gap" between them, paired by prompt.

    The samples hold gold; `policy_proxy` and `proxy` are what the policy's own reward gives the
    policy's and the reference's answers. Intervals take the two deviations as known.

    Raises:
        ValueError: all of the reference's answers are worth the same by one of the two.
    """
    scale = pstdev(proxy), pstdev(reference.values["gold"])
    if not min(scale) > 0:
        raise ValueError("the reference's answers are all worth the same")

    def scaled(samples: Samples, own: Sequence[float]) -> Samples:
        gains = [score / scale[0] for score in own]
        true = [gold / scale[1] for gold in samples.values["gold"]]
        apart = [gain - gold for gain, gold in zip(gains, true, strict=True)]
        return Samples(samples.completions, {"proxy_gain": gains, "gold_gain": true, GAP: apart})

    after, before = scaled(policy, policy_proxy), scaled(reference, proxy)
    return {name: gap(after, before, name) for name in after.values}
