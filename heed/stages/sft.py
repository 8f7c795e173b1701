"""Supervised fine-tuning of the base model on demonstrations."""

from __future__ import annotations

from collections.abc import Sequence

from heed.models.language_model import LanguageModel, attach_lora, save_language_model
from heed.models.rows import demonstration_rows
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.recipe import Lora, Sft
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace, context_of
from heed.trainer import Monitor
from heed.types import Demonstration

EVERY = 20
"""Where no prompt is held out, every so many-th demonstration is, to measure the loss on."""


def sft_stage(work: Workplace, settings: Sft, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    policy = with_lora(work.policy(settings.policy), settings.lora, work.seed(stage.name))
    train, heldout = _split(work.records(settings.records, "demonstrations", Demonstration))
    context = context_of(policy, settings.context)
    data = demonstration_rows(policy.chat, train, context)
    order = Order(len(data), settings.batch, work.seed(stage.name, "order"))
    method = sft(policy, data, order)
    summary = work.train_offline(
        stage,
        settings,
        method,
        demonstration_rows(policy.chat, heldout, context),
        epochs=settings.epochs,
        monitor=Monitor("heldout_nll", higher_is_better=False),
        shown=["nll", "heldout_nll"],
    )
    if stage.writes:
        save_language_model(policy, stage.directory / "policy")
    return {**summary, "demonstrations": len(train)}


def with_lora(policy: LanguageModel, settings: Lora | None, seed: int) -> LanguageModel:
    """The policy itself, or under a fresh adapter."""
    if settings is None:
        return policy
    return attach_lora(
        policy, rank=settings.rank, alpha=settings.alpha, targets=settings.targets, seed=seed
    )


def _split(
    items: Sequence[Demonstration],
) -> tuple[list[Demonstration], list[Demonstration]]:
    """What to train on and what to measure on."""
    train = [item for item in items if item.prompt.split == "train"]
    heldout = [item for item in items if item.prompt.split == "heldout"]
    if heldout:
        return train, heldout
    kept = [item for number, item in enumerate(train) if number % EVERY]
    return kept, train[::EVERY]
