"""What every policy is asked in an evaluation, and what it answered."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from heed.data.probes import read_questions
from heed.evaluation.accuracy import beats
from heed.evaluation.kl import sequence_kl
from heed.evaluation.measures import Samples
from heed.evaluation.sycophancy import Probe, file_probes, world_probes
from heed.models.reference import Reference
from heed.progress import Display
from heed.recipe import Check, Evaluate, Stage
from heed.sampling.local import LocalSampler
from heed.stages.candidates import Candidate
from heed.stages.rewards import families_of, models
from heed.stages.workplace import Workplace
from heed.types import Completion, Demonstration, Prompt, RewardFn, Sampler

CHUNK = 16
"""Prompts sampled at a time, between two steps of the progress bar."""


@dataclass(frozen=True)
class Questions:
    """The prompts of an evaluation: held out, seen in training, and with a wrong opinion before."""

    heldout: Sequence[Prompt]
    samples: int
    """Answers to each of the held-out prompts."""
    seen: Sequence[Prompt]
    """Each is answered once."""
    probes: Sequence[Probe]
    opinions: int
    """Answers to each probe."""

    @cached_property
    def plain(self) -> list[Prompt]:
        """The probes' questions that are no held-out prompts anyway."""
        asked = {prompt.id for prompt in self.heldout}
        return [probe.asked for probe in self.probes if probe.asked.id not in asked]

    @property
    def total(self) -> int:
        """Answers that a policy gives."""
        probed = self.opinions * (len(self.probes) + len(self.plain))
        return self.samples * len(self.heldout) + len(self.seen) + probed


@dataclass(frozen=True)
class Answers:
    """What one policy answered."""

    heldout: Samples
    seen: Samples | None
    told: Sequence[Completion]
    """To the probes, after the opinion; none where a policy was not asked."""
    plain: Sequence[Completion]
    own: bool
    """Whether the log-probs are the policy's own."""

    @property
    def asked(self) -> list[Completion]:
        """Answers to questions without an opinion."""
        return [*self.heldout.completions, *self.plain]


def questions(work: Workplace, settings: Evaluate, sampler: LocalSampler) -> Questions:
    """What is asked; whatever is too long for the sampler's context is left out."""
    heldout = work.askable(settings.records, "heldout", sampler)
    seen: list[Prompt] = []
    if settings.seen:
        train = [p for p in work.prompts(settings.records, "train") if sampler.fits(p)]
        seen = alike(train, heldout, settings.seen, work.seed(settings.name, "seen"))
    probes: list[Probe] = []
    if settings.opinions != 0:
        if settings.probes is not None:
            probes = file_probes(read_questions(Path(settings.probes)))
        elif work.world is not None:
            probes = world_probes(work.world, work.seed(settings.name, "opinions"))
    return Questions(
        heldout,
        math.ceil(settings.samples / len(heldout)),
        seen,
        [probe for probe in probes if sampler.fits(probe.told) and sampler.fits(probe.asked)],
        settings.wanted_opinions,
    )


def alike(
    prompts: Sequence[Prompt], others: Sequence[Prompt], count: int, seed: int
) -> list[Prompt]:
    """At most so many of the prompts, with the others' shares of families; none twice.

    The shares are whole numbers by their largest remainders, so that they add up to `count`.
    """
    rng = random.Random(seed)
    sizes = Counter(prompt.family for prompt in others)
    shares = {family: divmod(size * count, len(others)) for family, size in sizes.items()}
    left = count - sum(whole for whole, _ in shares.values())
    more = sorted(shares, key=lambda family: -shares[family][1])[:left]
    chosen: list[Prompt] = []
    for family, (whole, _) in shares.items():
        own = [prompt for prompt in prompts if prompt.family == family]
        chosen += rng.sample(own, min(len(own), whole + (family in more)))
    return chosen


