"""What `heed evaluate` tells of everybody: one model in memory at a time (two with a reference)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heed.cli.seats import Seat, answers
from heed.evaluation.accuracy import correctness
from heed.evaluation.asked import Answered, above, gaps
from heed.evaluation.kl import sequence_kl
from heed.evaluation.measures import Samples
from heed.evaluation.preferred import (
    Likelihoods,
    accuracies,
    accuracy,
    likelihoods,
    longer,
    preferred_by,
    too_long,
)
from heed.models.reference import Reference
from heed.progress import Display
from heed.recipe import Sampling
from heed.stages.hallucination import outcomes
from heed.stages.workplace import Workplace, context_of
from heed.stats.best_of_n import kl_bound
from heed.types import Comparison, Completion, Prompt, RewardFn

CONTEXT = 4096
"""Tokens of a row at most, where the model's context is no shorter."""
READ = 256
"""Comparisons read at a time, between two steps of the progress bar."""


@dataclass(frozen=True)
class Options:
    """What is the same for everyone who is evaluated."""

    samples: int
    drawn: Sampling
    seed: int
    device: str
    out: Path


@dataclass(frozen=True)
class Told:
    """What there is to tell of everyone, one model in memory at a time."""

    seats: Sequence[Seat]
    reference: Seat | None
    rewards: Mapping[str, Callable[[], RewardFn]]
    pairs: Sequence[Comparison]
    prompts: Sequence[Prompt]
    options: Options
    notes: list[str]

    def measures(self) -> dict[str, Samples]:
        """Everybody's answers, measured."""
        n = math.ceil(self.options.samples / len(self.prompts))
        given = {each.name: self._answers(each, self.prompts, n) for each in self.seats}
        scores: dict[str, dict[str, list[float]]] = {name: {} for name in given}
        for label, load in self._scoring().items():
            reward = load()
            for name, said in given.items():
                scores[name] |= self._scored(label, reward, said)
        kl = self._kl(given)
        return {
            each.name: Answered(
                given[each.name], kl.get(each.name, ()), scores[each.name],
                own=each.best_of() is None,
            ).samples()
            for each in self.seats
        }  # fmt: skip

    def hallucination(self, measured: Mapping[str, Samples]) -> dict[str, Any]:
        """Of the world's facts, by how often its corpus tells them: right, made up, not known."""
        work = self._world()
        world = None if work is None else work.world
        if world is None:
            return {}
        return {name: outcomes(world, samples) for name, samples in measured.items()}

    def gaps(self, measured: Mapping[str, Samples]) -> dict[str, Any]:
        """Everybody against the last one."""
        last = self.seats[-1].name
        return {name: as_json(found) for name, found in gaps(measured, last).items()}

    def preferences(self) -> dict[str, Any] | None:
        """How often each likelihood and reward prefers what was chosen."""
        if not self.pairs:
            return None

        judges = self._likelihoods()
        for label, load in self.rewards.items():
            judges[label] = {"reward": correctness(load(), self.pairs)}
        return {
            "comparisons": len(self.pairs),
            "prompts": len({each.prompt.id for each in self.pairs}),
            "longer": accuracy(longer(self.pairs), self.pairs).to_json(),
            "judges": {
                name: {by: as_json(row) for by, row in accuracies(own, self.pairs).items()}
                for name, own in judges.items()
            },
        }

    def sycophancy(self, file: Path | None) -> dict[str, Any]:
        """Whether answers follow a user who is wrong, by contestant."""
        if file is None:
            return {}
        from heed.data.probes import read_questions
        from heed.evaluation.sycophancy import file_probes, sycophancy

        probes = file_probes(read_questions(file))
        told, plain = [each.told for each in probes], [each.asked for each in probes]
        table = {}
        for each in self.seats:
            if each.who is not None:
                after = self._answers(each, told, 2, "told")
                before = self._answers(each, plain, 2, "plain")
                table[each.name] = as_json(sycophancy(probes, after, before)["all"])
        return table

    def capability(self, tasks: Sequence[str]) -> dict[str, Any]:
        """lm-eval's tasks, asked of everybody with weights."""
        if not tasks:
            return {}
        from heed.evaluation.capability import capability, task_manager

        manager = task_manager(tasks, None)
        return {
            each.name: as_json(
                capability(
                    each.lm(self.options.device), tasks, manager,
                    batch_size=self.options.drawn.batch_size, seed=self.options.seed,
                )
            )
            for each in self.seats if each.weights
        }  # fmt: skip

    def _answers(
        self, seat: Seat, prompts: Sequence[Prompt], n: int, purpose: str = ""
    ) -> list[Completion]:

        own = self.options
        return answers(seat, prompts, n, own.drawn, own.seed, own.device, own.out, purpose)

    def _scoring(self) -> dict[str, Callable[[], RewardFn]]:
        """The rewards given; and the world's own, where its prompts are asked."""
        work = self._world()
        own = {} if work is None else work.gold
        gold = {name: (lambda reward=reward: reward) for name, reward in own.items()}
        return {**gold, **self.rewards}

    def _world(self) -> Workplace | None:
        """The first run, where the prompts are of its embedded world."""
        works = [each.entrant.work for each in self.seats if each.entrant.work is not None]
        if not works or works[0].world is None:
            return None
        known = {prompt.id for prompt in works[0].world.split("heldout")}
        return works[0] if all(prompt.id in known for prompt in self.prompts) else None

    def _scored(
        self, label: str, reward: RewardFn, said: Sequence[Completion]
    ) -> dict[str, list[float]]:

        scores = {label: reward(said)}
        asked = {prompt.id for prompt in self.prompts}
        chosen = {each.prompt.id: each for each in self.pairs if each.prompt.id in asked}
        if chosen and label != "correct":
            liked = reward([Completion(each.prompt, each.chosen) for each in chosen.values()])
            by_prompt = dict(zip(chosen, liked, strict=True))
            scores[f"{label}, above chosen"] = above(scores[label], said, by_prompt)
        return scores

    def _kl(self, given: Mapping[str, Sequence[Completion]]) -> dict[str, list[float]]:
        """From the reference, of everyone with its vocabulary."""
        if self.reference is None:
            return {}

        found: dict[str, list[float]] = {}
        device = self.options.device
        reference = Reference(self.reference.lm(device))
        words = reference.lm.tokenizer.get_vocab()
        for each in self.seats:
            if not each.local or each.lm(device).tokenizer.get_vocab() != words:
                self.notes.append(f"{each.name}: no KL, its tokens are not the reference's.")
                continue
            n = each.best_of()
            bound = 0.0 if n is None else kl_bound(n)
            if n is not None:
                self.notes.append(f"{each.name}: its KL is an upper bound, log n - (n - 1) / n.")
            temperature = self.options.drawn.temperature
            own = sequence_kl(given[each.name], reference, temperature=temperature)
            found[each.name] = [value + bound for value in own]
        return found

    def _likelihoods(self) -> dict[str, dict[str, list[float]]]:
        def of(seat: Seat) -> Likelihoods:
            lm = seat.lm(self.options.device)
            context = context_of(lm, CONTEXT)
            cut = too_long(lm, self.pairs, context)
            if cut:
                self.notes.append(f"{seat.name}: {cut:,} comparisons were cut to its context.")
            parts = []
            with Display(f"{seat.name} reads comparisons", len(self.pairs), before=0) as bar:
                for start in range(0, len(self.pairs), READ):
                    some = self.pairs[start : start + READ]
                    parts.append(likelihoods(lm, some, context=context))
                    bar(start + len(some))
            return Likelihoods.joined(parts)

        if self.reference is None:
            return {each.name: preferred_by(of(each)) for each in self.seats if each.weights}
        reference, source = of(self.reference), self.reference.who and self.reference.who.source
        found = {}
        for each in filter(lambda seat: seat.weights, self.seats):
            if each.who and each.who.source == source:  # it has no implicit reward from itself
                found[each.name] = preferred_by(reference)
            else:
                found[each.name] = preferred_by(of(each), reference)
        return found


def as_json(table: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates by name, as JSON knows them."""
    return {name: found.to_json() for name, found in table.items()}
