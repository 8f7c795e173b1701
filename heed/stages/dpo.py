"""DPO: the policy straight from the comparisons."""

from __future__ import annotations

from heed.losses.preference import PREFERENCE_LOSSES
from heed.models.language_model import save_language_model
from heed.models.reference import Reference
from heed.models.rows import pair_rows
from heed.ops.order import Order
from heed.policies.dpo import dpo, with_reference
from heed.recipe import Dpo
from heed.run import StageRun
from heed.stages.sft import with_lora
from heed.stages.workplace import Summary, Workplace, context_of
from heed.trainer import Monitor


def dpo_stage(work: Workplace, settings: Dpo, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    policy = with_lora(work.policy(settings.policy), settings.lora, work.seed(stage.name))
    reference = Reference(policy)
    context = context_of(policy, settings.context)
    train, heldout = (
        with_reference(
            pair_rows(policy.chat, work.comparisons(settings.comparisons, name), context),
            reference,
            settings.optim.micro_tokens,
        )
        for name in ("comparisons", "heldout")
    )
    order = Order(len(train), settings.batch, work.seed(stage.name, "order"))
    method = dpo(policy, train, order, PREFERENCE_LOSSES[settings.loss], settings.beta)
    summary = work.train_offline(
        stage,
        settings,
        method,
        heldout,
        epochs=settings.epochs,
        monitor=Monitor("heldout_accuracy"),
        shown=["preference", "accuracy", "heldout_accuracy"],
    )
    if stage.writes:
        save_language_model(policy, stage.directory / "policy")
    return {**summary, "comparisons": len(train)}
