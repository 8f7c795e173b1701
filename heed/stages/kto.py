"""KTO: the policy from answers that are good or bad, each by itself."""

from __future__ import annotations

from collections.abc import Sequence

from heed.data.comparisons import each_by_itself
from heed.models.rows import answer_rows
from heed.ops.batch import Answers
from heed.ops.order import Order
from heed.policies.kto import kto, with_reference
from heed.recipe import Kto, listed
from heed.run import StageRun
from heed.stages.kept import keep_policy
from heed.stages.reference import with_kept_reference
from heed.stages.sft import learner
from heed.stages.workplace import Summary, Workplace, context_of
from heed.trainer import Monitor
from heed.types import Unpaired

BALANCE = (1.0, 4 / 3)
"""Where lambda_D x desirable / (lambda_U x undesirable) should lie (KTO, eq. 8)."""
NEAR = 1.1
"""A ratio off by less than this factor is let pass."""


def kto_stage(work: Workplace, settings: Kto, stage: StageRun) -> Summary:
    """Leaves `policy/`. Reads comparisons, two answers of each, and what is unpaired besides."""
    train, heldout = (
        each_by_itself(work.comparisons(settings.comparisons, name))
        for name in ("comparisons", "heldout")
    )
    train += _by_themselves(work, settings, "unpaired")
    heldout += _by_themselves(work, settings, "heldout_unpaired")
    policy = learner(work, settings, stage.name, split=settings.shard)
    context, micro_tokens = context_of(policy, settings.context), settings.optim.micro_tokens

    def rows(name: str, items: Sequence[Unpaired]) -> Answers:
        return with_kept_reference(
            stage,
            name,
            answer_rows(policy.chat, items, context),
            lambda data: with_reference(
                data, work.splitting(settings).reference(policy, settings.policy), micro_tokens
            ),
        )

    data = rows("train", train)
    method = kto(
        policy,
        data,
        Order(len(data), settings.batch, work.seed(stage.name, "order")),
        beta=settings.beta,
        desirable_coef=settings.desirable_coef,
        undesirable_coef=settings.undesirable_coef,
        micro_tokens=micro_tokens,
    )
    summary = work.train_offline(
        stage,
        settings,
        method,
        rows("heldout", heldout),
        epochs=settings.epochs,
        monitor=Monitor("heldout_accuracy"),
        shown=["kto", "accuracy", "heldout_accuracy"],
    )
    keep_policy(stage, policy)
    counted = {
        "desirable": sum(item.weight for item in train if item.desirable),
        "undesirable": sum(item.weight for item in train if not item.desirable),
    }
    notes = [*summary.get("notes", []), *_unbalanced(settings, **counted)]
    return {**summary, **counted, "answers": len(data), "notes": notes}


def _by_themselves(work: Workplace, settings: Kto, name: str) -> list[Unpaired]:
    """What feedback says of answers by themselves, where a stage has any of it."""
    sources = [
        source
        for source in listed(settings.comparisons)
        if work.path(source, f"{name}.jsonl").exists()
    ]
    return [each for source in sources for each in work.records(source, name, Unpaired)]


def _unbalanced(settings: Kto, desirable: float, undesirable: float) -> list[str]:
    """A note where one kind outweighs the other by more than is good."""
    ratio = settings.desirable_coef * desirable / (settings.undesirable_coef * undesirable)
    low, high = BALANCE
    if low / NEAR <= ratio <= high * NEAR:
        return []
    return [
        f"Desirable answers weigh {ratio:.2f} of the undesirable ones; KTO's authors want "
        f"{low:g} to {high:.2f}. Set desirable_coef to about "
        f"{settings.desirable_coef / ratio:.2f}."
    ]
