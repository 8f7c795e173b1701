"""What every stage is given: the run, the device, and the places where earlier stages left things.

<records>/  prompts.jsonl, demonstrations.jsonl, corpus.jsonl; comparisons where people made them
<collect>/  items.jsonl, annotations.jsonl, comparisons.jsonl, heldout.jsonl, unpaired.jsonl,
            rewrites.jsonl; ceiling.json where the annotators are simulated
<reward>/   model/
<ensemble>/ member-0/model/, member-1/model/, ...
<policy>/   policy/

With `lora` a model or policy has its adapter alone beside its merged weights, in adapter/.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from peft import PeftModel

from heed.errors import UserError
from heed.files import read_records
from heed.models.activations import checkpoint_activations
from heed.models.device import resolve_device, resolve_dtype
from heed.models.heads import ValueModel
from heed.models.language_model import LanguageModel, load_language_model
from heed.models.modes import disable_dropout
from heed.models.reference import Reference
from heed.models.reward_model import RewardModel, load_reward_model, on_shared_base
from heed.models.sharding import shard
from heed.models.sound import check_same_tokens
from heed.models.source import load_tokenizer
from heed.offline import HeldoutLoss, Offline
from heed.ops.batch import Batch
from heed.progress import Display
from heed.ranks import Ranks
from heed.recipe import (
    Comparisons,
    People,
    Recipe,
    Sampling,
    Speaker,
    TrainingStage,
    listed,
)
from heed.rewards.learned import LearnedReward
from heed.rewards.verifiable import Verifier, correct
from heed.run import Run, StageRun, derive_seed
from heed.sampling.local import LocalSampler
from heed.sampling.remote import EndpointSampler
from heed.sampling.split import SplitSampler
from heed.stages.candidates import Candidate, candidate_of
from heed.stages.rewards import MODEL, models, reward_of
from heed.trainer import Callback, Method, Monitor, Trainer
from heed.types import Comparison, Prompt, RewardFn, Sampler, Split
from heed.world.gold import GoldReward
from heed.world.world import World

if TYPE_CHECKING:
    from heed.feedback.people import Desk

Record = TypeVar("Record")
Rows = TypeVar("Rows", bound=Batch)
Summary = Mapping[str, Any]
Say = Callable[[str], None]
OpenDesk = Callable[[People], "Desk"]
"""From a recipe's settings to a desk at which people can annotate."""


def unattended(_: People) -> Desk:
    """Nobody serves the page: whoever runs the recipe is told how to."""
    from heed.feedback.people import nobody

    return nobody


