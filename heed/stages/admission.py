"""What gates ask of what a stage left, before others read from it."""

from __future__ import annotations

from heed.gates.finding import Finding
from heed.gates.sign import sign
from heed.recipe import RewardModelling, SignGate
from heed.rewards.accuracy import correctness
from heed.stages.workplace import Workplace


def reward_sign(work: Workplace, stage: RewardModelling, gate: SignGate) -> Finding | None:
    """A reward model on the held-out comparisons of those that it was made of."""
    heldout = work.comparisons(stage.comparisons, "heldout")
    found = correctness(work.reward(stage.name), heldout)
    return sign(found, [each.prompt.id for each in heldout], false_alarms=gate.false_alarms)
