"""What gates put through models before a policy gradient and beside it (`heed.stages.gates`)."""

from __future__ import annotations

from heed import recipe
from heed.planning.ground import Ground, train
from heed.planning.passes import Pass

CHECKED = 256
"""Answers that each check of the rollouts draws, at most (`heed.stages.rollout_checks`)."""
PAIRS, PROMPTS = 256, 64
"""Comparisons, and prompts, that a first step is tried on, at most (`heed.stages.step_checks`)."""
STEP, LEASH = 7, 6
"""Forward passes of the policy over the pairs' answers, the reference's among them; over its own
answers, until they are moved so far."""


def drawn_by_gates(ground: Ground, stage: recipe.OnPolicy) -> tuple[float, list[Pass]]:
    """Answers drawn, and all that goes through models."""
    gates = ground.recipe.gates
    few = min(CHECKED, ground.data.asked(stage.families))
    checks = sum(gate.action != "off" for gate in (gates.logprobs, gates.draws))
    answers, passes = float(checks * few), _read(ground, stage, checks * few, 1)
    passes += _drawn(ground, stage, answers)
    if gates.step.action != "off" and _compared(ground, stage.reward):
        passes += _step(ground, stage)
    if gates.leash.action != "off" and stage.kl.coef > 0:
        prompts = min(PROMPTS, ground.data.asked(stage.families))
        group = stage.group if isinstance(stage, recipe.CriticFree) else 1
        answers += prompts * (1 + group)
        passes += _drawn(ground, stage, prompts) + _drawn(ground, stage, prompts * group)
        passes += [*_read(ground, stage, prompts, LEASH), _learned(ground, stage, prompts)]
        passes += _read(ground, stage, prompts * group, 3 + _critics(stage))
    beside = ground.recipe.beside(stage)
    if beside is not None:
        every, last = gates.overoptimisation.every, stage.iterations
        looks = len({1, last, *range(every, last + 1, every)})
        prompts = min(gates.overoptimisation.prompts, ground.data.held)
        answers += looks * prompts
        passes += _drawn(ground, stage, looks * prompts)
        for name in (beside, stage.reward):
            passes += ground.score(name, looks * prompts, _row(ground, stage))
    return answers, passes


def _step(ground: Ground, stage: recipe.OnPolicy) -> list[Pass]:
    """Both answers of some held-out pairs, as if the policy had written them."""
    group = stage.group if isinstance(stage, recipe.CriticFree) else 1
    # One comparison a prompt.
    rows = min(PAIRS, ground.data.held) * max(2, group)
    passes = _read(ground, stage, rows, STEP + _critics(stage))
    return [
        *passes,
        _learned(ground, stage, rows),
        *ground.score(stage.reward, rows, _row(ground, stage)),
    ]


def _critics(stage: recipe.OnPolicy) -> int:
    """Passes of a critic, which sees a round of answers as it is and as it is held against."""
    return 2 if isinstance(stage, recipe.Ppo) else 0


def _compared(ground: Ground, reward: str) -> bool:
    """Whether a reward, or one that it is made of, knows of comparisons."""
    stage = ground.recipe.stage(reward)
    if getattr(stage, "comparisons", None):
        return True
    return any(_compared(ground, name) for name in stage.rewards())


def _drawn(ground: Ground, stage: recipe.OnPolicy, answers: float) -> list[Pass]:
    return ground.sample(stage.policy, answers, stage.sampling, families=stage.families)


def _read(ground: Ground, stage: recipe.OnPolicy, rows: float, times: int) -> list[Pass]:
    row, answer = _row(ground, stage), _answer(ground, stage)
    root = ground.root(stage.policy)
    return [Pass("forwarded", times * rows * row, times * rows * answer, root)]


def _learned(ground: Ground, stage: recipe.OnPolicy, rows: float) -> Pass:
    """A gradient that nothing is learned from."""
    row, answer = _row(ground, stage), _answer(ground, stage)
    return train(ground.root(stage.policy), stage.lora, rows * row, rows * answer)


def _row(ground: Ground, stage: recipe.OnPolicy) -> float:
    rows = ground.texts(stage.policy).of(stage.families)
    return rows.prompt() + _answer(ground, stage)


def _answer(ground: Ground, stage: recipe.OnPolicy) -> float:
    rows = ground.texts(stage.policy).of(stage.families)
    return rows.answer(stage.sampling.max_new_tokens)
