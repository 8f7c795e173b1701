"""A whole recipe: the run's own settings and one model a stage.

A new stage is one class beside these and one line in `STAGES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from heed.recipe.base import Sampling, Settings, Stage, StageName
from heed.recipe.compare import Compare
from heed.recipe.feedback import Collect, Revise
from heed.recipe.gates import Gates
from heed.recipe.overoptimisation import Overoptimisation
from heed.recipe.policy_gradient import Grpo, OnPolicy, Ppo, Reinforce, Rloo
from heed.recipe.preference import Dpo, Kto
from heed.recipe.rewards import REWARDS, Ensemble, ProcessReward, Reward
from heed.recipe.selection import BestOfN, Rejection
from heed.recipe.simpler import Retrieval, RewardConditioned, SystemPrompt
from heed.recipe.training import Pretrain, Sft
from heed.recipe.turns import GradeTurns
from heed.recipe.weak_to_strong import Relabel, WeakToStrong

MEASURED = (
    "length", "unfinished", "kl", "proxy", "gold", "preferred", "rude", "harmful", "correct",
    "distinct", "distinct_2",
)  # fmt: skip
"""What every evaluation measures, the gold reward and its parts in the embedded world alone."""


class Records(Stage):
    """Prompts, corpus, demonstrations (and comparisons, where people made them)."""

    kind: ClassVar[str] = "records"
    corpus: int = Field(24000, ge=100)
    """World: dialogues of the pretraining corpus."""
    demonstrations: int = Field(1500, ge=40)
    """World: demonstrations for supervised fine-tuning."""
    heldout: float = Field(0.1, gt=0.0, lt=1.0)
    """People's data: share of the prompts that training never sees, where the data hold out none
    themselves."""
    limit: PositiveInt | None = None
    """People's data: at most this many comparisons, labelled answers and demonstrations each (all
    by default)."""
    broken: Literal["refuse", "skip"] = "refuse"
    """People's data: a row that cannot be used ends the run, or is left out and kept aside."""
    feedback_talk: int = Field(0, ge=0)
    """World: dialogues in the corpus in which answers are judged, criticised and revised."""
    documents: int = Field(0, ge=0)
    """World: dialogues in the corpus in which documents stand before a question."""


class Evaluate(Stage):
    """Samples of every policy on held-out prompts, measured with intervals."""

    kind: ClassVar[str] = "evaluate"
    policies: dict[str, StageName] = Field(
        {"base": "pretrain", "sft": "sft", "dpo": "dpo", "ppo": "ppo"}, min_length=1
    )
    """Label in the report -> stage that made the policy."""
    reference: StageName = "sft"
    """Stage whose policy KL is measured against."""
    reward: StageName | None = "reward"
    """Reward stage that scores all answers; null where nothing can."""
    also: dict[str, StageName] = Field({})
    """Further measures: label in the report -> reward stage that scores the answers, of its
    families alone where it has some.
    """
    records: StageName = "records"
    samples: PositiveInt = 2400
    """Completions a policy, spread evenly over the held-out prompts."""
    seen: int = Field(120, ge=0)
    """Prompts of the training split that are answered, too, to see what is known by heart; 0 for
    none.
    """
    probes: str | None = None
    """File of questions that are also asked after a wrong opinion: JSON lines of prompt, wrong and
    perhaps right, opinion, family. The embedded world brings its own.
    """
    opinions: int | None = Field(None, ge=0)
    """Answers to each of those questions, 2 by default; 0 for none."""
    annotators: str | None = None
    """File of what is known of the annotators whose comparisons made the reward: JSON lines of
    annotator and any fields. Results are told by each field.
    """
    lm_eval: list[str] = Field([])
    """Tasks of lm-eval that every policy is asked, where the package lm_eval is installed."""
    lm_eval_folder: str | None = None
    """Folder with task files of your own, beside those that lm-eval brings."""
    shown: PositiveInt = 18
    """Prompts whose answers stand side by side in the report."""
    sampling: Sampling = Sampling()

    @property
    def wanted_opinions(self) -> int:
        return 2 if self.opinions is None else self.opinions

    @model_validator(mode="after")
    def _probes_are_asked(self) -> Self:
        if self.probes is not None and self.opinions == 0:
            raise ValueError(
                "probes are asked `opinions` times each, which is 0; set opinions or leave probes "
                "out"
            )
        return self

    @model_validator(mode="after")
    def _tasks_are_asked(self) -> Self:
        if self.lm_eval_folder is not None and not self.lm_eval:
            raise ValueError("lm_eval_folder does nothing without tasks in lm_eval; name some")
        return self

    @model_validator(mode="after")
    def _labels_name_files(self) -> Self:
        for label in self.policies:
            if "/" in label:
                raise ValueError(
                    f"policies.{label}: the answers are kept in a file of that label, which can "
                    "hold no /; give the policy another label"
                )
        return self

    @model_validator(mode="after")
    def _labels_are_new(self) -> Self:
        for label in self.also:
            if label in MEASURED:
                raise ValueError(
                    f"also.{label}: {label} is measured by itself; give the reward another label"
                )
        return self

    def judges(self) -> dict[str, str]:
        """Measure -> reward stage that scores by it."""
        return {**({"proxy": self.reward} if self.reward else {}), **self.also}

    def rewards(self) -> list[str]:
        return list(self.judges().values())

    def files(self) -> list[str]:
        named = [file for file in (self.probes, self.annotators) if file is not None]
        if self.lm_eval_folder is None:
            return named
        inside = sorted(str(each) for each in Path(self.lm_eval_folder).rglob("*.yaml"))
        return [*named, *(inside or [f"{self.lm_eval_folder}/*.yaml"])]

    def inputs(self) -> list[str]:
        return list(
            dict.fromkeys([*self.policies.values(), self.reference, *self.rewards(), self.records])
        )


