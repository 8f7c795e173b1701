"""Settings of the stages that ask people, judges and simulated annotators."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from heed.recipe.base import Sampling, Settings, Stage, StageName
from heed.recipe.rubric import Rubric

WORLD_PEOPLE = 16
"""How many people live in the embedded world."""


class Annotators(Settings):
    """Simulated annotators of the embedded world; `null` keeps a person's own habit."""

    temperature: PositiveFloat | None = None
    """Noise of a choice, for all."""
    length_bias: float | None = None
    """Utility of one more word, for all."""
    left_bias: float | None = None
    """What standing on the left is worth, in units of felt difference, for all."""
    spammers: int | None = Field(None, ge=0, le=WORLD_PEOPLE)
    """How many do not read (two in the world as it is): every other one always clicks left, the
    rest at random. Habits are those of the others.
    """

    @model_validator(mode="after")
    def _somebody_has_the_habit(self) -> Self:
        if self.spammers == WORLD_PEOPLE:
            for name in ("temperature", "length_bias", "left_bias"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} does nothing where all are spammers; leave it out")
        return self


class People(Settings):
    """People at the labelling page, whom the run waits for."""

    apart: ClassVar[frozenset[str]] = frozenset({"serve", "host", "port", "accounts"})

    store: str | None = None
    """Path or URL of the store, without a password; the run's own feedback.db by default."""
    guideline: str | None = None
    """Markdown file that annotators read first."""
    gold: str | None = None
    """File of items (prompt, answers, known: the right verdict), mixed in at `gold_rate`."""
    gold_rate: float = Field(0.05, ge=0.0, lt=1.0)
    """Share of the items shown that are gold."""
    repeat_rate: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of the items shown that the same person has answered before."""
    order: Literal["random", "disagreement", "mixed"] = "random"
    """What is asked first: anything, what the reward models disagree on, or both in turn."""
    enough: float = Field(1.0, gt=0.0, le=1.0)
    """Share of the wanted labels with which the run goes on."""
    lease_minutes: PositiveInt = 15
    """An item nobody answers for so long goes to somebody else."""
    pay_per_hour: NonNegativeFloat = 0.0
    """What an hour of annotation costs, for the owner's pages."""
    currency: str = "USD"
    serve: bool = True
    """Serve the page here while the run waits; false leaves that to heed label, on any host that
    reaches the store."""
    accounts: bool = False
    """Ask for invitations on this machine too; other hosts always do."""
    host: str = "127.0.0.1"
    """Address to serve the page on."""
    port: int = Field(8765, ge=0, le=65535)
    """Port of the page; the next free one is taken where it is in use."""

    @model_validator(mode="after")
    def _says_nothing_of_a_page_elsewhere(self) -> Self:
        idle = sorted(self.model_fields_set & {"accounts", "host", "port"})
        if not self.serve and idle:
            raise ValueError(
                f"serve: false leaves the page to heed label, and {idle[0]} is about a page of "
                f"the run's own; give --{idle[0]} to heed label and leave it out here"
            )
        return self


class Speaker(Settings):
    """A language model: one of this run's, or one behind an address."""

    policy: StageName | None = None
    """Stage whose model it is."""
    address: str | list[str] | None = None
    """OpenAI-compatible address, such as http://127.0.0.1:8000/v1, or several that have the same
    model."""
    model: str = ""
    """The model's name at that address."""
    key: str = "OPENAI_API_KEY"
    """Environment variable that holds the address's key, where it wants one."""
    timeout: PositiveFloat = 120.0
    """Seconds a request may take."""
    tries_again: NonNegativeInt = 5
    """How often a request that failed in passing is sent again."""
    concurrency: PositiveInt = 8
    """Requests under way at a time, at each address."""
    body: dict[str, Any] = Field({})
    """Further keys of every request, such as reasoning_effort; null leaves one out."""

    def check(self, where: str) -> None:
        """Raise ValueError unless there is one model to ask, and no password in its address."""
        given = [self.address] if isinstance(self.address, str) else self.address or []
        if self.address is not None and not given:
            raise ValueError(f"{where}.address names no server; name one, or leave it out")
        if any("@" in urlsplit(address).netloc for address in given):
            raise ValueError(
                f"{where}.address holds a user or a password, and recipes are copied and shared; "
                f"put what the server asks for into an environment variable, and its name into "
                f"{where}.key"
            )
        if (self.policy is None) == (self.address is None):
            raise ValueError(
                f"set {where}.policy to a stage, or {where}.address to an OpenAI-compatible "
                "server, one of the two"
            )
        if self.address is not None and not self.model:
            raise ValueError(f"set {where}.model to the model's name at {given[0]}")


