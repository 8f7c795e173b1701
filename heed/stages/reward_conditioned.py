"""Reward-conditioned fine-tuning: draw answers, score them, imitate all with their levels.

<stage>/samples.jsonl, scores.json   drawn and scored once: a stage that goes on learns from them
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from heed.errors import UserError
from heed.files import read_records, write_json, write_records
from heed.models.chat import ChatFormat
from heed.models.rows import demonstration_rows
from heed.ops.order import Order
from heed.policies.in_context import with_system
from heed.policies.reward_conditioned import LEVELS, conditioned
from heed.policies.sft import sft
from heed.progress import Display
from heed.recipe import LEVEL, RewardConditioned
from heed.run import StageRun
from heed.sampling.local import LocalSampler
from heed.stages.candidates import as_it_wants
from heed.stages.contexts import check_system
from heed.stages.kept import keep_policy
from heed.stages.sft import EVERY, with_lora
from heed.stages.workplace import Summary, Workplace, context_of
from heed.trainer import Monitor
from heed.types import Completion, Prompt

CHUNK = 512
"""Prompts sampled at a time, between two steps of the progress bar."""


def reward_conditioned(work: Workplace, settings: RewardConditioned, stage: StageRun) -> Summary:
    """Leaves `policy/`, to be asked with the summary's `asked_with` before the prompt."""
    policy = work.policy(settings.policy)
    texts = {level: said(settings, level) for level in range(1, settings.levels + 1)}
    check_system(policy.chat, stage.name)
    _tell_apart(policy.chat, settings, list(texts.values()))
    sampler = work.sampler(policy, settings.sampling, stage.name)
    prompts = work.askable(settings.records, "train", sampler)
    finished, found = _scored(work, settings, stage, sampler, prompts)
    context = context_of(policy, settings.context)
    whole = _whole(policy.chat, settings, finished, list(texts.values()), context)
    samples, scores = [finished[at] for at in whole], [found[at] for at in whole]
    levels = LEVELS[settings.among](samples, scores, settings.levels)
    if len(set(levels)) == 1:
        raise UserError(
            f"{stage.name}: all {len(scores)} finished answers are of one level, which says "
            f"nothing of them. Take a reward that tells answers of {settings.policy!r} apart."
        )
    policy = with_lora(policy, settings.lora, work.seed(stage.name))
    answers = conditioned(samples, levels, texts.__getitem__)
    train = demonstration_rows(
        policy.chat, [each for at, each in enumerate(answers) if at % EVERY], context
    )
    summary = work.train_offline(
        stage,
        settings,
        sft(policy, train, Order(len(train), settings.batch, work.seed(stage.name, "order"))),
        demonstration_rows(policy.chat, answers[::EVERY], context),
        epochs=settings.epochs,
        monitor=Monitor("heldout_nll", higher_is_better=False),
        shown=["nll", "heldout_nll"],
    )
    keep_policy(stage, policy)
    notes = [
        *summary.get("notes", []),
        *work.left_out(settings.records, "train", prompts),
        *_cut(len(finished) - len(samples), context),
    ]
    return {
        **summary,
        **_account(scores, levels),
        "unfinished": settings.samples - len(finished),
        "asked_with": texts[max(levels)],
        "notes": notes,
    }


def said(settings: RewardConditioned, level: int) -> str:
    """The system message of a level."""
    return settings.template.replace(LEVEL, str(level))


def _scored(
    work: Workplace,
    settings: RewardConditioned,
    stage: StageRun,
    plain: LocalSampler,
    prompts: Sequence[Prompt],
) -> tuple[list[Completion], list[float]]:
    """The finished ones among the policy's samples, and their scores."""
    kept, numbers = stage.directory / "samples.jsonl", stage.directory / "scores.json"
    if numbers.exists():  # written last
        return read_records(kept, Completion), json.loads(numbers.read_text(encoding="utf-8"))
    order = Order(len(prompts), settings.samples, work.seed(stage.name, "prompts"))
    asked = [prompts[at] for at in order.indices(0).tolist()]
    sampler = as_it_wants(work, settings.policy, plain).sampler
    drawn: list[Completion] = []
    with Display(f"{stage.name} asks", len(asked), before=0, visible=stage.writes) as bar:
        for start in range(0, len(asked), CHUNK):
            seed = work.seed(stage.name, "samples", start)
            drawn += sampler.sample(asked[start : start + CHUNK], seed=seed)
            bar(len(drawn))
    finished = [each for each in drawn if each.finish == "stop"]
    if len(finished) < settings.batch:
        raise UserError(
            f"{stage.name}: of {len(drawn)} answers {len(finished)} came to an end, fewer than a "
            f"batch of {settings.batch}. Raise samples or sampling.max_new_tokens."
        )
    scores = work.reward(settings.reward)(finished)
    if stage.writes:
        write_records(kept, finished)
        write_json(numbers, scores)
    return finished, scores


def _whole(
    chat: ChatFormat,
    settings: RewardConditioned,
    samples: Sequence[Completion],
    texts: Sequence[str],
    context: int,
) -> list[int]:
    """The places of the samples that fit `context` behind every level: a cut would take the level.

    Raises UserError where they are fewer than a batch.
    """
    whole = [
        at
        for at, each in enumerate(samples)
        if len(chat.completion_ids(each.text))
        + max(len(chat.prompt_ids(with_system(each.prompt, text))) for text in texts)
        <= context
    ]
    if len(whole) < settings.batch:
        raise UserError(
            f"{settings.name}: of {len(samples)} answers {len(whole)} fit {context} tokens with "
            f"their prompt and level, fewer than a batch of {settings.batch}. Raise context."
        )
    return whole


def _cut(count: int, context: int) -> list[str]:
    """A note on answers that were not learned from, where there are any."""
    note = f"{count} answers do not fit {context} tokens with their prompt and level: left out."
    return [note] if count else []


def _tell_apart(chat: ChatFormat, settings: RewardConditioned, texts: Sequence[str]) -> None:
    """Raise UserError where the tokenizer writes two levels alike."""
    prompts = [with_system(Prompt.of("a"), text) for text in texts]
    if len({tuple(chat.prompt_ids(prompt)) for prompt in prompts}) < len(texts):
        raise UserError(
            f"{settings.name}: the tokenizer writes levels alike, as in {texts[0]!r} and "
            f"{texts[-1]!r}. Lower levels, or change the template."
        )


def _account(scores: Sequence[float], levels: Sequence[int]) -> dict[str, Any]:
    """How many answers are of each level, and what they score."""
    by_level = {
        level: [score for score, own in zip(scores, levels, strict=True) if own == level]
        for level in sorted(set(levels))
    }
    table = {
        str(level): {"answers": len(own), "score": fmean(own)} for level, own in by_level.items()
    }
    return {"levels": table, "answers": len(scores)}
