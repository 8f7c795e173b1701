"""What of a run is exported: a policy or a reward model, its adapter, and what that stands on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from heed.config import load_recipe
from heed.errors import UserError
from heed.models.adapters import FOLDER
from heed.models.source import is_adapter
from heed.naming import POLICY, given_model, last_policy
from heed.recipe import Evaluate, Pretrain, Recipe, Records, Sampling, Stage

Kind = Literal["policy", "reward"]
REWARD = "model"
"""What a stage's folder calls the reward model in it."""


@dataclass(frozen=True)
class Base:
    """What an adapter stands on. `outside` where it is no part of the run: a hub name, or a
    directory of the user's; else a policy of the run, which is nowhere else.
    """

    source: str
    stage: str
    outside: bool

    def along(self, *, hub: bool) -> bool:
        """Whether it is exported along: others find it nowhere else. On the hub, nobody finds a
        directory of the user's either.
        """
        return not self.outside or (hub and Path(self.source).exists())


@dataclass(frozen=True)
class Found:
    """A finished stage's weights. `source` is a directory, or a hub name of a model that the run
    uses as it is; `member` names one of an ensemble's models.
    """

    run: Path
    recipe: Recipe
    stage: Stage
    kind: Kind
    source: str
    summary: Mapping[str, Any]
    member: str = ""

    @property
    def name(self) -> str:
        return f"{self.stage.name}/{self.member}" if self.member else self.stage.name

    @property
    def asked_with(self) -> str:
        """The system message that a reward-conditioned policy is asked with; nothing for others."""
        return str(self.summary.get("asked_with", ""))

    @cached_property
    def adapter(self) -> Path | None:
        """Where the adapter alone lies; None where the stage trained all weights, or nothing."""
        folder = Path(self.source) / FOLDER
        return folder if (folder / "adapter_config.json").is_file() else None

    @cached_property
    def base(self) -> Base:
        """What the stage started from: the policy that its settings name, or itself where it is
        where policies begin.
        """
        name = getattr(self.stage, "policy", None) or self.stage.name
        marker = done(self.run, name) or {}
        summary = marker.get("summary", {})
        given = given_model(summary) if "source" in summary else None
        source = given or str(self.run / name / POLICY)
        return Base(source, name, outside=given is not None and not is_adapter(source))

    @cached_property
    def lineage(self) -> list[Stage]:
        """The stages that it comes from, in the recipe's order, itself last."""
        return list(self.recipe.needed_for(self.stage.name).stages)

    @property
    def begins(self) -> str | None:
        """The model that the recipe names, a directory by its whole path where that is known; None
        where the run trained one from scratch.
        """
        for stage in self.recipe.stages:
            summary = (done(self.run, stage.name) or {}).get("summary") or {}
            if isinstance(stage, Pretrain) and "directory" in summary:
                return given_model(summary)
        return self.recipe.model

    @cached_property
    def label(self) -> tuple[str, str] | None:
        """(evaluation, label) under which the run measured this policy; None where none did."""
        for each in self.recipe.stages:
            if isinstance(each, Evaluate) and self.kind == "policy":
                for label, stage in each.policies.items():
                    if stage == self.stage.name:
                        return each.name, label
        return None

    @property
    def sampling(self) -> Sampling:
        """How its answers were drawn when they were measured, or else in training."""
        if self.label is not None:
            measured = self.recipe.stage(self.label[0])
            assert isinstance(measured, Evaluate)
            return measured.sampling
        own = getattr(self.stage, "sampling", None)
        return own if isinstance(own, Sampling) else Sampling()

    @property
    def records(self) -> Path | None:
        """The folder of the records that it was made of."""
        names = [each.name for each in self.lineage if isinstance(each, Records)]
        return self.run / names[0] if names else None


def find(run: Path, stage: str | None) -> Found:
    """A stage of a run, or the last policy of it.

    Raises UserError where there is no such run or stage, it is not finished, or it has no weights.
    """
    recipe = load_recipe(str(run / "recipe.yaml"))
    stage = last_policy(run) if stage is None else stage
    name, _, member = stage.partition("/")
    names = [each.name for each in recipe.stages]
    if name not in names:
        raise UserError(f"{run} has no stage {name!r}. It has: {', '.join(names)}.")
    marker = done(run, name)
    if marker is None:
        raise UserError(
            f"The stage {name!r} of {run} is not finished under its present settings; heed run "
            "goes on with it."
        )
    found = _found(run, recipe, name, marker, member)
    if found is None:
        raise UserError(_nothing(run, recipe.stage(name)))
    return found


def done(run: Path, stage: str) -> dict[str, Any] | None:
    """A finished stage's marker, under the keys that the run wrote down: its data may have moved
    since, which is no matter here.
    """
    marker, keys = (_json(run / name) for name in (f"{stage}/done.json", "keys.json"))
    if not marker or (keys and marker.get("key") != keys.get(stage)):
        return None
    return marker


def _found(
    run: Path, recipe: Recipe, name: str, marker: Mapping[str, Any], member: str
) -> Found | None:
    stage, summary = recipe.stage(name), marker.get("summary") or {}
    folder = run / name
    if member:
        kind: Kind = "reward"
        source = folder / member / REWARD
    else:
        kind = "reward" if (folder / REWARD).is_dir() else "policy"
        source = folder / (REWARD if kind == "reward" else POLICY)
    if isinstance(stage, Pretrain) and "source" in summary:
        return Found(run, recipe, stage, "policy", given_model(summary), summary)
    if not (source / "config.json").is_file():
        return None
    return Found(run, recipe, stage, kind, str(source), summary, member)


def _nothing(run: Path, stage: Stage) -> str:
    """Why a finished stage has nothing to export, and what to name in its place."""
    members = sorted(path.name for path in (run / stage.name).glob("member-*"))
    if members:
        return (
            f"{stage.name!r} is {len(members)} reward models; name one of them, as in "
            f"{run}:{stage.name}/{members[0]}."
        )
    policy = getattr(stage, "policy", None)
    if stage.weightless and policy:
        return (
            f"{stage.name!r} is a way to ask {policy!r} and leaves no weights of its own; export "
            f"{run}:{policy}."
        )
    return (
        f"The stage {stage.name!r} of {run} is of the kind {stage.kind}, which leaves no weights."
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
