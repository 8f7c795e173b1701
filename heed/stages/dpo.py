"""DPO and its family: the policy straight from the comparisons."""

from __future__ import annotations

from functools import partial

from heed.errors import UserError
from heed.losses.preference import PREFERENCE_LOSSES
from heed.models.rows import pair_rows
from heed.ops.batch import Pairs
from heed.ops.order import Order
from heed.policies.dpo import dpo, with_reference
from heed.recipe import LOSSES, Dpo
from heed.run import StageRun
from heed.stages.kept import keep_policy
from heed.stages.reference import with_kept_reference
from heed.stages.sft import learner
from heed.stages.workplace import Summary, Workplace, context_of
from heed.trainer import Monitor


def dpo_stage(work: Workplace, settings: Dpo, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    names = ("comparisons", "heldout")
    records = [work.comparisons(settings.comparisons, name) for name in names]
    if settings.offset is not None and not any(item.margin for item in records[0]):
        raise UserError(
            f"{stage.name}: the loss {settings.loss} goes by the margins of the comparisons, but "
            f"all of {settings.comparisons!r} have margin 0. Collect grades (answers: 2), or set "
            "loss to dpo."
        )
    policy = learner(work, settings, stage.name, split=settings.shard)
    facts, micro_tokens = LOSSES[settings.loss], settings.optim.micro_tokens
    context = context_of(policy, settings.context)

    def referenced(rows: Pairs) -> Pairs:
        reference = work.splitting(settings).reference(policy, settings.policy)
        return with_reference(rows, reference, micro_tokens)

    train, heldout = (pair_rows(policy.chat, items, context) for items in records)
    if facts.reference:
        train, heldout = (
            with_kept_reference(stage, name, rows, referenced)
            for name, rows in zip(names, (train, heldout), strict=True)
        )
    method = dpo(
        policy,
        train,
        Order(len(train), settings.batch, work.seed(stage.name, "order")),
        partial(PREFERENCE_LOSSES[settings.loss], **settings.own),
        settings.beta,
        sft_coef=settings.sft_coef,
        per_token=facts.per_token,
    )
    summary = work.train_offline(
        stage,
        settings,
        method,
        heldout,
        epochs=settings.epochs,
        monitor=Monitor("heldout_accuracy"),
        shown=["preference", "accuracy", "heldout_accuracy"],
    )
    keep_policy(stage, policy)
    return {**summary, "comparisons": len(train)}
