"""What a model says to a few prompts, before it is written and after it was read again.

A probe is a prompt's ids and the likeliest answer's, by Heed's own sampler. Log-probs (and scores)
come from plain transformers, a row at a time, so that no padding takes part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from heed.errors import UserError
from heed.exporting.found import Found
from heed.files import read_records
from heed.models.language_model import LanguageModel
from heed.models.reward_model import RewardModel
from heed.policies.in_context import with_system
from heed.rewards.learned import LearnedReward
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt

MOST = 4
"""Prompts that are asked."""
ANSWER = 24
"""Tokens of an answer at most."""
ELSE = "Hello! How are you?"
"""What is asked where a run has no prompt that fits."""
EXACT = 1e-5
"""Nats a token that a model may differ from the one written, both computed in float32."""
ROUNDING = 0.1
"""Nats a token on average that rounding the weights to half precision, and computing in it, may
move log-probs; scores by as many points.
"""


@dataclass(frozen=True)
class Probe:
    """A prompt, its ids, and the likeliest answer's text and ids."""

    prompt: Prompt
    prompt_ids: tuple[int, ...]
    answer: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Apart:
    """How far two readings of one model lie apart: on average and at most, over `n` numbers."""

    mean: float
    most: float
    n: int


def prompts_for(found: Found, length: Callable[[Prompt], int], context: int) -> list[Prompt]:
    """Held-out prompts of the run that leave room for an answer, with what they are asked with;
    `length` counts a prompt's tokens.
    """
    path = found.records / "prompts.jsonl" if found.records else None
    known = read_records(path, Prompt) if path and path.is_file() else []
    room = context - ANSWER - 1
    own = [with_system(each, found.asked_with) for each in known if each.split == "heldout"]
    fits = [each for each in own if length(each) <= room][:MOST]
    return fits or [with_system(Prompt.of(ELSE), found.asked_with)]


def answered(lm: LanguageModel, prompts: Sequence[Prompt]) -> list[Probe]:
    """The likeliest answers, by Heed's sampler."""
    sampler = LocalSampler(lm, max_new_tokens=ANSWER, temperature=0.0)
    return [
        Probe(prompt, tuple(lm.chat.prompt_ids(prompt)), each.text, each.ids)
        for prompt, each in zip(prompts, sampler.sample(prompts), strict=True)
    ]


@torch.no_grad()
def logprobs(model: Any, probes: Sequence[Probe]) -> list[float]:
    """The log-prob of every token of the probes but the first, by plain transformers; nats."""
    found: list[float] = []
    for probe in probes:
        ids = torch.tensor([[*probe.prompt_ids, *probe.ids]], device=model.device)
        logits = model(input_ids=ids).logits[0, :-1].float()
        chosen = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])
        found += chosen.squeeze(-1).tolist()
    return found


@torch.no_grad()
def greedy(model: Any, probes: Sequence[Probe]) -> list[tuple[int, ...]]:
    """The likeliest answers by plain `generate`, under the model's own generation config."""
    answers = []
    for probe in probes:
        ids = torch.tensor([list(probe.prompt_ids)], device=model.device)
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
            max_new_tokens=ANSWER, temperature=None, top_p=None, top_k=None,
        )  # fmt: skip
        answers.append(tuple(made[0, ids.shape[1] :].tolist()))
    return answers


def scores(model: RewardModel, probes: Sequence[Probe], context: int) -> list[float]:
    """What a reward model scores the probes, as in training."""
    given = [Completion(probe.prompt, probe.answer) for probe in probes]
    return LearnedReward(model, context=context)(given)


@torch.no_grad()
def plain_scores(model: Any, probes: Sequence[Probe], *, typed: bool) -> list[float]:
    """The same by plain transformers: the logit and the offset of the config; `typed` tells the
    answer's tokens from the prompt's by their type.
    """
    offset = float(getattr(model.config, "heed_offset", 0.0))
    found = []
    for probe in probes:
        inputs = {"input_ids": torch.tensor([[*probe.prompt_ids, *probe.ids]])}
        if typed:
            types = [0] * len(probe.prompt_ids) + [1] * len(probe.ids)
            inputs["token_type_ids"] = torch.tensor([types])
        logits = model(**inputs).logits
        found.append(float(logits.float().squeeze()) + offset)
    return found


def apart(before: Sequence[float], after: Sequence[float]) -> Apart:
    """How far two readings lie apart; infinitely far where one is no number."""
    gaps = [abs(a - b) for a, b in zip(before, after, strict=True)]
    gaps = [math.inf if math.isnan(gap) else gap for gap in gaps]
    return Apart(sum(gaps) / len(gaps), max(gaps), len(gaps))


def allowed_of_scores(head: nn.Module) -> float:
    """How far scores may lie apart: what the head's weights make of hidden states that differ by
    `EXACT`, for calibration divides the weights by the spread of the scores, which may be small.
    """
    weights = torch.cat([weight.detach().flatten() for weight in head.parameters()])
    return EXACT * max(1.0, float(weights.norm()))


def must_equal(found: Apart, what: str, allowed: float = EXACT) -> Apart:
    """Raises UserError where what was read again is not what was written."""
    if found.most > allowed:
        raise UserError(
            f"What was written is not what was to be written: {what} differ by up to "
            f"{found.most:.2g} where {allowed:.0e} is allowed. Nothing was kept; see that the disk "
            "is sound, and try again."
        )
    return found


def must_be_near(found: Apart, dtype: str, what: str) -> Apart:
    """Raises UserError where rounding costs more than is allowed."""
    if not found.mean <= ROUNDING:
        raise UserError(
            f"In {dtype} this model is another: {what} move by {found.mean:.2g} on average, and "
            f"{ROUNDING:g} is allowed. Nothing was kept; export it with --dtype float32."
        )
    return found
