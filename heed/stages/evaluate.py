"""Every policy on the held-out prompts: is it better, and what did it cost?"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from heed.evaluation.kl import sequence_kl
from heed.evaluation.measures import Samples, gap
from heed.evaluation.picking import picking
from heed.evaluation.proxy_gap import proxy_gap
from heed.files import write_json, write_records
from heed.models.reference import Reference
from heed.progress import Display
from heed.recipe import Evaluate
from heed.rewards.accuracy import beats
from heed.run import StageRun
from heed.stages.rewards import families_of, models
from heed.stages.workplace import Summary, Workplace
from heed.stats.intervals import Estimate
from heed.types import Completion, Demonstration, Prompt, RewardFn, Sampler

CHUNK = 16
"""Prompts sampled at a time, between two steps of the progress bar."""

ALL = "all"
"""What stands beside the families for all of them together."""
EXPOSURES = {"seen_often": "often", "seen_once": "once", "never": "never"}
"""What the report calls how often the corpus tells a fact, and what the world calls it."""


def evaluate(work: Workplace, settings: Evaluate, stage: StageRun) -> Summary:
    """Leaves measures.json and the samples themselves."""
    reference = Reference(work.policy(settings.reference))
    sampler = work.sampler(reference.lm, settings.sampling, settings.reference)
    prompts = work.askable(settings.records, "heldout", sampler)
    rewards = _rewards(work, settings)
    references = _references(work, settings)
    total = len(prompts) * _samples_a_prompt(settings, prompts) * len(settings.policies)
    measured: dict[str, Samples] = {}
    bounds: dict[str, float] = {}
    notes = work.left_out(settings.records, "heldout", prompts)
    with Display(stage.name, total, before=0, visible=stage.writes) as bar:
        for label, source in settings.policies.items():
            done = sum(len(samples.completions) for samples in measured.values())
            candidate = work.candidate(source, settings.sampling)
            notes += [f"{label}: {note}" for note in candidate.notes(prompts)]
            completions = _sample(work, settings, prompts, source, candidate.sampler, bar, done)
            values = _values(
                work, completions, rewards, reference, settings.sampling.temperature, references
            )
            if candidate.kl_bound is not None:
                # log q / ref = log q / pi + log pi / ref, of which the first is bounded on average.
                values["kl"] = [value + candidate.kl_bound for value in values["kl"]]
                bounds[label] = candidate.kl_bound
            measured[label] = Samples(completions, values)
            write_records(stage.directory / f"samples-{label}.jsonl", completions)
    measures = {
        "policies": {label: _json(samples.estimates()) for label, samples in measured.items()},
        "families": {
            label: {family: _json(found) for family, found in samples.by_family().items()}
            for label, samples in measured.items()
        },
        "gaps": _gaps(measured, settings.also),
        "samples": _side_by_side(measured, prompts, settings.shown),
        "reward_model": work.run.stage(settings.reward).done_summary(),
        "hallucination": _hallucination(work, measured),
        "picking": _picking(measured),
        "own_reward": _own_rewards(work, settings, measured),
        "kl_bounds": bounds,
    }
    write_json(stage.directory / "measures.json", measures)
    return {
        "samples": total,
        "prompts": len(prompts),
        "notes": [*notes, *_bounded(bounds)],
    }


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
    return {"proxy": work.reward(settings.reward), **also}


def _references(work: Workplace, settings: Evaluate) -> dict[str, float]:
    """Gold reward of a human answer to each held-out prompt; none outside the world."""
    if work.world is None:
        return {}
    answers = work.records(settings.records, "references", Demonstration)
    return {each.prompt.id: work.world.gold(each.prompt, each.text).total for each in answers}


def _samples_a_prompt(settings: Evaluate, prompts: Sequence[Prompt]) -> int:
    return math.ceil(settings.samples / len(prompts))


def _sample(
    work: Workplace,
    settings: Evaluate,
    prompts: Sequence[Prompt],
    source: str,
    sampler: Sampler,
    bar: Display,
    done: int,
) -> list[Completion]:
    n = _samples_a_prompt(settings, prompts)
    completions: list[Completion] = []
    for start in range(0, len(prompts), CHUNK):
        seed = work.seed(settings.name, source, start)
        completions += sampler.sample(prompts[start : start + CHUNK], n=n, seed=seed)
        bar(done + len(completions))
    return completions


def _values(
    work: Workplace,
    completions: Sequence[Completion],
    rewards: Mapping[str, RewardFn],
    reference: Reference,
    temperature: float,
    references: Mapping[str, float],
) -> dict[str, list[float]]:
    """What is measured on each completion; gold and its parts only where the world knows them.

    `references` holds the gold reward of a human answer to each prompt.
    """
    values = {
        "length": [float(len(item.text.split())) for item in completions],
        "unfinished": [float(item.finish != "stop") for item in completions],
        "kl": sequence_kl(completions, reference, temperature=temperature),
        **{name: reward(completions) for name, reward in rewards.items()},
    }
    if work.world is None:
        return values
    gold = [work.world.gold(item.prompt, item.text) for item in completions]
    return {
        "gold": [item.total for item in gold],
        "preferred": [
            beats(own.total, references[item.prompt.id])
            for item, own in zip(completions, gold, strict=True)
        ],
        "rude": [float(item.rude) for item in gold],
        "harmful": [float(item.harmful) for item in gold],
        "correct": [float(item.correct) for item in gold],
        **values,
    }


def _bounded(bounds: Mapping[str, float]) -> list[str]:
    """A note on each KL that is no measurement."""
    return [
        f"The KL of {label} is an upper bound: log n - (n - 1) / n, {bound:.2f} nats, beyond the "
        "policy that it draws from."
        for label, bound in bounds.items()
    ]


def _gaps(measured: Mapping[str, Samples], also: Iterable[str]) -> list[dict[str, Any]]:
    """Every policy against those before it, on gold where it is known, else on the proxy; and on
    what is measured also, where any prompt is asked that it says something of.
    """
    labels = list(measured)
    first = measured[labels[0]]
    measures = [name for name in ("gold", "correct") if name in first.values] or ["proxy"]
    measures += [name for name in also if first.known(name)[0]]
    return [
        {
            "better": better,
            "worse": worse,
            "measure": measure,
            "difference": gap(measured[better], measured[worse], measure).to_json(),
        }
        for index, better in enumerate(labels)
        for worse in labels[:index]
        for measure in measures
    ]


def _side_by_side(
    measured: Mapping[str, Samples], prompts: Sequence[Prompt], shown: int
) -> list[dict[str, Any]]:
    """The first answer of every policy to some prompts, taken in turn from all families."""
    families: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        families.setdefault(prompt.family, []).append(prompt)
    turns = [
        family[turn]
        for turn in range(max(map(len, families.values())))
        for family in families.values()
        if turn < len(family)
    ]
    rows = []
    for prompt in turns[:shown]:
        row: dict[str, Any] = {"prompt": prompt.text, "family": prompt.family}
        answers, scores = {}, {}
        for label, samples in measured.items():
            index = samples.prompts.index(prompt.id)
            answers[label] = samples.completions[index].text
            measure = "gold" if "gold" in samples.values else "proxy"
            scores[label] = samples.values[measure][index]
        rows.append({**row, "answers": answers, "scores": scores})
    return rows


def _hallucination(work: Workplace, measured: Mapping[str, Samples]) -> dict[str, Any]:
    """On facts seen often, once and never: right, made up, or "I do not know"."""
    if work.world is None:
        return {}
    world, table = work.world, {}
    for label, samples in measured.items():
        seen = [world.key(item.prompt.id).get("seen") for item in samples.completions]
        gold = [world.gold(item.prompt, item.text) for item in samples.completions]
        kinds = Samples(
            samples.completions,
            {
                "correct": samples.values["correct"],
                "unknown": [float(item.hedged) for item in gold],
                "wrong": [float(not item.correct and not item.hedged) for item in gold],
            },
        )
        table[label] = {
            exposure: {
                name: chosen.estimate(name).to_json() for name in ("correct", "wrong", "unknown")
            }
            for exposure, how in EXPOSURES.items()
            if (chosen := kinds.where([kind == how for kind in seen])).completions
        }
    return table


def _picking(measured: Mapping[str, Samples]) -> dict[str, Any]:
    """How good a policy's own pick of its answers is, over all and by family, where gold knows."""
    table: dict[str, Any] = {}
    for label, samples in measured.items():
        picks = all(item.logprobs for item in samples.completions)
        if "gold" in samples.values and picks:
            families = dict.fromkeys(item.prompt.family for item in samples.completions)
            parts = {ALL: samples, **{name: samples.family(name) for name in families}}
            table[label] = {name: _json(picking(part, "gold")) for name, part in parts.items()}
    return table


def _own_rewards(
    work: Workplace, settings: Evaluate, measured: Mapping[str, Samples]
) -> dict[str, Any]:
    """By the reward model that each policy was trained on, where gold and the reference are known.

    Written rewards mean what they say, and a judge is not asked again.
    """
    before = next(
        (label for label, stage in settings.policies.items() if stage == settings.reference), None
    )
    if before is None or "gold" not in measured[before].values:
        return {}
    reference, table = measured[before], {}
    if len(set(reference.values["gold"])) == 1:
        return {}
    reward = cache(work.reward)

    @cache
    def scores(name: str, label: str) -> Sequence[float]:
        if name == settings.reward:
            return measured[label].values["proxy"]
        return reward(name)(measured[label].completions)

    for label, samples in measured.items():
        stage = work.recipe.stage(settings.policies[label])
        for name in stage.rewards() if stage.trains else ():
            if not models(work.recipe.stage(name)):
                continue
            proxy = scores(name, before)
            if len(set(proxy)) > 1:
                found = proxy_gap(samples, scores(name, label), reference, proxy)
                table[label] = {"reward": name, **_json(found)}
    return table


def _json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in estimates.items()}
