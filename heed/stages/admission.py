"""What gates ask of what a stage left, before others read from it."""

from __future__ import annotations

from heed.gates.finding import Finding
from heed.gates.leakage import leakage
from heed.gates.sign import sign
from heed.recipe import LeakageGate, Records, RewardModelling, SignGate
from heed.rewards.accuracy import correctness
from heed.stages.workplace import Workplace
from heed.types import Demonstration, Prompt


def held_apart(work: Workplace, stage: Records, gate: LeakageGate) -> Finding | None:
    """The held-out prompts beside those that may be trained on; whole conversations, as asked."""

    def text(prompt: Prompt) -> str:
        return "\n".join(message.content for message in prompt.messages)

    prompts = work.records(stage.name, "prompts", Prompt)
    shown = [each.prompt for each in work.records(stage.name, "demonstrations", Demonstration)]
    return leakage(
        list(dict.fromkeys(text(each) for each in prompts if each.split == "heldout")),
        [text(each) for each in [*(p for p in prompts if p.split == "train"), *shown]],
        similarity=gate.similarity,
        share=gate.share,
    )


def reward_sign(work: Workplace, stage: RewardModelling, gate: SignGate) -> Finding | None:
    """A reward model on the held-out comparisons of those that it was made of."""
    heldout = work.comparisons(stage.comparisons, "heldout")
    found = correctness(work.reward(stage.name), heldout)
    return sign(found, [each.prompt.id for each in heldout], false_alarms=gate.false_alarms)