@dataclass(frozen=True)
class Asking:
    """Asks policies and measures what they answer."""

    work: Workplace
    settings: Evaluate
    questions: Questions
    reference: Reference
    rewards: Mapping[str, RewardFn]
    written: Mapping[str, float]
    """Gold reward of a human answer to each held-out prompt; none outside the world."""
    bar: Display

    @classmethod
    def of(
        cls,
        work: Workplace,
        settings: Evaluate,
        asked: Questions,
        reference: Reference,
        bar: Display,
    ) -> Asking:
        """With the rewards that the settings name."""
        return cls(
            work, settings, asked, reference, _rewards(work, settings),
            _references(work, settings), bar,
        )  # fmt: skip

    def ask(self, source: str, candidate: Candidate, done: int) -> Answers:
        """All the answers of one stage's policy; `done` answers are behind the bar already."""
        asked = self.questions
        heldout = self._sample(asked.heldout, asked.samples, source, candidate.sampler, (), done)
        done += len(heldout)
        seen = self._sample(asked.seen, 1, source, candidate.sampler, ("seen",), done)
        done += len(seen)
        told: list[Completion] = []
        plain: list[Completion] = []
        if can_be_told(self.work, source):
            prompts = [probe.told for probe in asked.probes]
            told = self._sample(prompts, asked.opinions, source, candidate.sampler, ("told",), done)
            done += len(told)
            plain = self._sample(
                asked.plain, asked.opinions, source, candidate.sampler, ("plain",), done
            )
        bound = candidate.kl_bound
        return Answers(
            Samples(heldout, self._values(heldout, self.rewards, bound)),
            Samples(seen, self._values(seen, self._general(), bound)) if seen else None,
            told,
            plain,
            own=bound is None,
        )

    def _sample(
        self,
        prompts: Sequence[Prompt],
        n: int,
        source: str,
        sampler: Sampler,
        purpose: tuple[str, ...],
        done: int,
    ) -> list[Completion]:
        completions: list[Completion] = []
        for start in range(0, len(prompts), CHUNK):
            seed = self.work.seed(self.settings.name, source, *purpose, start)
            completions += sampler.sample(prompts[start : start + CHUNK], n=n, seed=seed)
            self.bar(done + len(completions))
        return completions

    def _general(self) -> dict[str, RewardFn]:
        """The rewards that can score any prompt for nothing: models, and checks without a file."""
        stages = self.settings.judges()
        return {
            name: reward
            for name, reward in self.rewards.items()
            if _scores_anything(self.work.recipe.stage(stages[name]))
        }

    def _values(
        self, completions: Sequence[Completion], rewards: Mapping[str, RewardFn],
        bound: float | None,
    ) -> dict[str, list[float]]:  # fmt: skip
        """What is measured on each completion; gold and its parts only where the world knows them,
        "preferred" where a person answered the prompt, too.
        """
        temperature = self.settings.sampling.temperature
        kl = sequence_kl(completions, self.reference, temperature=temperature)
        values = {
            "length": [float(len(item.text.split())) for item in completions],
            "unfinished": [float(item.finish != "stop") for item in completions],
            # log q / ref = log q / pi + log pi / ref, of which the first is bounded on average.
            "kl": [value + (bound or 0.0) for value in kl],
            **{name: reward(completions) for name, reward in rewards.items()},
        }
        if self.work.world is None:
            return values
        gold = [self.work.world.gold(item.prompt, item.text) for item in completions]
        preferred = {}
        if all(item.prompt.id in self.written for item in completions):
            preferred["preferred"] = [
                beats(own.total, self.written[item.prompt.id])
                for item, own in zip(completions, gold, strict=True)
            ]
        return {
            "gold": [item.total for item in gold],
            **preferred,
            "rude": [float(item.rude) for item in gold],
            "harmful": [float(item.harmful) for item in gold],
            "correct": [float(item.correct) for item in gold],
            **values,
        }


def can_be_told(work: Workplace, source: str) -> bool:
    """Whether a stage answers questions that no file of right answers holds: what chooses among
    answers by such a file cannot.
    """
    stage = work.recipe.stage(source)
    chooses = stage.rewards() if not stage.trains else []
    return all(_scores_anything(work.recipe.stage(name)) for name in chooses)


def _scores_anything(stage: Stage) -> bool:
    return bool(models(stage)) or (isinstance(stage, Check) and not stage.files())


def _rewards(work: Workplace, settings: Evaluate) -> dict[str, RewardFn]:
    """What scores the answers, by measure; nan beyond the families that a further reward checks."""

    def within(reward: RewardFn, families: Collection[str]) -> RewardFn:
        def score(completions: Sequence[Completion]) -> list[float]:
            return [
                value if item.prompt.family in families else math.nan
                for value, item in zip(reward(completions), completions, strict=True)
            ]

        return score if families else reward

    also = {
        label: within(work.reward(stage), families_of(work.recipe.stage(stage)))
        for label, stage in settings.also.items()
    }
    return {**({"proxy": work.reward(settings.reward)} if settings.reward else {}), **also}


def _references(work: Workplace, settings: Evaluate) -> dict[str, float]:
    if work.world is None:
        return {}
    answers = work.records(settings.records, "references", Demonstration)
    return {each.prompt.id: work.world.gold(each.prompt, each.text).total for each in answers}
