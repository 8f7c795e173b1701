"""What gates put through models: of a reward, of a judge, before a policy gradient and beside it
(`heed.stages.gates`).
"""

from __future__ import annotations

from heed import recipe
from heed.judging.decoys import DECOYS
from heed.planning.ground import Ground, train
from heed.planning.passes import Pass
from heed.recipe.gates import CHOOSE, PAIRS, PROMPTS, ROUND

FORMS = 4
"""What is done with an answer for a word's sake (`heed.gates.exploits`)."""
STEP, LEASH = 7, 6
"""Forward passes of the policy over the pairs' answers, the reference's among them; over its own
answers, until they are moved so far."""


def drawn_by_gates(ground: Ground, stage: recipe.OnPolicy) -> tuple[float, list[Pass]]:
    """Answers drawn, and all that goes through models."""
    gates = ground.recipe.gates
    few = min(ROUND, ground.data.asked(stage.families))
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
    rows = min(PAIRS, _told(ground, stage.reward)[1]) * max(2, group)
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
    return min(_told(ground, reward)) > 0


def _told(ground: Ground, reward: str) -> tuple[float, float]:
    """Held-out prompts, and held-out comparisons of a reward or of one that it is made of."""
    stage = ground.recipe.stage(reward)
    named = getattr(stage, "comparisons", None)
    if named:
        return ground.data.held, ground.pairs(named).heldout
    inner = [_told(ground, name) for name in stage.rewards()]
    return next((found for found in inner if min(found) > 0), (0, 0))


def words_tried(ground: Ground, stage: recipe.RewardModelling) -> float:
    """Answers that a reward model scores while words are tried on it."""
    gate = ground.recipe.gates.exploits
    answers = min(CHOOSE + gate.answers, *_told(ground, stage.name))
    if gate.action == "off" or answers <= CHOOSE:
        return 0.0
    return FORMS * gate.words * CHOOSE + 2 * (answers - CHOOSE)


def decoys_shown(ground: Ground) -> float:
    """Answers that answer nothing, shown to a judge."""
    gate = ground.recipe.gates.fooled
    return 0.0 if gate.action == "off" else float(len(DECOYS) * min(gate.prompts, ground.data.held))


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
