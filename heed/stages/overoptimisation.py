"""Proxy and gold against the distance from the start: overoptimisation.json.

Best of n is drawn once for all rewards, from the start, on held-out prompts. The trainings are read
from their own metrics: each round's answers to training prompts, before it was learned from; what
the start itself answers to such prompts is drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heed.evaluation.measures import Samples
from heed.files import write_json
from heed.ops.order import Order
from heed.progress import Display
from heed.recipe import OnPolicy, Overoptimisation
from heed.run import StageRun
from heed.sampling.local import LocalSampler
from heed.stages.costs import as_json
from heed.stages.rewards import models
from heed.stages.workplace import Summary, Workplace
from heed.stats.best_of_n import best_of_n, kl_bound
from heed.stats.intervals import mean_interval, standard_error
from heed.stats.overoptimisation import LEAST_ROUNDS, Fit, fit_best_of_n, fit_rl
from heed.types import Completion, Prompt, RewardFn

Array = NDArray[np.float64]
GOLD = ""
"""What gold is called among the proxies; no label is empty."""
STARTS = 1024
"""Answers to training prompts by which the start is known."""
CHUNK = 16
"""Prompts sampled at a time, between two steps of the progress bar."""
FIGURES = ("a", "b", "distance", "best", "end", "lost")


def overoptimisation(work: Workplace, settings: Overoptimisation, stage: StageRun) -> Summary:
    """Leaves overoptimisation.json. Gains are in standard deviations over the start's answers."""
    sampler = work.sampler(work.policy(settings.policy), settings.sampling, settings.policy)
    prompts = work.askable(settings.records, "heldout", sampler)
    answers = _draw(work, settings, sampler, prompts, stage)
    scores = Scores(answers, settings.samples)
    gold = scores.of(work.gold["gold"])
    proxies = {label: scores.of(work.reward(name)) for label, name in settings.proxies.items()}
    best = {
        label: _best_of_n(proxy, gold, work.seed(stage.name, label))
        for label, proxy in proxies.items()
    }
    sds = {label: float(proxy.std()) for label, proxy in proxies.items()}
    runs = _trainings(work, settings, sampler, {GOLD: float(gold.std()), **sds})
    write_json(
        stage.directory / "overoptimisation.json",
        {
            "policy": settings.policy,
            "prompts": len(prompts),
            "samples": settings.samples,
            "distinct": scores.distinct / len(answers),
            "gold": {"mean": float(gold.mean()), "sd": float(gold.std())},
            "proxies": {label: _made(work, name) for label, name in settings.proxies.items()},
            "best_of_n": best,
            "runs": runs,
        },
    )
    notes = work.left_out(settings.records, "heldout", prompts)
    unfitted = [label for label, run in runs.items() if run["fit"] is None]
    notes += [
        f"{label}: fewer than {LEAST_ROUNDS} rounds, or none that moved: no form was fitted."
        for label in unfitted
    ]
    return {"answers": len(answers), "prompts": len(prompts), "notes": notes}


def _draw(
    work: Workplace,
    settings: Overoptimisation,
    sampler: LocalSampler,
    prompts: Sequence[Prompt],
    stage: StageRun,
) -> list[Completion]:
    """All the answers to each prompt, prompt by prompt."""
    answers: list[Completion] = []
    total = len(prompts) * settings.samples
    with Display(stage.name, total, before=0, visible=stage.writes) as bar:
        for start in range(0, len(prompts), CHUNK):
            some = prompts[start : start + CHUNK]
            seed = work.seed(stage.name, start)
            answers += sampler.sample(some, n=settings.samples, seed=seed)
            bar(len(answers))
    return answers


class Scores:
    """Scores of N answers to each prompt; an answer that was given twice is asked about once."""

    def __init__(self, answers: Sequence[Completion], samples: int) -> None:
        places: dict[tuple[str, str], int] = {}
        self.once: list[Completion] = []
        for item in answers:
            key = item.prompt.id, item.text
            if key not in places:
                places[key] = len(self.once)
                self.once.append(item)
        self.index = np.array([places[item.prompt.id, item.text] for item in answers])
        self.samples = samples

    @property
    def distinct(self) -> int:
        """Answers that differ from all others to their prompt."""
        return len(self.once)

    def of(self, reward: RewardFn) -> Array:
        """What a reward says, [P, N]."""
        scores = np.array(reward(self.once), dtype=np.float64)
        by_prompt: Array = scores[self.index].reshape(-1, self.samples)
        return by_prompt


def _best_of_n(proxy: Array, gold: Array, seed: int) -> dict[str, Any]:
    """Curves over n, with intervals over prompts, and the form fitted to gold's."""
    count = proxy.shape[1]
    fit = fit_best_of_n(proxy, gold, seed=seed)
    return {
        "proxy_sd": float(proxy.std()),
        "n": list(range(1, count + 1)),
        "distance": [math.sqrt(kl_bound(n)) for n in range(1, count + 1)],
        "proxy": _gains(proxy, proxy),
        "gold": _gains(proxy, gold),
        "fit": _as_json(fit),
    }