class Report(Stage):
    """One page about the run, in HTML and JSON."""

    kind: ClassVar[str] = "report"
    evaluate: StageName = "evaluate"

    def inputs(self) -> list[str]:
        return [self.evaluate]


KINDS: tuple[type[Stage], ...] = (
    Records, Pretrain, Sft, Revise, Collect, Relabel,
    Reward, Ensemble, ProcessReward, *REWARDS, WeakToStrong,
    Ppo, Rloo, Grpo, Reinforce,
    Dpo, Kto,
    BestOfN, Rejection,
    SystemPrompt, Retrieval, RewardConditioned,
    Evaluate, Compare, GradeTurns, Overoptimisation, Report,
)  # fmt: skip
STAGES: Mapping[str, type[Stage]] = {stage.kind: stage for stage in KINDS}


TrackerName = Literal["tensorboard", "wandb", "trackio"]
Family = Literal["facts", "arithmetic", "advice", "verse", "harmful", "small_talk", "summaries"]


class WorldSettings(Settings):
    """The embedded world."""

    seed: int = 0
    """Changes facts, prompts, corpus, demonstrations and people."""
    families: list[Family] = Field(
        ["facts", "arithmetic", "advice", "verse", "harmful", "small_talk"], min_length=1
    )
    """What its prompts are about."""


class Recipe(Settings):
    """A whole run on one page."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = ""
    seed: int = 0
    """Everything random in training and sampling is derived from it."""
    seeds: PositiveInt = 1
    """Runs to make, each with `seed` and `world.seed` one higher; several are ranked together."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the forward passes; weights in training are float32."""
    threads: PositiveInt | None = None
    """CPU threads; null leaves torch's choice."""
    model: str | None = None
    """Directory or hub name of a causal language model; null pretrains one."""
    data: str | list[str] = "world"
    """`world`, or files, directories and data sets by name, in any format of docs/data.md."""
    world: WorldSettings = WorldSettings()
    gates: Gates = Gates()
    track: list[TrackerName] = Field([])
    """Who is told the run's metrics: tensorboard, wandb, trackio. It changes no stage."""
    stages: tuple[Stage, ...] = ()

    @field_validator("track", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("track")
    @classmethod
    def _each_once(cls, names: list[TrackerName]) -> list[TrackerName]:
        if len(set(names)) < len(names):
            raise ValueError("track names a tracker twice; name each once")
        return names

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when the recipe has none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def reads(self, stage: Stage) -> list[str]:
        """The stages that one reads from, by itself or through a gate that watches it."""
        beside = self.beside(stage)
        return [*stage.inputs(), *([beside] if beside else [])]

    def beside(self, stage: Stage) -> str | None:
        """The reward stage that a gate asks while one trains, if one does."""
        gate = self.gates.overoptimisation
        if not isinstance(stage, OnPolicy) or not gate.asked:
            return None
        names = [each.name for each in self.stages]
        return gate.beside(names[: names.index(stage.name)])

    def deciding(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """The settings of the gates that decide what a stage leaves; those that warn are none."""
        return self.gates.stopping() if isinstance(stage, OnPolicy) else {}

    def made_of(self, stage: Stage) -> list[str]:
        """The stages whose keys are part of a stage's own: a page shows all before it."""
        if isinstance(stage, Report):
            names = [each.name for each in self.stages]
            return names[: names.index(stage.name)]
        return self.reads(stage) if self.deciding(stage) else stage.inputs()

    def by_seed(self) -> list[Recipe]:
        """The runs that `seeds` asks for, each a recipe of its own."""
        return [
            self.model_copy(
                update={
                    "seed": self.seed + more,
                    "seeds": 1,
                    "world": self.world.model_copy(update={"seed": self.world.seed + more}),
                }
            )
            for more in range(self.seeds)
        ]

    def needed_for(self, name: str) -> Recipe:
        """The same recipe with only that stage and the stages it reads from."""
        needed, queue = set(), [name]
        while queue:
            current = queue.pop()
            if current not in needed:
                needed.add(current)
                queue.extend(self.reads(self.stage(current)))
        return self.model_copy(
            update={"stages": tuple(stage for stage in self.stages if stage.name in needed)}
        )
