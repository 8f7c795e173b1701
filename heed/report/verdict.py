"""The first thing a reader wants to know: is it better? Said no stronger than the figures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heed.report.measures import measure_of, policy_name, rate, with_interval
from heed.report.read import Gap, RunView, StageView
from heed.stats.intervals import Estimate
from heed.stats.win_rates import win_rate

FEW = 4
"""Policies up to which every two are compared in words; of more, each with the one to beat."""
BY_REWARD = frozenset(
    {"ppo", "rloo", "grpo", "reinforce", "rejection", "best_of_n", "reward_conditioned"}
)
"""Kinds of stages whose policies please a reward."""
TO_BEAT = "sft"
"""What the preferences bought is the step from SFT; the step from the base is mostly SFT's."""
Verdict = str
BETTER, WORSE, UNCLEAR = "better", "worse", "unclear"


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison of two policies, in words."""

    verdict: Verdict
    sentence: str


def verdict(gap: Gap) -> Verdict:
    """What a gap shows: an interval that contains 0 shows nothing."""
    direction = -1 if measure_of(gap.measure).better < 0 else 1
    low, high = sorted((direction * gap.difference.low, direction * gap.difference.high))
    if low > 0:
        return BETTER
    return WORSE if high < 0 else UNCLEAR


def main_measure(gaps: Sequence[Gap]) -> str | None:
    """What the policies are judged by: gold reward where it is known."""
    measures = [gap.measure for gap in gaps]
    return "gold" if "gold" in measures else next(iter(measures), None)


def headline(view: RunView) -> str:
    """One sentence: who beat whom, by how much, by whose judgement."""
    measure = main_measure(view.gaps)
    if measure is None and len(view.policies) > 1:
        return "Nothing judged the answers, so this run cannot say whether anything got better."
    if measure is None:
        return "This run compared no two policies, so it cannot say whether anything got better."
    gaps = [gap for gap in view.gaps if gap.measure == measure]
    chief = [gap for gap in gaps if gap.worse == TO_BEAT] or gaps
    if len(chief) > FEW:
        text = _count([gap for gap in chief if gap.worse == chief[0].worse])
    else:
        text = "; ".join(_clause(gap) for gap in chief)
    if measure == "proxy":
        if pleased(view):
            return (
                "By the reward model that the policies were trained on, which proves little: "
                f"{text}."
            )
        return f"By a reward model that learned from the same preferences: {text}."
    return f"On held-out prompts {text}."


def pleased(view: RunView) -> bool:
    """Whether a policy was made to score high by the very reward that judges it."""
    judges = {_reward(stage) for stage in view.stages if stage.kind == "evaluate"} or {"reward"}
    return any(stage.kind in BY_REWARD and _reward(stage) in judges for stage in view.stages)


def _reward(stage: StageView) -> str:
    return str(stage.settings.get("reward", "reward"))


def higher(view: RunView, gap: Gap) -> Estimate | None:
    """On how many of the prompts, in percent, one policy's answers score above the other's; None
    where the evaluation left no means by prompt.
    """
    new, old = (view.means.get(name, {}).get(gap.measure, {}) for name in (gap.better, gap.worse))
    return above(new, old)


def above(new: Mapping[str, float], old: Mapping[str, float]) -> Estimate | None:
    """On how many of the prompts that both have, in percent, the first score is higher."""
    shared = [prompt for prompt in new if prompt in old]
    if not shared:
        return None
    return win_rate([(new[p] > old[p]) + (new[p] == old[p]) / 2 for p in shared], shared).rate


def findings(view: RunView) -> list[Finding]:
    """The gaps of the main measure, each as a sentence with both figures."""
    measure = main_measure(view.gaps)
    return [
        Finding(verdict(gap), _sentence(gap, view)) for gap in told(view) if gap.measure == measure
    ]


def told(view: RunView) -> list[Gap]:
    """The gaps that the page puts into words: all; of many policies those from SFT, widest first.

    report.json holds them all.
    """
    chief = [gap for gap in view.gaps if gap.worse == TO_BEAT]
    if len(view.policies) <= FEW or not chief:
        return view.gaps
    return sorted(chief, key=lambda gap: gap.difference.mean, reverse=True)


def _count(gaps: Sequence[Gap]) -> str:
    """How many policies are better than one, and which by the most."""
    what = measure_of(gaps[0].measure)
    better = [gap for gap in gaps if verdict(gap) == BETTER]
    best = max(gaps, key=lambda gap: gap.difference.mean)
    return (
        f"{len(better)} of {len(gaps)} policies are better than {policy_name(gaps[0].worse)} "
        f"beyond the 95% interval; {policy_name(best.better)} by the most, "
        f"{with_interval(best.difference, what)} in {_lower(what.label)}"
    )


def _clause(gap: Gap) -> str:
    what = measure_of(gap.measure)
    better, worse = policy_name(gap.better), policy_name(gap.worse)
    by = f"{with_interval(gap.difference, what)} in {_lower(what.label)}"
    return {
        BETTER: f"{better} is better than {worse} by {by}",
        WORSE: f"{better} is worse than {worse}: {by}",
        UNCLEAR: f"{better} and {worse} are not shown to differ: {by}",
    }[verdict(gap)]


def _sentence(gap: Gap, view: RunView) -> str:
    what = measure_of(gap.measure)
    sides = []
    for name in (gap.better, gap.worse):
        estimate = view.policies.get(name, {}).get(gap.measure)
        figure = f" {with_interval(estimate, what)}" if estimate else ""
        sides.append(f"{policy_name(name)}{figure}")
    difference = with_interval(gap.difference, what)
    says = {
        BETTER: "better beyond the 95% interval",
        WORSE: "worse beyond the 95% interval",
        UNCLEAR: "no difference shown",
    }[verdict(gap)]
    often = higher(view, gap) if gap.measure == "proxy" else None
    if often is not None:
        says += f"; higher on {rate(often)} of the prompts"
    return f"{sides[0]} against {sides[1]}: a difference of {difference}, {says}."


def _lower(label: str) -> str:
    return label[:1].lower() + label[1:]
