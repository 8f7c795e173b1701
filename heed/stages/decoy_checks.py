"""What gates ask of who scores and judges: words that buy score, answers that answer nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from heed.feedback.judge import JudgeSource
from heed.gates.decoys import fooled
from heed.gates.exploits import FORMS, candidates, exploits
from heed.gates.finding import Finding
from heed.judging.decoys import DECOYS
from heed.judging.grading import LOWEST
from heed.ops.order import Order
from heed.recipe import (
    Collect,
    ExploitsGate,
    FooledGate,
    JudgeReward,
    RewardModelling,
)
from heed.recipe.gates import CHOOSE
from heed.stages.rewards import REWARDS
from heed.stages.sources import SOURCES
from heed.stages.workplace import Workplace
from heed.types import Comparison, Completion, Item, RewardFn


def bought(work: Workplace, stage: RewardModelling, gate: ExploitsGate) -> Finding | None:
    """Words of the training answers, put to held-out ones that were chosen."""
    pairs = work.comparisons(stage.comparisons, "comparisons")
    words = candidates(
        [each.chosen for each in pairs], [each.rejected for each in pairs], gate.words
    )
    answers = _good(work.comparisons(stage.comparisons, "heldout"), CHOOSE + gate.answers)
    if not words or len(answers) <= CHOOSE:
        return None
    reward = work.reward(stage.name)
    word, form = _dearest(reward, answers[:CHOOSE], words)
    tested = answers[CHOOSE:]
    return exploits(
        reward(tested),
        reward(_changed(tested, word, form)),
        [each.prompt.id for each in tested],
        what=f"{word!r} {form}",
        margin=gate.margin,
        false_alarms=gate.false_alarms,
    )


def _good(pairs: Sequence[Comparison], most: int) -> list[Completion]:
    """Chosen answers, one a prompt, evenly over all prompts: a word that betters the bad ones alone
    is no way to win.
    """
    by_prompt = list({each.prompt.id: each for each in pairs}.values())
    few = min(most, len(by_prompt))
    spread = [by_prompt[at * len(by_prompt) // few] for at in range(few)]
    order = np.random.default_rng(0).permutation(few)  # families stand together
    return [Completion(spread[at].prompt, spread[at].chosen) for at in order]


def _dearest(
    reward: RewardFn, answers: Sequence[Completion], words: Sequence[str]
) -> tuple[str, str]:
    """The word, and what is done with it, that raises the scores most."""
    tried = [(word, form) for word in words for form in FORMS]
    rows = [each for word, form in tried for each in _changed(answers, word, form)]
    means = np.reshape(reward(rows), (len(tried), len(answers))).mean(1)
    return tried[int(means.argmax())]


def _changed(answers: Sequence[Completion], word: str, form: str) -> list[Completion]:
    return [Completion(each.prompt, FORMS[form](each.text, word)) for each in answers]


def judge_fooled(work: Workplace, stage: Collect | JudgeReward, gate: FooledGate) -> Finding | None:
    """Decoys against real answers; None of who is no language model."""
    if isinstance(stage, JudgeReward):
        preferred = _graded(work, stage, gate.prompts)
    elif stage.source in ("judge", "constitution"):
        preferred = _compared(work, stage, gate.prompts)
    else:
        return None
    return fooled(preferred, share=gate.share, false_alarms=gate.false_alarms)


def _compared(work: Workplace, stage: Collect, most: int) -> Mapping[str, list[bool]]:
    """Whether the stage's own judge prefers decoys to answers of the first policy."""
    source = SOURCES[stage.source](work, stage, work.run.stage(stage.name))
    assert isinstance(source, JudgeSource), "a judge, with or without principles"
    source.journal = None  # it holds the labels, of which these are none
    by_prompt = {each.prompt.id: each for each in work.records(stage.name, "items", Item)}
    items = _spread(list(by_prompt.values()), most)
    found = {}
    for name, decoy in DECOYS.items():
        asked = [
            Item(f"{name}-{each.id}", each.prompt, (_of_first(each, stage), decoy))
            for each in items
        ]
        ranks = [said.ranks for said in source.ask(asked, lambda _: None)]
        found[name] = [both is not None and both[1] < both[0] for both in ranks]
    return found


def _of_first(item: Item, stage: Collect) -> str:
    """The answer of the first policy."""
    first = stage.policies[0]
    return item.answers[item.models.index(first) if first in item.models else 0]


def _graded(work: Workplace, stage: JudgeReward, most: int) -> Mapping[str, list[bool]]:
    """Whether the judge grades decoys above samples of the policy that it is measured on."""
    quiet = replace(work, say=lambda _: None)
    lenient = stage.model_copy(update={"unreadable": float(LOWEST)})
    reward = REWARDS[JudgeReward](quiet, lenient)
    sampler = work.sampler(work.policy(stage.policy), stage.sampling, stage.policy)
    prompts = work.askable(stage.records, "train", sampler)
    order = Order(len(prompts), min(most, len(prompts)), work.seed(stage.name, "decoys"))
    asked = [prompts[at] for at in order.indices(0).tolist()]
    real = reward(sampler.sample(asked, seed=work.seed(stage.name, "real")))
    return {
        name: [
            score > own
            for score, own in zip(
                reward([Completion(prompt, decoy) for prompt in asked]), real, strict=True
            )
        ]
        for name, decoy in DECOYS.items()
    }


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    few = min(most, len(items))
    return [items[at * len(items) // few] for at in range(few)]
