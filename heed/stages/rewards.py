"""What scores answers: one function a kind of reward stage, from its settings to a `RewardFn`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heed import recipe
from heed.errors import UserError
from heed.judging.grading import Grader, GradingRubric
from heed.recipe import Sampling, Stage
from heed.rewards import verifiable
from heed.rewards.answers import read_answers
from heed.rewards.checked import CheckedReward
from heed.rewards.composed import Gate, WeightedSum
from heed.rewards.ensemble import COMBINE, EnsembleReward
from heed.rewards.function import load_function
from heed.rewards.honest import honest as honesty
from heed.rewards.judged import JudgedReward
from heed.rewards.learned import LearnedReward
from heed.rewards.maths import MathsScore
from heed.rewards.metre import metrical
from heed.rewards.once import AskedOnce
from heed.rewards.process import ProcessReward
from heed.rewards.verifiable import Score, Verifier
from heed.types import RewardFn

if TYPE_CHECKING:
    from heed.stages.workplace import Workplace

MODEL = "model"
"""Folder of a reward model in its stage's own."""


def member_folder(number: int) -> str:
    """Where the stage of an ensemble keeps one of its members, counted from 0."""
    return f"member-{number}"


def models(settings: Stage) -> list[str]:
    """Folders of the reward models that a stage trained, in its own; none for a written reward."""
    if isinstance(settings, recipe.Ensemble):
        return [f"{member_folder(number)}/{MODEL}" for number in range(settings.members)]
    return [MODEL] if isinstance(settings, recipe.Reward | recipe.ProcessReward) else []


def learned(work: Workplace, settings: recipe.RewardModelling) -> LearnedReward:
    """A reward model."""
    return _learned(work, settings, MODEL)


def ensemble(work: Workplace, settings: recipe.Ensemble) -> EnsembleReward:
    """Several reward models, as one."""
    members = [_learned(work, settings, folder) for folder in models(settings)]
    return combined(settings, members)


def combined(settings: recipe.Ensemble, members: list[LearnedReward]) -> EnsembleReward:
    """What the settings make of an ensemble's members."""
    penalty = 1.0 if settings.penalty is None else settings.penalty
    return EnsembleReward(members, COMBINE[settings.combine], penalty)


def _learned(work: Workplace, settings: recipe.RewardModelling, folder: str) -> LearnedReward:
    return work.learned_reward(settings.name, folder, settings.context)


def process_reward(work: Workplace, settings: recipe.ProcessReward) -> RewardFn:
    """A model of right and wrong steps."""
    model = work.reward_model(settings.name)
    return ProcessReward(
        model,
        separator=settings.separator,
        aggregate=settings.aggregate,
        context=work.context(model, settings.context),
    )


def _verifier(settings: recipe.Check, score: Score) -> Verifier:
    return Verifier(score, tuple(settings.families), settings.elsewhere or 0.0)


def exact(_: Workplace, settings: recipe.Exact) -> RewardFn:
    """Right to the letter, by a file of answers."""
    answers = read_answers(Path(settings.answers))
    score = verifiable.exact(answers, extract=settings.extract, ignore_case=settings.ignore_case)
    return _verifier(settings, score)


def maths(work: Workplace, settings: recipe.Maths) -> RewardFn:
    """Right by mathematics, by a file of answers."""
    answers = read_answers(Path(settings.answers))
    score = MathsScore(answers, seconds=settings.seconds, say=work.say)
    return _verifier(settings, score)


def regex(_: Workplace, settings: recipe.Regex) -> RewardFn:
    """A pattern that is found."""
    return _verifier(settings, verifiable.regex(settings.pattern))


def form(_: Workplace, settings: recipe.Format) -> RewardFn:
    """A pattern that the whole answer has."""
    return _verifier(settings, verifiable.form(settings.pattern))


def length(_: Workplace, settings: recipe.Length) -> RewardFn:
    """Words within bounds."""
    return _verifier(settings, verifiable.length(settings.least, settings.most, settings.penalty))


def correct(work: Workplace, settings: recipe.Correct) -> RewardFn:
    """Right by the world's own facts."""
    assert work.world is not None, "load_recipe lets nothing be right outside the world"
    return _verifier(settings, verifiable.correct(work.world))


def honest(work: Workplace, settings: recipe.Honest) -> RewardFn:
    """Right by the world's own facts, or honest."""
    assert work.world is not None, "load_recipe lets nothing be right outside the world"
    return _verifier(settings, honesty(work.world, settings.confidence))


def metre(_: Workplace, settings: recipe.Metre) -> RewardFn:
    """Iambic pentameter."""
    return _verifier(settings, metrical(settings.whole))


def function(_: Workplace, settings: recipe.Function) -> RewardFn:
    """A function of the user's own."""
    return load_function(Path(settings.file), settings.call.rpartition(":")[2])


def judge(work: Workplace, settings: recipe.JudgeReward) -> RewardFn:
    """The grades of a language model."""
    sampling = Sampling(
        temperature=0.0,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.sampling.batch_size,
    )
    rubric = GradingRubric(**settings.rubric.model_dump(exclude_none=True))
    return JudgedReward(
        Grader(work.speaker(settings.judge, sampling), rubric, settings.retries),
        unreadable=settings.unreadable,
        say=work.say,
        seed=work.seed(settings.name, "judge"),
    )


def weighted_sum(work: Workplace, settings: recipe.WeightedSum) -> RewardFn:
    """Other stages' rewards, added up."""
    return WeightedSum(
        {name: (weight, work.reward(name)) for name, weight in settings.weights.items()}
    )


def gate(work: Workplace, settings: recipe.Gate) -> RewardFn:
    """Another stage's reward, behind a gate."""
    return Gate(
        work.reward(settings.reward),
        work.reward(settings.by),
        threshold=settings.threshold,
        closed=settings.closed,
    )


REWARDS: Mapping[type[Stage], Callable[[Workplace, Any], RewardFn]] = {
    recipe.Reward: learned,
    recipe.Ensemble: ensemble,
    recipe.ProcessReward: process_reward,
    recipe.Exact: exact,
    recipe.Maths: maths,
    recipe.Regex: regex,
    recipe.Format: form,
    recipe.Length: length,
    recipe.Correct: correct,
    recipe.Honest: honest,
    recipe.Metre: metre,
    recipe.Function: function,
    recipe.JudgeReward: judge,
    recipe.WeightedSum: weighted_sum,
    recipe.Gate: gate,
}


def families_of(settings: Stage) -> list[str]:
    """The families of prompts that a reward looks at, none where it looks at all."""
    return settings.families if isinstance(settings, recipe.Check) else []


def reward_of(work: Workplace, stage: str) -> RewardFn:
    """What a stage of the recipe scores answers by. Raises UserError where it scores none."""
    settings = work.recipe.stage(stage)
    if type(settings) not in REWARDS:
        raise UserError(f"The stage {stage!r} is no reward: {settings.kind} stages score none.")
    checked = CheckedReward(stage, REWARDS[type(settings)](work, settings))
    return AskedOnce(checked) if _asks_outside(settings) else checked


def _asks_outside(settings: Stage) -> bool:
    """Whether a reward is not ours to ask several times: somebody's address, somebody's code."""
    if isinstance(settings, recipe.JudgeReward):
        return settings.judge.policy is None
    return isinstance(settings, recipe.Function)
