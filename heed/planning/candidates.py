"""What answers cost, by the stage that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from heed import recipe
from heed.planning.ground import Ground
from heed.planning.passes import Pass


def candidate(
    ground: Ground, name: str, answers: float, sampling: recipe.Sampling, *, group: int = 1
) -> list[Pass]:
    """Answers of whatever answers for a stage: a policy, one asked with more, the best of n."""
    stage = ground.recipe.stage(name)
    if isinstance(stage, recipe.BestOfN):
        drawn, rows = answers * stage.n, ground.texts(stage.policy)
        scored = ground.score(stage.reward, drawn, rows.prompt() + rows.answer())
        more = candidate(ground, stage.policy, drawn, sampling, group=group * stage.n)
        return [*more, *scored]
    stands = BEFORE.get(type(stage))
    before = 0.0 if stands is None else stands(ground, stage)
    policy = stage.policy if isinstance(stage, IN_CONTEXT) else name
    return ground.sample(policy, answers, sampling, group=group, before=before)


def _said(_: Ground, stage: recipe.SystemPrompt) -> float:
    text = stage.text if stage.text is not None else Path(stage.file or "").read_text("utf-8")
    return 1.3 * len(text.split())


def _found(ground: Ground, stage: recipe.Retrieval) -> float:
    rows = ground.data.demonstrations
    shots = stage.demonstrations or stage.demonstrations_file
    return stage.k * (rows.prompt() + rows.answer() if shots else ground.data.documents)


def _level(_: Ground, stage: recipe.RewardConditioned) -> float:
    return len(stage.template.split()) + 2


IN_CONTEXT = (recipe.SystemPrompt, recipe.Retrieval)
BEFORE: Mapping[type[recipe.Stage], Callable[[Ground, Any], float]] = {
    recipe.SystemPrompt: _said,
    recipe.Retrieval: _found,
    recipe.RewardConditioned: _level,
}
"""Tokens that stand before a prompt, by the stage that answers."""
