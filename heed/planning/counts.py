"""What each kind of stage will do: one function a kind, from the ground and its settings to counts.

Every count is of work that the stage's own code does; what cannot be known before is assumed, and
docs/costs.md says what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from heed import recipe
from heed.planning.gates import decoys_shown, drawn_by_gates, words_tried
from heed.planning.ground import JUDGED, Ground, looks, steps, train
from heed.planning.measuring import (
    candidate,
    compare,
    evaluate,
    grade_turns,
    overoptimisation,
    weak_to_strong,
    whole,
)
from heed.planning.passes import Counts, Pass, together
from heed.planning.texts import CHARACTERS
from heed.recipe.rewards import REWARDS

Count = Callable[[Ground, Any], Counts]
EVERY = 20
"""Where no prompt is held out, every so many-th demonstration is (`heed.stages.sft`)."""
PRINCIPLE = 40
"""Tokens of a request to criticise or to revise."""


def nothing(_: Ground, __: Any) -> Counts:
    """Stages that put nothing through a model."""
    return Counts()


def pretrain(ground: Ground, stage: recipe.Pretrain) -> Counts:
    """One pass, or several, over the corpus; a given model is not trained."""
    if ground.recipe.model is not None:
        return Counts()
    corpus = ground.data.corpus
    iterations = steps(corpus.count, stage.batch, stage.epochs)
    rows = iterations * stage.batch
    tokens = rows * corpus.row(stage.context)
    return Counts(steps=iterations, passes=(train(stage.name, None, tokens, tokens - rows),))


def sft(ground: Ground, stage: recipe.Sft) -> Counts:
    """Demonstrations, or the chosen answers of comparisons."""
    rows, count, held = ground.data.demonstrations, 0.0, 0.0
    if stage.comparisons is not None:
        pairs = ground.pairs(stage.comparisons)
        rows, count, held = pairs.rows, pairs.train, pairs.heldout
    else:
        source = ground.recipe.stage(stage.records or "records")
        count = source.prompts if isinstance(source, recipe.Revise) else rows.count
        held = count / EVERY if ground.data.all_train else ground.data.heldout_demonstrations
        count = count - held if ground.data.all_train else count
    iterations = steps(count, stage.batch, stage.epochs)
    seen = iterations * stage.batch
    row, root = rows.row(stage.context), ground.root(stage.policy)
    head = row - 1 if stage.loss_on == "all" else rows.target(stage.context)
    measured = looks(stage, iterations) * held * row
    return Counts(
        steps=iterations,
        passes=(train(root, stage.lora, seen * row, seen * head),
                Pass("forwarded", measured, measured * head / row, root))
    )  # fmt: skip


def revise(ground: Ground, stage: recipe.Revise) -> Counts:
    """An answer, and a critique and a revision a round; each is asked with all before it."""
    policy = stage.speaker.policy
    answers = stage.prompts * (1 + 2 * stage.rounds)
    if policy is None:
        return Counts(prompts=stage.prompts, answers=answers)
    rows, most = ground.texts(policy), stage.sampling.max_new_tokens
    prompt, answer = rows.prompt(), rows.answer(most)
    asked = prompt + stage.rounds * (2 * prompt + 3 * answer + 3 * PRINCIPLE)
    root, drawn = ground.root(policy), answers * answer
    return Counts(
        prompts=stage.prompts,
        answers=answers,
        passes=(
            Pass("forwarded", stage.prompts * asked, 0.0, root),
            Pass("sampled", drawn, drawn, root),
        ),
    )


def collect(ground: Ground, stage: recipe.Collect) -> Counts:
    """Items of several answers, each drawn by itself; then so many labels."""
    items = math.ceil(stage.comparisons / stage.per_item) + math.ceil(
        stage.heldout / stage.per_item
    )
    passes: list[Pass] = []
    own = 1 + (stage.answers - 1) / len(stage.policies)
    for place, name in enumerate(stage.policies):
        share = own if place == 0 else (stage.answers - 1) / len(stage.policies)
        passes += candidate(ground, name, items * share, stage.sampling)
    rows = ground.texts(stage.policies[0])
    answer = rows.answer(stage.sampling.max_new_tokens)
    for name in stage.disagreement:
        passes += ground.score(name, items * stage.answers, rows.prompt() + answer)
    labels = items * stage.per_item
    if stage.source in ("judge", "constitution"):
        # Every pair in both orders.
        replies = items * stage.answers * (stage.answers - 1) + 2 * decoys_shown(ground)
        question = JUDGED + rows.prompt() + 2 * answer
        passes += ground.ask(stage.judge.policy, replies, question, stage.judge.max_new_tokens)
    return Counts(
        prompts=items,
        answers=items * stage.answers,
        labels=labels,
        words=rows.words(stage.answers),
        passes=together(passes),
    )


def relabel(ground: Ground, stage: recipe.Relabel) -> Counts:
    """Both answers of every pair, scored."""
    if stage.reward is None:
        return Counts()
    pairs = ground.pairs(stage.comparisons)
    return Counts(passes=together(ground.score(stage.reward, 2 * pairs.train, whole(pairs.rows))))


def reward(ground: Ground, stage: recipe.RewardModelling) -> Counts:
    """Samples to calibrate on, the pairs, and an account on what is held out; times the members
    of an ensemble.
    """
    members = stage.members if isinstance(stage, recipe.Ensemble) else 1
    root = ground.begun(stage)
    own = ground.read_by(root)
    pairs = own.pairs(stage.comparisons)
    row = pairs.rows.row(stage.context)
    iterations = steps(pairs.train, stage.batch, stage.epochs)
    trained = members * iterations * stage.batch * 2 * row
    # At every look; then the members together, each by itself (of an ensemble), and the gate.
    sign = 1 if ground.recipe.gates.sign.action != "off" else 0
    accounts = members * (looks(stage, iterations) + 1 + sign + (1 if members > 1 else 0))
    sampled = ground.sample(stage.policy, stage.calibration, stage.sampling)
    calibrated = members * stage.calibration * whole(own.texts(stage.policy))
    again = calibrated * (2 if members > 1 else 0)
    tried = members * words_tried(ground, stage) * row
    measured = accounts * 2 * pairs.heldout * row + calibrated + again + tried
    return Counts(
        prompts=stage.calibration,
        answers=stage.calibration,
        steps=members * iterations,
        passes=together(
            [
                train(root, stage.lora, trained, 0.0),
                Pass("forwarded", measured, 0.0, root),
                *sampled,
            ]
        ),
    )


def process_reward(ground: Ground, stage: recipe.ProcessReward) -> Counts:
    """Labelled steps: as many answers as the file has lines, by its own length."""
    text = Path(stage.labels).read_text(encoding="utf-8")
    rows = sum(1 for line in text.splitlines() if line.strip())
    row = min(stage.context, len(text) / CHARACTERS / max(1, rows))
    held, root = stage.heldout * rows, ground.root(stage.policy)
    iterations = steps(rows - held, stage.batch, stage.epochs)
    measured = (looks(stage, iterations) + 1) * held * row
    return Counts(
        steps=iterations,
        passes=(train(root, stage.lora, iterations * stage.batch * row, 0.0),
                Pass("forwarded", measured, 0.0, root))
    )  # fmt: skip


def written(ground: Ground, stage: recipe.WrittenReward) -> Counts:
    """Samples of a policy, scored; held-out pairs where there are some to compare with."""
    row = whole(ground.texts(stage.policy))
    passes = ground.sample(stage.policy, stage.samples, stage.sampling)
    passes += ground.score(stage.name, stage.samples, row)
    if stage.comparisons:
        held = ground.pairs(stage.comparisons)
        passes += ground.score(stage.name, 2 * held.heldout, whole(held.rows))
    return Counts(prompts=stage.samples, answers=stage.samples, passes=together(passes))


def on_policy(ground: Ground, stage: recipe.OnPolicy) -> Counts:
    """Rounds of sampling, scoring and learning; what the gates ask for besides."""
    answers = stage.iterations * stage.rollouts
    group = stage.group if isinstance(stage, recipe.CriticFree) else 1
    rows = ground.texts(stage.policy).of(stage.families)
    answer = rows.answer(stage.sampling.max_new_tokens)
    row, root = rows.prompt() + answer, ground.root(stage.policy)
    fit = stage.minibatches * (stage.rollouts // stage.minibatches) * stage.iterations
    seen = stage.epochs * fit
    passes = ground.sample(
        stage.policy, answers, stage.sampling, group=group, families=stage.families
    )
    passes += ground.score(stage.reward, answers, row)
    passes.append(Pass("forwarded", answers * row, answers * answer, root))  # the reference
    passes.append(train(root, stage.lora, seen * row, seen * answer))
    if stage.servers or stage.ahead:  # drawn by another policy than learns; the first one is not,
        late = answers - (0 if stage.servers else stage.rollouts)  # unless servers say so, too
        passes.append(Pass("forwarded", late * row, late * answer, root))
    if isinstance(stage, recipe.Ppo):
        critic = ground.valued(stage)
        adapted = stage.lora if stage.lora and stage.lora.share else None  # else all of it trains
        passes.append(Pass("forwarded", answers * row, 0.0, critic))
        passes.append(train(critic, adapted, seen * row, 0.0))
    more, beside = drawn_by_gates(ground, stage)
    asked = math.ceil(stage.rollouts / group) * stage.iterations + more
    done = stage.iterations * stage.epochs * stage.minibatches
    return Counts(
        prompts=asked,
        answers=answers + more,
        steps=done,
        passes=together([*passes, *beside]),
    )


def dpo(ground: Ground, stage: recipe.Dpo) -> Counts:
    """Pairs, and the reference on each of them once."""
    pairs, root = ground.pairs(stage.comparisons), ground.root(stage.policy)
    row, answer = pairs.rows.row(stage.context), pairs.rows.target(stage.context)
    iterations = steps(pairs.train, stage.batch, stage.epochs)
    seen = 2 * iterations * stage.batch
    once = pairs.train + pairs.heldout if recipe.LOSSES[stage.loss].reference else 0.0
    measured = 2 * (once + looks(stage, iterations) * pairs.heldout)
    return Counts(
        steps=iterations,
        passes=(train(root, stage.lora, seen * row, seen * answer),
                Pass("forwarded", measured * row, measured * answer, root))
    )  # fmt: skip


def kto(ground: Ground, stage: recipe.Kto) -> Counts:
    """Answers by themselves, and as many under another prompt, which have no gradient."""
    pairs, root = ground.pairs(stage.comparisons), ground.root(stage.policy)
    row, answer = pairs.rows.row(stage.context), pairs.rows.target(stage.context)
    train_rows, held = 2 * pairs.train + pairs.unpaired, 2 * pairs.heldout + pairs.heldout_unpaired
    iterations = steps(train_rows, stage.batch, stage.epochs)
    seen = iterations * stage.batch
    measured = 2 * (train_rows + held) + seen + 2 * looks(stage, iterations) * held
    return Counts(
        steps=iterations,
        passes=(train(root, stage.lora, seen * row, seen * answer),
                Pass("forwarded", measured * row, measured * answer, root))
    )  # fmt: skip


def rejection(ground: Ground, stage: recipe.Rejection) -> Counts:
    """Rounds of candidates; the best to every prompt is imitated, where one is better."""
    prompts = stage.rounds * stage.prompts
    answers = prompts * stage.candidates
    rows = ground.texts(stage.policy).of(stage.families)
    answer = rows.answer(stage.sampling.max_new_tokens)
    row, root = rows.prompt() + answer, ground.root(stage.policy)
    iterations = stage.rounds * steps(stage.prompts, stage.batch, stage.epochs)
    seen = iterations * stage.batch
    passes = ground.sample(
        stage.policy, answers, stage.sampling, group=stage.candidates, families=stage.families
    )
    passes += ground.score(stage.reward, answers, row)
    passes.append(Pass("forwarded", answers * row, answers * answer, root))
    passes.append(train(root, stage.lora, seen * row, seen * answer))
    return Counts(prompts=prompts, answers=answers, steps=iterations, passes=together(passes))


def reward_conditioned(ground: Ground, stage: recipe.RewardConditioned) -> Counts:
    """Answers drawn and scored, then imitated with a level before the prompt."""
    rows, root = ground.texts(stage.policy), ground.root(stage.policy)
    answer = rows.answer(stage.sampling.max_new_tokens)
    passes = candidate(ground, stage.policy, stage.samples, stage.sampling)
    passes += ground.score(stage.reward, stage.samples, rows.prompt() + answer)
    level = len(stage.template.split()) + 2
    row = min(stage.context, rows.prompt() + answer + level)
    held = stage.samples / EVERY
    iterations = steps(stage.samples - held, stage.batch, stage.epochs)
    seen, measured = iterations * stage.batch, looks(stage, iterations) * held
    passes.append(train(root, stage.lora, seen * row, seen * answer))
    passes.append(Pass("forwarded", measured * row, measured * answer, root))
    return Counts(
        prompts=stage.samples, answers=stage.samples, steps=iterations, passes=together(passes)
    )


COUNTS: Mapping[str, Count] = {
    "records": nothing,
    "pretrain": pretrain,
    "sft": sft,
    "revise": revise,
    "collect": collect,
    "relabel": relabel,
    "reward": reward,
    "ensemble": reward,
    "process_reward": process_reward,
    **{kind.kind: written for kind in REWARDS},
    "weak_to_strong": weak_to_strong,
    "ppo": on_policy,
    "rloo": on_policy,
    "grpo": on_policy,
    "reinforce": on_policy,
    "dpo": dpo,
    "kto": kto,
    "best_of_n": nothing,
    "rejection": rejection,
    "system_prompt": nothing,
    "retrieval": nothing,
    "reward_conditioned": reward_conditioned,
    "evaluate": evaluate,
    "compare": compare,
    "grade_turns": grade_turns,
    "overoptimisation": overoptimisation,
    "report": nothing,
}
"""By the kind of stage; every kind has one."""