@dataclass(frozen=True)
class Workplace:
    """A run, the machine it runs on, who hears of it, and who serves its labelling page."""

    run: Run
    say: Say
    desk: OpenDesk
    base: LanguageModel | None = None
    """The policy on whose weights reward and value models stand; without one they have their own.
    """
    split: bool = False
    """Whether models that only answer (references, rewards) lie split over the processes."""

    @property
    def recipe(self) -> Recipe:
        return self.run.recipe

    @cached_property
    def device(self) -> torch.device:
        return resolve_device(self.recipe.device)

    @cached_property
    def dtype(self) -> torch.dtype:
        return resolve_dtype(self.recipe.dtype, self.device)

    @property
    def half(self) -> bool:
        """Whether forward passes are in bfloat16."""
        return self.dtype == torch.bfloat16

    @cached_property
    def world(self) -> World | None:
        """The embedded world, where the recipe's data come from it."""
        if self.recipe.data != "world":
            return None
        return World(self.recipe.world.seed, self.recipe.world.families)

    @cached_property
    def gold(self) -> Mapping[str, RewardFn]:
        """The gold reward, and whether an answer is right, by name; where they are known."""
        if self.world is None:
            return {}
        return {"gold": GoldReward(self.world), "correct": Verifier(correct(self.world))}

    def seed(self, *names: str | int) -> int:
        """A seed for one purpose within this run."""
        return derive_seed(self.recipe.seed, *names)

    def path(self, stage: str, name: str) -> Path:
        """A file or folder that a stage wrote."""
        return self.run.directory / stage / name

    def records(self, stage: str, name: str, kind: type[Record]) -> list[Record]:
        """The records of a JSON-lines file that a stage wrote."""
        return read_records(self.path(stage, f"{name}.jsonl"), kind)

    def comparisons(self, stages: Comparisons, name: str) -> list[Comparison]:
        """What one stage or several collected: "comparisons" to train on, or "heldout" ones."""
        return [
            comparison
            for stage in listed(stages)
            for comparison in self.records(stage, name, Comparison)
        ]

    def prompts(self, stage: str, split: Split, families: Collection[str] = ()) -> list[Prompt]:
        """The prompts of a split, or of some families of it.

        Raises UserError where it has none of one of these.
        """
        prompts = [p for p in self.records(stage, "prompts", Prompt) if p.split == split]
        known = dict.fromkeys(prompt.family for prompt in prompts)
        for name in families:
            if name not in known:
                raise UserError(
                    f"{stage!r} has no {split} prompts of the family {name!r} (`families`). It has "
                    f"{', '.join(filter(None, known)) or 'prompts without a family only'}."
                )
        return [prompt for prompt in prompts if not families or prompt.family in families]

    def askable(
        self, stage: str, split: Split, sampler: LocalSampler, families: Collection[str] = ()
    ) -> list[Prompt]:
        """The prompts that leave room for an answer in the sampler's context.

        Raises UserError where there is none.
        """
        prompts = self.prompts(stage, split, families)
        short = [prompt for prompt in prompts if sampler.fits(prompt)]
        if not short:
            raise UserError(
                f"None of the {len(prompts)} {split} prompts of {stage!r} leaves room for an "
                f"answer of {sampler.max_new_tokens} tokens in the model's context. Lower "
                "sampling.max_new_tokens or take a model with a longer context."
            )
        return short

    def left_out(
        self, stage: str, split: Split, asked: Sequence[Prompt], families: Collection[str] = ()
    ) -> list[str]:
        """A note on prompts that were not asked, where there are any."""
        missing = len(self.prompts(stage, split, families)) - len(asked)
        note = f"{missing} {split} prompts are too long for the model's context and were left out."
        return [note] if missing else []

    def sharing(self, policy: LanguageModel) -> Workplace:
        """The same, where reward and value models are adapters beside this policy's own."""
        return replace(self, base=policy)

    def policy_source(self, stage: str) -> str:
        """The directory of a stage's policy, or the name of a model used as it is."""
        given = self.run.stage(stage).done_summary().get("source")
        return str(given or self.path(stage, "policy"))

    def policy(self, stage: str, *, split: bool = False) -> LanguageModel:
        """A stage's policy: float32 weights, no dropout. With `split` it is sharded next."""
        policy = load_language_model(
            self.policy_source(stage), device=str(self.device), dtype="float32", split=split
        )
        disable_dropout(policy.model)
        return policy

    def splitting(self, settings: TrainingStage) -> Workplace:
        """The same, where models that only answer are sharded if what trains is."""
        return replace(self, split=settings.shard)

    def reference(self, policy: LanguageModel, stage: str) -> Reference:
        """The policy as it is now, at the beginning: what the stage of that name left."""
        if not self.split or isinstance(policy.model, PeftModel):
            return Reference(policy)
        lm = self.policy(stage, split=True)
        lm.model.requires_grad_(False)
        shard(lm.model, half=self.half)
        return Reference(lm, own=True)

    def reward_model(self, stage: str, folder: str = MODEL) -> RewardModel:
        path = self.path(stage, folder)
        if self.base is not None:
            return on_shared_base(self.base, path, f"{stage}/{folder}")
        model = load_reward_model(path, device=str(self.device), dtype="float32", split=self.split)
        if self.split:
            shard(model.model, half=self.half)
        return model

    def learned_reward(self, stage: str, folder: str, context: int) -> LearnedReward:
        """One of a stage's reward models as a reward function."""
        model = self.reward_model(stage, folder)
        return LearnedReward(model, context=self.context(model, context))

    def context(self, model: LanguageModel | RewardModel, wanted: int) -> int:
        """The tokens a row may have; see `context_of`."""
        return context_of(model, wanted)

    def reward(self, stage: str) -> RewardFn:
        """What a stage scores answers by; what is no number is an error that names the answer."""
        return reward_of(self, stage)

    def value_model(self, reward: str, policy: str) -> ValueModel:
        """A critic from a stage's (first) reward model, or from a stage's policy where it has none
        of its own (a sum or gate of others' is none) or one that stands on another backbone, which
        may know other tokens; its head starts at zero either way.
        """
        settings = self.recipe.stage(reward)
        folders = [] if settings.models() else models(settings)
        if self.base is not None:
            adapter = self.path(reward, folders[0]) if folders else None
            return ValueModel.on_shared_base(self.base, adapter, self.seed(reward, "value"))
        if not folders:
            value = ValueModel.from_language_model(self.policy(policy, split=self.split), own=True)
        else:
            path = self.path(reward, folders[0])
            start = load_reward_model(
                path, device=str(self.device), dtype="float32", split=self.split
            )
            ours = load_tokenizer(self.policy_source(policy))
            who = f"The policy of {policy!r}", f"reward {reward!r}"
            check_same_tokens(ours, start.tokenizer, *who)
            value = ValueModel.from_reward_model(start, own=True)
        if self.split:
            shard(value, half=self.half)
        return value

    def candidate(self, stage: str, settings: Sampling) -> Candidate:
        """What answers for a stage: its policy, or the best of several answers of another's."""
        return candidate_of(self, stage, settings)

    def sampler(self, policy: LanguageModel, settings: Sampling, name: str) -> LocalSampler:
        """Where several processes have come to this stage, each draws its share."""
        make = SplitSampler if Ranks.here().count > 1 else LocalSampler
        return make(
            policy,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            stop=settings.stop,
            batch_size=settings.batch_size,
            model_name=name,
        )

    def speaker(self, speaker: Speaker, settings: Sampling) -> Sampler:
        """A model to ask: a stage's, or the one behind an address."""
        if speaker.policy is not None:
            return self.sampler(self.policy(speaker.policy), settings, speaker.policy)
        assert speaker.address is not None, "the recipe's check demands one of the two"
        return EndpointSampler(
            speaker.address,
            speaker.model,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            top_p=settings.top_p,
            stop=settings.stop,
            api_key_variable=speaker.key,
            timeout=speaker.timeout,
            retries=speaker.tries_again,
            concurrency=speaker.concurrency,
            body=speaker.body,
        )

    def train(
        self,
        stage: StageRun,
        settings: TrainingStage,
        method: Method[Rows],
        *,
        iterations: int,
        monitor: Monitor | None,
        shown: Sequence[str],
        callbacks: Sequence[Callback] = (),
        lr_scales: Mapping[str, float] | None = None,
    ) -> Summary:
        """Run the one loop with a progress bar; returns what the marker says of it.

        What trains is sharded from here on, where the settings say so.
        """
        stage.plan(iterations)
        if settings.checkpoint_activations:
            checkpoint_activations(method.module)
        if settings.shard:
            shard(method.module, half=self.half)
        with Display(stage.name, iterations, shown, visible=stage.writes) as bar:
            trainer = Trainer(
                method=method,
                settings=settings,
                run=stage,
                iterations=iterations,
                seed=self.recipe.seed,
                monitor=monitor,
                callbacks=[*callbacks, bar],
                lr_scales=lr_scales or {},
            )
            progress = trainer.train()
        summary: dict[str, Any] = {"iterations": progress.iteration, "tokens": progress.tokens}
        if progress.stopped:
            best = progress.best_iteration
            kept = f" What iteration {best} left, the best until then, is kept." if best else ""
            why = f"Stopped after iteration {progress.iteration}: {progress.stopped}{kept}"
            summary = {**summary, "stopped": progress.iteration, "kept": best or None}
            summary["notes"] = [why]
        return summary

    def train_offline(
        self,
        stage: StageRun,
        settings: TrainingStage,
        method: Offline[Rows],
        heldout: Rows,
        *,
        epochs: float,
        monitor: Monitor,
        shown: Sequence[str],
        apart: Mapping[str, Rows] | None = None,
    ) -> Summary:
        """Train on fixed rows for so many epochs, measuring on others at every checkpoint.

        Rows that stand `apart` are measured too, as "heldout_nll/" and their name.
        """
        iterations = method.order.steps(epochs)
        sets = {"": heldout, **{f"/{name}": rows for name, rows in (apart or {}).items()}}
        measures = [
            HeldoutLoss(
                method,
                rows,
                every=settings.checkpoint_every,
                last=iterations,
                micro_tokens=settings.optim.micro_tokens,
                of=of,
            )
            for of, rows in sets.items()
        ]
        return self.train(
            stage,
            settings,
            method,
            iterations=iterations,
            monitor=monitor,
            shown=shown,
            callbacks=measures,
        )


def context_of(model: LanguageModel | RewardModel, wanted: int) -> int:
    """The tokens a row may have: what a stage asks for, or fewer where the model holds fewer."""
    if isinstance(model, RewardModel):
        limit = model.limit
    else:
        limit = getattr(model.model.config.get_text_config(), "max_position_embeddings", None)
    return min(wanted, limit or wanted)