def _gains(proxy: Array, values: Array) -> list[dict[str, Any]]:
    """By n, how much more the best of n is worth than one answer, in standard deviations."""
    curves, scale = best_of_n(proxy, values), float(values.std()) or math.nan
    return [mean_interval(gains / scale).to_json() for gains in (curves - curves[:, :1]).T]


def _trainings(
    work: Workplace, settings: Overoptimisation, sampler: LocalSampler, sds: Mapping[str, float]
) -> dict[str, Any]:
    """Every training's rounds as gains over the start; `sds` are the start's standard deviations,
    of gold and by proxy.
    """
    if not settings.runs:
        return {}
    start = _start(work, settings, sampler)
    runs = {}
    for label, name in settings.runs.items():
        families = _settings_of(work, name).families
        asked = [not families or item.prompt.family in families for item in start.completions]
        runs[label] = _training(work, settings, name, start.where(asked), sds)
    return runs


def _start(work: Workplace, settings: Overoptimisation, sampler: LocalSampler) -> Samples:
    """The start's own answers to the prompts that trainings ask, with gold and every proxy."""
    prompts = work.askable(settings.records, "train", sampler)
    order = Order(len(prompts), STARTS, work.seed(settings.name, "prompts"))
    asked = [prompts[i] for i in order.indices(0).tolist()]
    answers = sampler.sample(asked, seed=work.seed(settings.name, "start"))
    rewards = {label: work.reward(name) for label, name in settings.proxies.items()}
    known = {GOLD: work.gold["gold"], **rewards}
    return Samples(answers, {label: reward(answers) for label, reward in known.items()})


def _settings_of(work: Workplace, name: str) -> OnPolicy:
    run = work.recipe.stage(name)
    assert isinstance(run, OnPolicy), "the recipe's check lets no other stage be read"
    return run


def _training(
    work: Workplace,
    settings: Overoptimisation,
    name: str,
    start: Samples,
    sds: Mapping[str, float],
) -> dict[str, Any]:
    """A training's rounds as gains over its start, and the form fitted to gold's."""
    run = _settings_of(work, name)
    label = next(label for label, stage in settings.proxies.items() if stage == run.reward)
    rows = [
        row
        for row in work.run.stage(name).logged()
        if all(row.get(key) is not None for key in ("proxy", "gold", "kl"))
    ]
    kl, proxy, gold = (np.array([row[key] for row in rows]) for key in ("kl", "proxy", "gold"))
    distance = np.sqrt(np.maximum(0.0, kl))  # a sampled KL may fall below 0 by chance
    began = np.array(start.values[GOLD])
    fit = fit_rl(
        distance,
        gold,
        start=float(began.mean()),
        scale=sds[GOLD],
        error=standard_error(began, start.prompts)[0],
        seed=work.seed(settings.name, name),
    )
    return {
        "stage": name,
        "proxy_label": label,
        "kl_coef": run.kl.coef,
        "lr": run.optim.lr,
        "step": [row["step"] for row in rows],
        "distance": distance.tolist(),
        "proxy": _above(proxy, start.values[label], sds[label]),
        "gold": _above(gold, start.values[GOLD], sds[GOLD]),
        "fit": _as_json(fit),
    }


def _above(values: Array, start: Sequence[float], scale: float) -> list[float | None]:
    """Gains over the start's mean, in standard deviations; null where it has none."""
    if not scale > 0:
        return [None] * len(values)
    gains: list[float | None] = ((values - np.mean(start)) / scale).tolist()
    return gains


def _as_json(fit: Fit | None) -> dict[str, Any] | None:
    """A fit; what is infinite or unknown is null."""
    if fit is None:
        return None
    plain = {key: getattr(fit, key) for key in ("farthest", "start", "scale", "r2", "error")}
    return {
        "form": fit.form,
        **as_json({key: getattr(fit, key) for key in FIGURES}),
        **{key: value if math.isfinite(value) else None for key, value in plain.items()},
    }


def _made(work: Workplace, name: str) -> dict[str, Any]:
    """What a reward was made of, where it is known: size, labels, accuracy."""
    said = work.run.stage(name).done_summary()
    folders = models(work.recipe.stage(name))
    sizes = [
        sum(weight.numel() for weight in work.reward_model(name, folder).model.parameters())
        for folder in folders
    ]
    return {
        "stage": name,
        "parameters": sum(sizes) or None,
        "comparisons": said.get("comparisons"),
        "accuracy": said.get("accuracy"),
        "noise_ceiling": said.get("noise_ceiling"),
    }
