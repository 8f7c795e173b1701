"""A process reward from step labels, with an honest account of how often it is right."""

from __future__ import annotations

from pathlib import Path

from heed.errors import UserError
from heed.ops.order import Order
from heed.recipe import ProcessReward
from heed.rewards import process
from heed.rewards.process import Solution, read_solutions, step_modelling, step_rows
from heed.run import StageRun
from heed.stages.kept import keep_reward_model
from heed.stages.reward import started
from heed.stages.workplace import Summary, Workplace, context_of
from heed.stats.intervals import proportion_interval
from heed.trainer import Monitor
from heed.types import Completion


def process_reward(work: Workplace, settings: ProcessReward, stage: StageRun) -> Summary:
    """Leaves `model/`."""
    train, heldout = _split(work, settings)
    model = started(work, settings, work.seed(stage.name))
    context = context_of(model, settings.context)
    data, measured = (
        step_rows(model.turns, each, settings.separator, context) for each in (train, heldout)
    )
    order = Order(len(data), settings.batch, work.seed(stage.name, "order"))
    summary = work.train_offline(
        stage,
        settings,
        step_modelling(model, data, order),
        measured,
        epochs=settings.epochs,
        monitor=Monitor("heldout_accuracy"),
        shown=["step_correctness", "accuracy", "heldout_accuracy"],
    )
    keep_reward_model(stage, model)
    reward = process.ProcessReward(
        model, separator=settings.separator, aggregate=settings.aggregate, context=context
    )
    return {**summary, "solutions": len(train), **_account(reward, heldout, settings.separator)}


def _split(work: Workplace, settings: ProcessReward) -> tuple[list[Solution], list[Solution]]:
    """Solutions to train on and, of other prompts, to measure on."""
    solutions = read_solutions(Path(settings.labels))
    prompts = list(dict.fromkeys(each.prompt.id for each in solutions))
    order = Order(max(1, len(prompts)), max(1, len(prompts)), work.seed(settings.name, "heldout"))
    shuffled = [prompts[i] for i in order.indices(0).tolist()] if prompts else []
    held = set(shuffled[: max(1, round(settings.heldout * len(prompts)))])
    train = [each for each in solutions if each.prompt.id not in held]
    if not train:
        raise UserError(
            f"{settings.labels}: steps to {len(prompts)} prompts are too few to train and to "
            "measure on; two are the least."
        )
    return train, [each for each in solutions if each.prompt.id in held]


def _account(
    reward: process.ProcessReward, heldout: list[Solution], separator: str
) -> dict[str, object]:
    """How often held-out steps are told right from wrong, and how often they are right."""
    chances = reward.steps(
        [Completion(each.prompt, separator.join(each.steps)) for each in heldout]
    )
    agreed, right, prompts = [], [], []
    for each, found in zip(heldout, chances, strict=True):
        for label, chance in zip(each.right, found, strict=False):
            agreed.append(float(label == (chance > 0.5)))
            right.append(float(label))
            prompts.append(each.prompt.id)
    return {
        "step_accuracy": proportion_interval(agreed, prompts).to_json(),
        "right_steps": proportion_interval(right, prompts).to_json(),
    }
