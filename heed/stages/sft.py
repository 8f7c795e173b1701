"""Supervised fine-tuning of the base model on demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heed.errors import UserError
from heed.evaluation.likelihood import nll, per_token
from heed.models.anatomy import causal_lm
from heed.models.chat import ChatFormat
from heed.models.entering import within
from heed.models.language_model import LanguageModel, attach_lora
from heed.models.packing import check_packing
from heed.models.rows import conversation_rows, demonstration_rows, text_rows
from heed.models.sharding import shard
from heed.ops.batch import Sequences, laid_out
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.recipe import Dpo, Kto, Lora, OnPolicy, Rejection, Sft
from heed.recipe.checks import nearest
from heed.run import StageRun
from heed.stages.kept import keep_policy
from heed.stages.workplace import Summary, Workplace, context_of
from heed.trainer import Monitor
from heed.types import Demonstration

EVERY = 20
"""Where no prompt is held out, every so many-th demonstration is, to measure the loss on."""

TRAINED = "trained families"
"""What the account calls the held-out demonstrations of families that training sees."""
WITHOUT = "They name no families at all; leave held_families out."

MakeRows = Callable[[ChatFormat, Sequence[Demonstration], int], Sequences]
ROWS: Mapping[tuple[str, str], MakeRows] = {
    ("completion", "all"): conversation_rows,
    ("completion", "last"): demonstration_rows,
    ("all", "all"): text_rows,
}
"""By `loss_on` and `turns`."""


def sft_stage(work: Workplace, settings: Sft, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    demonstrations = _imitated(work, settings)
    apart = _held(settings, demonstrations)
    train, heldout = _split(
        [item for item in demonstrations if item.prompt.family not in settings.held_families]
    )
    policy = learner(work, settings, stage.name, split=settings.shard)
    context = context_of(policy, settings.context)
    if settings.packing:
        within(policy.model, lambda: check_packing(causal_lm(policy.model).base_model))

    def rows(items: Sequence[Demonstration]) -> Sequences:
        made = ROWS[settings.loss_on, settings.turns](policy.chat, items, context)
        return laid_out(made, settings.packing)

    data = rows(train)
    order = Order(len(data), settings.batch, work.seed(stage.name, "order"))
    families = {TRAINED: heldout, **apart} if apart else {}
    measured = {family: rows(items) for family, items in families.items()}

    def likelihoods() -> dict[str, list[float]]:
        micro_tokens = settings.optim.micro_tokens
        return {family: nll(policy, made, micro_tokens) for family, made in measured.items()}

    before = likelihoods()
    summary = work.train_offline(
        stage,
        settings,
        sft(policy, data, order),
        rows(heldout),
        epochs=settings.epochs,
        monitor=Monitor("heldout_nll", higher_is_better=False),
        shown=["nll", "heldout_nll"],
        apart={family: measured[family] for family in apart},
    )
    keep_policy(stage, policy)
    after = likelihoods()
    account = {
        family: _account(before[family], after[family], made, families[family])
        for family, made in measured.items()
    }
    summary = {**summary, "demonstrations": len(train)}
    return {**summary, "heldout_nll": account} if account else summary


def learner(
    work: Workplace, settings: Sft | Dpo | Kto | OnPolicy | Rejection, name: str, *, split: bool
) -> LanguageModel:
    """The policy that a stage trains, under its adapter if it has one. With `split` it is sharded
    from here on, and no process ever has all of it.
    """
    policy = work.policy(settings.policy, split=split)
    policy = with_lora(policy, settings.lora, work.seed(name))
    if split:
        shard(policy.model, half=work.half)
    return policy


def with_lora(policy: LanguageModel, settings: Lora | None, seed: int) -> LanguageModel:
    """The policy itself, or under a fresh adapter."""
    if settings is None:
        return policy
    return attach_lora(
        policy, rank=settings.rank, alpha=settings.alpha, targets=settings.targets, seed=seed
    )


def _imitated(work: Workplace, settings: Sft) -> list[Demonstration]:
    """Demonstrations, or the chosen answers of comparisons, held-out ones last."""
    if settings.comparisons is None:
        assert settings.records is not None, "the settings name one of both"
        return work.records(settings.records, "demonstrations", Demonstration)
    return [
        Demonstration(pair.prompt, pair.chosen)
        for name in ("comparisons", "heldout")
        for pair in work.comparisons(settings.comparisons, name)
    ]


def _held(settings: Sft, demonstrations: Sequence[Demonstration]) -> dict[str, list[Demonstration]]:
    """The demonstrations of each family that training shall not see."""
    families = sorted({item.prompt.family for item in demonstrations} - {""})
    for name in settings.held_families:
        if name not in families:
            there = nearest(name, families) if families else WITHOUT
            raise UserError(
                f"{settings.name}: held_families names {name!r}, but no demonstration of "
                f"{settings.comparisons or settings.records!r} is of that family. {there}"
            )
    if settings.held_families and set(families) <= set(settings.held_families):
        raise UserError(f"{settings.name}: held_families leaves no family to train on. Name fewer.")
    return {
        family: [item for item in demonstrations if item.prompt.family == family]
        for family in settings.held_families
    }


def _account(
    before: Sequence[float],
    after: Sequence[float],
    rows: Sequences,
    items: Sequence[Demonstration],
) -> dict[str, Any]:
    """Nats a target token before training and after, and how far they moved, token by token."""
    prompts = [item.prompt.id for item in items]
    moved = [late - early for early, late in zip(before, after, strict=True)]
    values = {"before": before, "after": after, "change": moved}
    return {name: per_token(each, rows, prompts).to_json() for name, each in values.items()}


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
