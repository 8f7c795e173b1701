"""What gates ask of the direction of a policy gradient's first step.

The update of a method is minus the gradient g of its loss L. Along it the mean over comparisons of
log p(chosen) - log p(rejected), whose gradient is M, rises by -<g, M>: so far as L falls where the
policy goes along M. That is measured, by L's own function, comparison by comparison. What the
method would make of the same answers if each pair had its scores exchanged is taken off, so that
for a reward that knows nothing of people's choice every part has a mean of 0.

At its start a policy is its own reference and KL has no gradient. So it is moved, answers anew, and
is asked how L falls on the way back; what L does without KL, against a reference that is the moved
policy itself, is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest

import torch
from torch import Tensor, nn

from heed.gates.direction import leash, step
from heed.gates.finding import Finding
from heed.models.forward import completion_logprobs
from heed.models.modes import evaluating
from heed.models.packing import packs
from heed.models.sharding import is_sharded, squared_norm
from heed.models.shares import in_shares
from heed.ops.batch import Rollout, Sequences
from heed.policies.experience import Experience, experience
from heed.policies.policy_gradient import PolicyGradient
from heed.ranks import Ranks
from heed.recipe import LeashGate, OnPolicy, RewardModelling, StepGate
from heed.recipe.gates import PAIRS, PROMPTS
from heed.stages.workplace import Workplace, context_of
from heed.types import Comparison, Completion, RewardFn

NUDGE = 1e-3
"""Nats by which an answer's log-prob changes in what stands for a derivative: within any clip."""
MOVED = 0.3
"""Nats by which it changes where KL is to be felt."""


def raises_better(
    work: Workplace, stage: OnPolicy, method: PolicyGradient, gate: StepGate
) -> Finding | None:
    """The method's update on held-out comparisons; None where the reward knows of none."""
    group = method.surrogate.group
    pairs = _held_out(work, stage.reward, method)
    if not pairs:
        return None
    shown = [(pair, at % 2 == 0) for pair in pairs for at in range(max(2, group))]
    with _exactly(method):
        answers = _completed(method, shown)
        seen = _experience(method, answers, method.reward, method.surrogate.missing_eos)
        signs = torch.tensor([1.0 if better else -1.0 for _, better in shown])
        towards = _Direction.of(method, seen.sequences, signs)
        exchanged = replace(seen, scores=_exchanged(seen.scores, max(2, group)))
        rollouts = [method.weigh(seen), method.weigh(exchanged)]
        gains = _falls(method, rollouts, towards, towards.reaching(NUDGE), max(2, group))
    return step(gains, [pair.prompt.id for pair in pairs], false_alarms=gate.false_alarms)


