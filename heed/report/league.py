"""The league: the runs of one recipe under several seeds, every policy's figures over all of them.

A seed is one piece of evidence: intervals are Student's over seeds, differences from the baseline
(the policy that KL is measured from) are paired by seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from heed.config import load_recipe
from heed.errors import UserError
from heed.recipe import Evaluate, Recipe
from heed.report.measures import Measure, with_interval
from heed.report.read import Gap, RunView, StageView, read_run
from heed.report.verdict import BETTER, Verdict, verdict
from heed.run import SEED, seeds_of
from heed.stats.intervals import Estimate, mean_interval

_PLAIN = Measure("")
HARDLY = 0.1
"""Nats of KL below which a policy has hardly moved."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One policy over all seeds."""

    policy: str
    kind: str
    """Of the stage that made it."""
    trained: bool
    figures: dict[str, Estimate]
    """By measure; of n seeds."""
    above: dict[str, Estimate]
    """The same as differences from the baseline."""
    by_seed: list[float]
    """The main measure's difference from the baseline, seed by seed."""
    seconds: float | None
    """What its own stage took, on average."""
    whole: float | None
    """The same with all that it needs beyond what the baseline needs: comparisons, reward."""
    memory: int | None
    """Bytes that its stage held at most."""
    verdict: Verdict
    why: str
    """Why it is not above the baseline, as far as the figures tell; empty where it is."""


@dataclass(frozen=True, slots=True)
class League:
    """All standings, the best first."""

    name: str
    description: str
    measure: str
    """What they are ranked by: gold where it is known."""
    baseline: str
    seeds: list[int]
    baseline_figures: dict[str, Estimate]
    standings: list[Standing]
    """Of all policies but the baseline and those that it is made from."""
    before: list[Standing]
    """Of the policies that the baseline is made from."""
    notes: list[str]


def read_league(directory: Path, of: Recipe | None = None) -> League:
    """The standings of a directory's runs of one recipe: `of`, or that of the run begun last.

    What is not evaluated yet, is of another recipe, or has the seed of a run before it, is noted
    and left out.

    Raises:
        UserError: it holds no runs of several seeds, or none that is evaluated.
    """
    views = {folder.name: read_run(folder) for folder in seeds_of(directory)}
    recipes = {name: load_recipe(str(directory / name / "recipe.yaml")) for name in views}
    if views:
        of = of or recipes[max(views, key=lambda name: _begun(views[name]))]
    runs: dict[str, RunView] = {}
    notes = []
    for name, view in views.items():
        if of is None or _but_for_seeds(recipes[name]) != _but_for_seeds(of):
            notes.append(f"{name} is a run of another recipe and is left out.")
        elif not view.policies:
            notes.append(f"{name} is not evaluated yet.")
        elif any(run.recipe["seed"] == view.recipe["seed"] for run in runs.values()):
            notes.append(f"{name} has the seed of a run before it and is left out.")
        else:
            runs[name] = view
    if not runs or of is None:
        raise UserError(
            f"{directory} holds no evaluated run ({SEED}0 and so on), so there is nothing to rank. "
            "A recipe with `seeds: 3` makes them: give heed run the same command again."
        )
    evaluations = [stage for stage in of.stages if isinstance(stage, Evaluate)]
    reference = evaluations[0].reference
    made = {label: stage for each in evaluations for label, stage in each.policies.items()}
    baseline = next((label for label, stage in made.items() if stage == reference), None)
    if baseline is None:
        raise UserError(
            f"{directory}: the evaluation's policies do not include {reference!r}, its "
            "reference, so there is nothing to stand above. Name it in evaluate.policies."
        )
    return _league(of, made, baseline, runs, notes)


def _but_for_seeds(recipe: Recipe) -> Recipe:
    """What a league's runs have in common: all but seeds that move in step, words and place."""
    apart = recipe.world.seed - recipe.seed if recipe.data == "world" else 0
    world = recipe.world.model_copy(update={"seed": apart})
    same = {"name": "", "description": "", "seed": 0, "seeds": 1, "device": "", "threads": None}
    return recipe.model_copy(update={**same, "world": world})


def _begun(view: RunView) -> datetime:
    """When heed run last began with it."""
    started = view.provenance.get("started")
    return datetime.fromisoformat(started) if started else datetime.fromtimestamp(0, UTC)


def _league(
    recipe: Recipe,
    made: Mapping[str, str],
    baseline: str,
    by_name: Mapping[str, RunView],
    notes: Sequence[str],
) -> League:
    """All standings; `made` says which stage made a policy."""
    runs = list(by_name.values())
    common = [name for name in runs[0].policies if all(name in run.policies for run in runs)]
    measure = "gold" if all("gold" in run.policies[baseline] for run in runs) else "proxy"
    account = _Account(recipe, made, baseline, runs, measure)
    standings = [account.standing(name) for name in common if name != baseline]
    before = set(account.needs(baseline))
    ranked = sorted(standings, key=lambda each: each.figures[measure].mean, reverse=True)
    return League(
        name=runs[0].name,
        description=recipe.description,
        measure=measure,
        baseline=baseline,
        seeds=[int(run.recipe["seed"]) for run in runs],
        baseline_figures=account.figures(baseline),
        standings=[each for each in ranked if made[each.policy] not in before],
        before=[each for each in ranked if made[each.policy] in before],
        notes=[*notes, *_noted(by_name, recipe)],
    )