class Judge(Speaker):
    """A language model that compares answers."""

    name: str = "judge"
    """What its annotations are signed with."""
    rubric: Rubric = Rubric()
    retries: NonNegativeInt = 2
    """How often an unreadable verdict is asked for again."""
    max_new_tokens: PositiveInt = 512
    """Replies are cut here."""


class Principle(Settings):
    """One principle of a constitution, as whole messages to the model."""

    name: str
    critique: str
    """Asks the model what is wrong with its answer, by this principle."""
    revise: str
    """Asks the model for a better answer."""
    prefer: str
    """What {principle} becomes in the judge's question."""


class Constitution(Settings):
    """Principles, from a file or on the spot; the built-in ones where both are empty."""

    file: str | None = None
    """YAML file of `principles`."""
    principles: list[Principle] = Field([])

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.file and self.principles:
            raise ValueError("name a file of principles or list them here, not both")
        return self


class Collect(Stage):
    """The policies' answers, compared by people, a judge or simulated annotators."""

    kind: ClassVar[str] = "collect"
    source: Literal["simulated", "people", "judge", "constitution"] = "simulated"
    """Who annotates: the world's people, real ones, a judge, a judge with principles."""
    policies: list[StageName] = Field(["sft"], min_length=1)
    """The first gives one answer of every item, all of them in turn the others."""
    records: StageName = "records"
    comparisons: PositiveInt = 6000
    """Annotations gathered on training prompts."""
    heldout: PositiveInt = 1500
    """Annotations gathered on held-out prompts, to judge the reward model."""
    answers: int = Field(2, ge=2, le=9)
    """Answers an item: two are graded, more are ranked."""
    per_item: PositiveInt = 1
    """Annotators an item."""
    ties: Literal["drop", "half"] = "drop"
    """Two tied answers make no comparison, or half a win each."""
    weights: Literal["equal", "reliability"] = "equal"
    """What a comparison counts: all alike, or by how reliable its annotator seems."""
    disagreement: list[StageName] = Field([])
    """Reward stages (two or more) whose disagreement gives an item its priority."""
    sampling: Sampling = Sampling()
    annotators: Annotators = Annotators()
    people: People = People()
    judge: Judge = Judge()
    constitution: Constitution = Constitution()

    @model_validator(mode="after")
    def _somebody_can_answer(self) -> Self:
        if self.source in ("judge", "constitution"):
            self.judge.check("judge")
            self.judge.rubric.check(by_principle=self.source == "constitution")
            if self.per_item != 1:
                raise ValueError("one judge gives one annotation an item; leave per_item at 1")
        known = self.source == "people" and self.people.gold and self.people.gold_rate > 0
        if self.weights == "reliability" and self.per_item == 1 and not known:
            raise ValueError(
                "weights: reliability compares annotators with each other or with known answers; "
                "set per_item to 2 or more, or people.gold to a file of such items"
            )
        if len(self.disagreement) == 1:
            raise ValueError("one reward model disagrees with nobody; name two or more")
        if self.people.order != "random" and not self.disagreement:
            raise ValueError(
                f"people.order {self.people.order} goes by disagreement; name the reward stages "
                "in `disagreement`"
            )
        return self

    def inputs(self) -> list[str]:
        judge = [self.judge.policy] if self.judge.policy else []
        return [*self.policies, self.records, *self.disagreement, *judge]

    def rewards(self) -> list[str]:
        return self.disagreement

    def files(self) -> list[str]:
        named = [self.people.guideline, self.people.gold, self.constitution.file]
        return [name for name in named if name]


class Revise(Stage):
    """Answers that a model criticises and revises by a constitution, as demonstrations."""

    kind: ClassVar[str] = "revise"
    speaker: Speaker = Speaker(policy="sft")
    records: StageName = "records"
    prompts: PositiveInt = 1000
    """Training prompts asked, in turn."""
    rounds: PositiveInt = 1
    """Critiques and revisions an answer."""
    constitution: Constitution = Constitution()
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _somebody_can_speak(self) -> Self:
        self.speaker.check("speaker")
        return self

    def inputs(self) -> list[str]:
        return [*([self.speaker.policy] if self.speaker.policy else []), self.records]

    def files(self) -> list[str]:
        return [self.constitution.file] if self.constitution.file else []