def pulls_back(
    work: Workplace, _: OnPolicy, method: PolicyGradient, gate: LeashGate
) -> Finding | None:
    """What KL does to a policy that has moved; None where it costs nothing."""
    if method.kl.coef == 0:
        return None
    group = method.surrogate.group
    few = min(PROMPTS, len(method.prompts))
    prompts = [method.prompts[at * len(method.prompts) // few] for at in range(few)]
    with _exactly(method):
        own = method.sampler.sample(prompts, n=1, seed=work.seed("gates", "direction"))
        rows = Sequences.of(
            [(each.prompt_ids, each.ids) for each in own], method.policy.chat.pad_id
        )
        signs = torch.tensor([1.0 if at % 2 else -1.0 for at in range(len(own))])
        away = _Direction.of(method, rows, signs)
        far, near = away.reaching(MOVED), away.reaching(NUDGE)
        with away.moved(far):
            answers = method.sampler.sample(prompts, n=group, seed=work.seed("gates", "leash"))
            seen = _experience(method, answers, _nothing, 0.0)
            free = replace(seen, ref_logprobs=seen.logprobs, kl=torch.zeros_like(seen.kl))
            rollouts = [method.weigh(seen), method.weigh(free)]
            pulls = _falls(method, rollouts, away, -near, group)
    return leash(pulls, [prompt.id for prompt in prompts], false_alarms=gate.false_alarms)


def _held_out(work: Workplace, reward: str, method: PolicyGradient) -> list[Comparison]:
    """Some held-out comparisons of those that a reward model was made of, or that one was that a
    sum or a gate of rewards is made of. A reward that was written down may be right to go against
    what people chose.
    """
    settings = work.recipe.stage(reward)
    if isinstance(settings, RewardModelling):
        every = work.comparisons(settings.comparisons, "heldout")
        return _spread([each for each in every if _fits(method, each)], PAIRS)
    inner = (_held_out(work, name, method) for name in settings.rewards())
    return next((pairs for pairs in inner if pairs), [])


def _spread(pairs: Sequence[Comparison], count: int) -> list[Comparison]:
    """At most so many, of as many prompts as there are: one of each, then a second of each ..."""
    by_prompt: dict[str, list[Comparison]] = {}
    for pair in pairs:
        by_prompt.setdefault(pair.prompt.id, []).append(pair)
    chosen: list[Comparison] = []
    for turn in zip_longest(*by_prompt.values()):
        own = [pair for pair in turn if pair is not None]
        few = min(len(own), count - len(chosen))
        chosen += [own[at * len(own) // few] for at in range(few)]
    return chosen


def _fits(method: PolicyGradient, pair: Comparison) -> bool:
    """Whether both answers have room in the policy's context."""
    chat = method.policy.chat
    longest = max(len(chat.completion_ids(text)) for text in (pair.chosen, pair.rejected))
    wanted = len(chat.prompt_ids(pair.prompt)) + longest
    return context_of(method.policy, wanted) >= wanted


def _completed(
    method: PolicyGradient, shown: Sequence[tuple[Comparison, bool]]
) -> list[Completion]:
    """The chosen (True) or rejected answer of each comparison, as if the policy had written it."""
    chat = method.policy.chat
    answers = []
    for pair, better in shown:
        text = pair.chosen if better else pair.rejected
        ids = tuple(chat.completion_ids(text))
        prompt_ids = tuple(chat.prompt_ids(pair.prompt))
        answers.append(Completion(pair.prompt, text, prompt_ids=prompt_ids, ids=ids))
    rows = _rows(method, answers)
    return [
        replace(answer, logprobs=tuple(values[marks].tolist()))
        for answer, values, marks in zip(answers, _logprobs(method, rows), rows.target, strict=True)
    ]


def _rows(method: PolicyGradient, answers: Sequence[Completion]) -> Sequences:
    """Answers as rows on the policy's device."""
    pairs = [(each.prompt_ids, each.ids) for each in answers]
    return Sequences.of(pairs, method.policy.chat.pad_id).to(method.policy.device)


def _experience(
    method: PolicyGradient, answers: Sequence[Completion], reward: RewardFn, missing_eos: float
) -> Experience:
    """Answers as the method sees them, scored by a reward of ours."""
    return experience(
        answers,
        reward,
        method.reference,
        temperature=method.surrogate.temperature,
        missing_eos=missing_eos,
        micro_tokens=method.surrogate.micro_tokens,
        pad=method.policy.chat.pad_id,
        device=method.policy.device,
    )


def _nothing(completions: Sequence[Completion]) -> list[float]:
    """A reward that is 0, so that KL alone is left."""
    return [0.0] * len(completions)


def _exchanged(scores: Tensor, size: int) -> Tensor:
    """Scores of better and worse answers, which stand by turns in each comparison, exchanged."""
    by_pair = scores.view(-1, size)
    at = torch.arange(size, device=scores.device)
    return by_pair[:, (at % 2 == 0).long()].flatten()


@dataclass(frozen=True)
class _Direction:
    """A direction in which a policy may be moved, and the answers that it was made of."""

    method: PolicyGradient
    sequences: Sequences
    weights: list[nn.Parameter]
    of_weights: list[Tensor]

    @classmethod
    def of(cls, method: PolicyGradient, sequences: Sequences, signs: Tensor) -> _Direction:
        """That in which the mean of sign * log p(answer) rises most."""
        model = method.policy.model
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        budget = method.surrogate.micro_tokens
        for index in sequences.partition(budget, packed=packs(model)):
            with torch.enable_grad():
                found, _ = completion_logprobs(
                    model, sequences.rows(index), temperature=method.surrogate.temperature
                )
                (found.sum(1) * signs[index].to(found)).sum().div(len(sequences)).backward()
        # Every process went through all rows; where weights are sharded their gradients are sums.
        times = Ranks.here().count if is_sharded(model) else 1
        total = []
        for weight in weights:
            total.append(torch.zeros_like(weight) if weight.grad is None else weight.grad / times)
            weight.grad = None
        return cls(method, sequences, weights, total)

    @contextmanager
    def moved(self, by: float) -> Iterator[None]:
        """Move the policy for a block; it gets its own weights back, to the bit."""
        kept = [weight.detach().clone() for weight in self.weights]
        try:
            for weight, part in zip(self.weights, self.of_weights, strict=True):
                weight.add_(part, alpha=by)
            yield
        finally:
            for weight, own in zip(self.weights, kept, strict=True):
                weight.copy_(own)

    def reaching(self, nats: float) -> float:
        """How far to go for answers' log-probs to change by so much (root mean square)."""
        here = _logprobs(self.method, self.sequences).sum(1)
        squared = squared_norm(self.of_weights)
        by = nats / math.sqrt(squared) if squared else 0.0
        for _ in range(2):  # nearly linear: few corrections will do
            with self.moved(by):
                change = _logprobs(self.method, self.sequences).sum(1) - here
            by *= nats / max(float(change.square().mean().sqrt()), 1e-12)
        return by


def _falls(
    method: PolicyGradient,
    rollouts: Sequence[Rollout],
    direction: _Direction,
    by: float,
    size: int,
) -> list[float]:
    """By how much a loss falls on the way, less that of the other rollout of the same answers; a
    number each `size` rows.
    """
    here = _logprobs(method, rollouts[0])
    with direction.moved(by):
        there = _logprobs(method, rollouts[0])
    falls = [
        _losses(method, here, each, size) - _losses(method, there, each, size) for each in rollouts
    ]
    return ((falls[0] - falls[1]) / NUDGE).tolist()


def _losses(method: PolicyGradient, logprobs: Tensor, rollout: Rollout, size: int) -> Tensor:
    """The method's loss of a policy with these log-probs, a number each `size` rows."""
    counts = rollout.counts()
    found = []
    for start in range(0, len(rollout), size):
        index = torch.arange(start, start + size, device=logprobs.device)
        rows = rollout.rows(index)
        terms = method.objective(logprobs[index, : rows.ids.shape[1]], rows)
        found.append(sum(term.weight * float(term.total) / counts[term.count] for term in terms))
    return torch.tensor(found, dtype=torch.float64)


def _logprobs(method: PolicyGradient, sequences: Sequences) -> Tensor:
    """Log-probs of the answers' tokens, without gradient."""
    model, surrogate = method.policy.model, method.surrogate
    return in_shares(
        sequences,
        surrogate.micro_tokens,
        lambda part: completion_logprobs(model, part, temperature=surrogate.temperature)[0],
        packed=packs(model),
    )


@contextmanager
def _exactly(method: PolicyGradient) -> Iterator[None]:
    """In eval mode, without gradients, and in float32: bfloat16 would not feel a nudge."""
    kind = method.policy.device.type
    with evaluating(method.module), torch.no_grad(), torch.autocast(kind, enabled=False):
        yield