def _noted(runs: Mapping[str, RunView], recipe: Recipe) -> list[str]:
    """What training and evaluations note: what all runs say once, the rest with the runs' names."""
    stages = [stage for stage in recipe.stages if stage.trains or isinstance(stage, Evaluate)]
    said = tuple(f"{stage.name}: " for stage in stages)
    by_note: dict[str, list[str]] = {}
    for name, run in runs.items():
        for note in run.notes:
            if note.startswith(said):
                by_note.setdefault(note, []).append(name)
    return [
        note if len(names) == len(runs) else f"{', '.join(names)}, {note}"
        for note, names in by_note.items()
    ]


@dataclass(frozen=True)
class _Account:
    """Runs of one recipe, and what is asked of them."""

    recipe: Recipe
    made: Mapping[str, str]
    """Policy -> the stage that made it."""
    baseline: str
    runs: Sequence[RunView]
    measure: str

    def standing(self, policy: str) -> Standing:
        stage = self.recipe.stage(self.made[policy])
        above = {
            name: mean_interval([self._gap(run, policy, name) for run in self.runs])
            for name in self._measures(policy)
        }
        says = verdict(Gap(policy, self.baseline, self.measure, above[self.measure]))
        own = self._stages(stage.name)
        memories = [each.memory for each in own if each.memory is not None]
        return Standing(
            policy=policy,
            kind=stage.kind,
            trained=stage.trains,
            figures=self.figures(policy),
            above=above,
            by_seed=[self._gap(run, policy, self.measure) for run in self.runs],
            seconds=_mean([each.seconds for each in own]),
            whole=self._whole(stage.name),
            memory=max(memories, default=None),
            verdict=says,
            why="" if says == BETTER else why_not(above, self.measure),
        )

    def figures(self, policy: str) -> dict[str, Estimate]:
        """Every measure's mean over the runs."""
        return {
            name: mean_interval([run.policies[policy][name].mean for run in self.runs])
            for name in self._measures(policy)
        }

    def needs(self, policy: str) -> list[str]:
        """The stages that a policy is made by, its own included."""
        part = self.recipe.needed_for(self.made[policy])
        return [stage.name for stage in part.stages]

    def _whole(self, stage: str) -> float | None:
        known = set(self.needs(self.baseline))
        needed = [each.name for each in self.recipe.needed_for(stage).stages]
        parts = [
            _mean([each.seconds for each in self._stages(name)])
            for name in needed
            if name not in known
        ]
        return None if None in parts else sum(part for part in parts if part is not None)

    def _stages(self, name: str) -> list[StageView]:
        return [stage for run in self.runs for stage in run.stages if stage.name == name]

    def _measures(self, policy: str) -> list[str]:
        """What was measured of a policy and of the baseline in every run."""
        return [
            name
            for name in self.runs[0].policies[policy]
            if all(name in run.policies[each] for run in self.runs
                   for each in (policy, self.baseline))
        ]  # fmt: skip

    def _gap(self, run: RunView, policy: str, measure: str) -> float:
        return run.policies[policy][measure].mean - run.policies[self.baseline][measure].mean


def why_not(above: dict[str, Estimate], measure: str) -> str:
    """Why a policy is not shown to be above the baseline, as far as its figures tell."""
    return next(reason for rule in _REASONS if (reason := rule(above, measure)))


def _hardly_moved(above: dict[str, Estimate], _: str) -> str:
    kl = above.get("kl")
    if kl is None or kl.mean >= HARDLY:
        return ""
    return f"It hardly moved: KL {with_interval(kl, _PLAIN)} nats."


def _gamed(above: dict[str, Estimate], measure: str) -> str:
    proxy, gold = above.get("proxy"), above[measure]
    if measure == "proxy" or proxy is None or not proxy.low > 0:
        return ""
    rose = f"The reward model's score rose by {with_interval(proxy, _PLAIN)}, the true reward"
    if gold.high < 0:
        return f"{rose} fell: the reward model was gamed."
    return f"{rose} is not shown to follow: the reward model may have been gamed."


def _off_the_mark(above: dict[str, Estimate], measure: str) -> str:
    if not above[measure].high < 0:
        return ""
    proxy = above.get("proxy")
    agreed = measure != "proxy" and proxy is not None and proxy.high < 0
    if agreed:
        return "Its answers are worth less, and the reward model says so too."
    return "Its answers are worth less."


def _too_noisy(above: dict[str, Estimate], measure: str) -> str:
    gold = above[measure]
    if not math.isfinite(gold.low):
        return "One seed alone gives no interval."
    return (
        "It rose, by less than the seeds differ."
        if gold.mean > 0
        else "It did not rise, nor fall by more than the seeds differ."
    )


_REASONS: Sequence[Callable[[dict[str, Estimate], str], str]] = (
    _hardly_moved,
    _gamed,
    _off_the_mark,
    _too_noisy,
)
"""Asked in turn; the first that has something to say is believed."""


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
