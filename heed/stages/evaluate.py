"""Every policy on the held-out prompts: is it better, and what did it cost?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from heed.evaluation.measures import Samples, gap
from heed.evaluation.picking import picking
from heed.evaluation.proxy_gap import proxy_gap
from heed.files import write_json, write_records
from heed.models.reference import Reference
from heed.progress import Display
from heed.recipe import Evaluate
from heed.run import StageRun
from heed.stages.answers import Answers, Asking, Questions, can_be_told, questions
from heed.stages.capability import capabilities, capability_notes
from heed.stages.costs import as_json, costs
from heed.stages.hallucination import ALL, outcomes, signals
from heed.stages.rewards import models
from heed.stages.values import values
from heed.stages.workplace import Summary, Workplace
from heed.types import Prompt


def evaluate(work: Workplace, settings: Evaluate, stage: StageRun) -> Summary:
    """Leaves measures.json, by_prompt.json, costs.json, values.json, hallucination.json, and the
    held-out samples themselves.
    """
    able = capabilities(work, settings)
    reference = Reference(work.policy(settings.reference))
    asked = questions(
        work, settings, work.sampler(reference.lm, settings.sampling, settings.reference)
    )
    answers: dict[str, Answers] = {}
    bounds: dict[str, float] = {}
    notes = work.left_out(settings.records, "heldout", asked.heldout)
    total = asked.total * len(settings.policies)
    with Display(stage.name, total, before=0, visible=stage.writes) as bar:
        asking = Asking.of(work, settings, asked, reference, bar)
        for place, (label, source) in enumerate(settings.policies.items()):
            candidate = work.candidate(source, settings.sampling)
            notes += [f"{label}: {note}" for note in candidate.notes(asked.heldout)]
            answers[label] = asking.ask(source, candidate, place * asked.total)
            if candidate.kl_bound is not None:
                bounds[label] = candidate.kl_bound
            if asked.probes and not can_be_told(work, source):
                notes.append(f"{label}: not asked with an opinion, it chooses by a written reward.")
            write_records(
                stage.directory / f"samples-{label}.jsonl", answers[label].heldout.completions
            )
    measured = {label: each.heldout for label, each in answers.items()}
    measures = _measures(work, settings, measured, asked)
    write_json(stage.directory / "measures.json", {**measures, "kl_bounds": bounds})
    write_json(stage.directory / "by_prompt.json", _by_prompt(measured, asked.heldout))
    paid = costs(answers, asked.probes, _before(settings), work.world)
    able_to = {label: as_json(figures) for label, figures in able().items()}
    write_json(stage.directory / "costs.json", {**paid, "capability": able_to})
    write_json(stage.directory / "values.json", values(work, settings, answers, _before(settings)))
    told_apart = signals(work.world, answers) if work.world else {}
    write_json(stage.directory / "hallucination.json", told_apart)
    return {
        "samples": len(asked.heldout) * asked.samples * len(measured),
        "prompts": len(asked.heldout),
        "notes": [*notes, *_bounded(bounds), *capability_notes(work, settings)],
    }


def _measures(
    work: Workplace, settings: Evaluate, measured: Mapping[str, Samples], asked: Questions
) -> dict[str, Any]:
    world = work.world
    return {
        "policies": {label: as_json(samples.estimates()) for label, samples in measured.items()},
        "families": {
            label: {family: as_json(found) for family, found in samples.by_family().items()}
            for label, samples in measured.items()
        },
        "gaps": _gaps(measured, settings.also),
        "samples": _side_by_side(measured, asked.heldout, settings.shown),
        "reward_model": (work.run.stage(settings.reward).done_summary() if settings.reward else {}),
        "hallucination": {
            label: outcomes(world, samples) for label, samples in measured.items() if world
        },
        "picking": _picking(measured),
        "own_reward": _own_rewards(work, settings, measured),
    }


def _by_prompt(measured: Mapping[str, Samples], prompts: Sequence[Prompt]) -> dict[str, Any]:
    """What differences are paired by, also with another run's evaluation: means by policy, measure
    and prompt, every prompt's family, and a fingerprint of what it says.
    """
    return {
        "prompts": {prompt.id: _says(prompt) for prompt in prompts},
        "families": {prompt.id: prompt.family for prompt in prompts},
        "policies": {label: samples.by_prompt() for label, samples in measured.items()},
    }


def _says(prompt: Prompt) -> str:
    said = json.dumps([[message.role, message.content] for message in prompt.messages])
    return sha256(said.encode()).hexdigest()[:16]


def _before(settings: Evaluate) -> str | None:
    """The label of the policy that KL is measured from, where it is measured itself."""
    return next(
        (label for label, stage in settings.policies.items() if stage == settings.reference), None
    )


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
    measures = [name for name in ("gold", "correct") if name in first.values]
    measures = measures or [name for name in ("proxy",) if name in first.values]
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
            for measure in ("gold", "proxy"):
                if measure in samples.values:
                    scores[label] = samples.values[measure][index]
                    break
        rows.append({**row, "answers": answers, "scores": scores})
    return rows


def _picking(measured: Mapping[str, Samples]) -> dict[str, Any]:
    """How good a policy's own pick of its answers is, over all and by family, where gold knows."""
    table: dict[str, Any] = {}
    for label, samples in measured.items():
        picks = all(item.logprobs for item in samples.completions)
        if "gold" in samples.values and picks:
            families = dict.fromkeys(item.prompt.family for item in samples.completions)
            parts = {ALL: samples, **{name: samples.family(name) for name in families}}
            table[label] = {name: as_json(picking(part, "gold")) for name, part in parts.items()}
    return table


def _own_rewards(
    work: Workplace, settings: Evaluate, measured: Mapping[str, Samples]
) -> dict[str, Any]:
    """By the reward model that each policy was trained on, where gold and the reference are known.

    Written rewards mean what they say, and a judge is not asked again.
    """
    before = _before(settings)
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
                table[label] = {"reward": name, **as_json(found)}
    return table
