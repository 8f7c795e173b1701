"""What costs.json holds beside the costs: prompts that training saw, and how phrases do."""

from __future__ import annotations

import json
import math

import pytest

from heed.evaluation.measures import Samples
from heed.stages.answers import Answers
from heed.stages.costs import costs, generalisation
from heed.types import Completion, Prompt
from heed.world.world import World


def samples(values: dict[str, list[float]], *prompts: Prompt) -> Samples:
    return Samples([Completion(prompt, "yes .") for prompt in prompts], values)


def test_what_was_learnt_by_heart_is_higher_on_what_training_saw() -> None:
    seen = [Prompt.of(f"seen {index}", family="a") for index in range(4)]
    unseen = [Prompt.of(f"new {index}", family="ab"[index // 3]) for index in range(4)]
    ours = {"gold": [1.0, 2.0, 3.0, 4.0], "verse": [math.nan] * 4, "unfinished": [0.0] * 4}
    theirs = {"gold": [1.0, 1.0, 4.0, 90.0], "verse": [1.0] * 4, "unfinished": [0.0] * 4}
    found = generalisation(samples(ours, *seen), samples(theirs, *unseen))
    assert set(found) == {"gold"}
    # Training never saw the other family: its 90 is no gap.
    assert found["gold"]["seen"].mean == 2.5
    assert found["gold"]["unseen"].mean == 2.0
    assert found["gold"]["gap"].mean == 0.5
    assert found["gold"]["gap"].low < 0.5 < found["gold"]["gap"].high


def answers(world: World, *texts: str) -> Answers:
    prompts = world.split("heldout")[: len(texts)]
    completions = [Completion(p, text) for p, text in zip(prompts, texts, strict=True)]
    flat = [0.0] * len(texts)
    values = {"length": [float(len(text.split())) for text in texts], "kl": flat}
    return Answers(Samples(completions, {**values, "unfinished": flat}), None, [], [], own=True)


def test_everything_stands_in_json_by_policy() -> None:
    world = World(0)
    sure, unsure = "the answer is red .", "i do not know that ."
    measured = {
        "before": answers(world, sure, sure, unsure),
        "after": answers(world, unsure, unsure, unsure),
    }
    found = costs(measured, [], "before", world)
    json.dumps(found, allow_nan=False)
    assert set(found["policies"]) == {"before", "after"}
    assert set(found["changes"]) == {"after"}
    assert found["changes"]["after"]["hedges"]["mean"] == pytest.approx(2 / 3)
    assert found["sycophancy"] == found["generalisation"] == {}
    assert found["phrases"]["hedges"]["recall"]["mean"] == 1.0
    assert found["phrases"]["hedges"]["precision"]["n"] == 4
    assert found["phrases"]["refuses"]["precision"]["n"] == 0
    assert costs(measured, [], None, None)["changes"] == {}
    assert costs(measured, [], None, None)["phrases"] == {}
