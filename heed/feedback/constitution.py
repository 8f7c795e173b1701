"""A constitution: principles in a person's words, and two ways to learn from them.

Critiques and revisions become demonstrations (SL-CAI), preferences by a principle become
annotations (RLAIF): Bai et al. 2022, arXiv:2212.08073, sections 3 and 4.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from heed.errors import UserError
from heed.feedback.journal import Journal
from heed.feedback.judge import Judged, JudgeSource
from heed.judging.judge import Judge
from heed.recipe.checks import nearest
from heed.run import derive_seed
from heed.types import Completion, Demonstration, Item, Message, Prompt, Sampler

CHUNK = 64
"""Prompts answered at a time, between two steps of the progress bar."""


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle: how to ask for a critique by it, for a revision, and what to prefer.

    `critique` and `revise` are whole messages to the model; `prefer` is what {principle} in the
    judge's rubric becomes.
    """

    name: str
    critique: str
    revise: str
    prefer: str


@dataclass(frozen=True, slots=True)
class Constitution:
    """Principles with different names, one of which is drawn whenever one is needed.

    Raises UserError where there are none, or two of one name.
    """

    principles: tuple[Principle, ...]

    def __post_init__(self) -> None:
        if not self.principles:
            raise UserError("A constitution has at least one principle.")
        names = Counter(principle.name for principle in self.principles)
        name, count = names.most_common(1)[0]
        if count > 1:
            raise UserError(f"Two principles of the constitution are named {name!r}.")

    def draw(self, *key: str | int) -> Principle:
        """The principle for one purpose, the same every time."""
        return random.Random("/".join(map(str, key))).choice(self.principles)


@dataclass(frozen=True, slots=True)
class Step:
    """One round on one answer. A revision that is empty or was cut is not `adopted`."""

    principle: str
    critique: str
    revision: str
    adopted: bool


@dataclass(frozen=True, slots=True)
class Trail:
    """How an answer came about: the first one and every round on it."""

    prompt: Prompt
    answer: str
    steps: tuple[Step, ...]

    @property
    def final(self) -> str | None:
        """The last revision that was adopted, if one was."""
        adopted = [step.revision for step in self.steps if step.adopted]
        return adopted[-1] if adopted else None


@dataclass(frozen=True, slots=True)
class Revisions:
    """What `revise` gives: a trail for every prompt, and the demonstrations among them."""

    trails: tuple[Trail, ...]

    @property
    def demonstrations(self) -> list[Demonstration]:
        """The final revisions; an answer of which no revision was adopted makes none."""
        return [
            Demonstration(trail.prompt, trail.final)
            for trail in self.trails
            if trail.final is not None
        ]

    def to_json(self) -> dict[str, Any]:
        """Counts for a stage's summary; `unchanged`: demonstrations equal to the first answer."""
        steps = [step for trail in self.trails for step in trail.steps]
        return {
            "prompts": len(self.trails),
            "demonstrations": len(self.demonstrations),
            "unchanged": sum(trail.final == trail.answer for trail in self.trails),
            "revisions": len(steps),
            "not_adopted": sum(not step.adopted for step in steps),
            "principles": dict(sorted(Counter(step.principle for step in steps).items())),
        }


def revise(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    constitution: Constitution,
    *,
    rounds: int,
    seed: int,
    progress: Callable[[int], None],
    journal: Journal[Trail] | None = None,
) -> Revisions:
    """Answers that a model criticised and revised by the principles of a constitution.

    The model answers each prompt; then, in every round, a principle is drawn, and the conversation
    goes on: answer, request for a critique, critique, request for a revision, revision. The next
    round starts from the prompt and the revision, as if that had been the first answer. A revision
    that is empty or was cut leaves the answer as it was.

    `rounds` counts the revisions of an answer, 1 or more; `progress` hears how many prompts are
    behind us. Where there is a journal, trails are written there as they end, and those that a
    killed run had written are not asked for again. Raises ValueError for fewer rounds.
    """
    if rounds < 1:
        raise ValueError(f"at least one round of revision, not {rounds}")
    trails: list[Trail] = []
    if journal is not None:
        asked = [prompt.id for prompt in prompts]
        trails = journal.resume(asked, lambda trail: trail.prompt.id, CHUNK)
    for start in range(len(trails), len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        new = list(_revise(sampler, chunk, constitution, rounds, derive_seed(seed, start)))
        if journal is not None:
            journal.append(new)
        trails += new
        progress(len(trails))
    return Revisions(tuple(trails))


def _revise(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    constitution: Constitution,
    rounds: int,
    seed: int,
) -> Iterator[Trail]:
    """The trails of some prompts, written side by side."""
    first = [reply.text for reply in sampler.sample(prompts, seed=derive_seed(seed, "answer"))]
    answers = list(first)
    steps: list[list[Step]] = [[] for _ in prompts]
    for turn in range(rounds):
        drawn = [constitution.draw(seed, at, prompt.id, turn) for at, prompt in enumerate(prompts)]
        asked = [
            _continued(prompt, answer, principle.critique)
            for prompt, answer, principle in zip(prompts, answers, drawn, strict=True)
        ]
        critiques = sampler.sample(asked, seed=derive_seed(seed, "critique", turn))
        asked = [
            _continued(prompt, critique.text, principle.revise)
            for prompt, critique, principle in zip(asked, critiques, drawn, strict=True)
        ]
        revisions = sampler.sample(asked, seed=derive_seed(seed, "revise", turn))
        for at, (principle, critique, revision) in enumerate(
            zip(drawn, critiques, revisions, strict=True)
        ):
            adopted = _whole(revision)
            steps[at].append(Step(principle.name, critique.text, revision.text, adopted))
            if adopted:
                answers[at] = revision.text
    for prompt, answer, own in zip(prompts, first, steps, strict=True):
        yield Trail(prompt, answer, tuple(own))


def _continued(prompt: Prompt, said: str, request: str) -> Prompt:
    """The conversation with the assistant's message and the next request."""
    more = (Message("assistant", said), Message("user", request))
    return Prompt(f"{prompt.id}/{len(prompt.messages) + 2}", (*prompt.messages, *more))


def _whole(revision: Completion) -> bool:
    return revision.finish == "stop" and bool(revision.text.strip())


class ConstitutionSource(JudgeSource):
    """A `heed.types.Source`: a judge that goes by one principle of a constitution an item.

    The principle's name is the annotation's tag. The judge's rubric has {principle}: see
    `heed.judging.rubric.BY_PRINCIPLE`.

    Raises UserError where it has none.
    """

    kind = "constitution"

    def __init__(
        self,
        judge: Judge,
        constitution: Constitution,
        *,
        seed: int = 0,
        journal: Journal[Judged] | None = None,
    ) -> None:
        super().__init__(judge, seed=seed, journal=journal)
        self.constitution = constitution

    def _check(self, judge: Judge) -> None:
        if not judge.rubric.needs_principle:
            raise UserError(
                f"The rubric of {judge.name} has no {{principle}}, so a constitution could not "
                "reach the judge: add it to the template."
            )

    def principle(self, item: Item) -> tuple[str, str]:
        """The principle that an item is judged by, the same every time."""
        drawn = self.constitution.draw(self.seed, self.name, item.id)
        return drawn.name, drawn.prefer


def read_constitution(path: Path | None = None) -> Constitution:
    """The constitution in a YAML file, or the one that Heed brings along.

    Raises UserError with file and line where the file is no constitution.
    """
    entry = path or resources.files("heed.feedback") / "principles.yaml"
    source = str(path or "principles.yaml")
    try:
        text = entry.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the constitution {source}: {error}.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{source}, line {line}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {error}.") from error
    return Constitution(_principles(node, source))


def _principles(node: yaml.Node | None, source: str) -> tuple[Principle, ...]:
    """The items of `principles`, which is the only key of the file."""
    top = _mapping(node, source, ("principles",), "a constitution is a list under `principles:`")
    listed = top["principles"]
    if not isinstance(listed, yaml.SequenceNode) or not listed.value:
        raise UserError(f"{_place(listed, source)}: `principles` is a list of one or more.")
    principles: list[Principle] = []
    for item in listed.value:
        keys = tuple(field.name for field in fields(Principle))
        found = _mapping(item, source, keys, f"a principle has the keys {', '.join(keys)}")
        principle = Principle(**{key: _text(found[key], key, source) for key in keys})
        if any(principle.name == other.name for other in principles):
            raise UserError(
                f"{_place(found['name'], source)}: two principles are named {principle.name!r}."
            )
        principles.append(principle)
    return tuple(principles)


def _mapping(
    node: yaml.Node | None, source: str, keys: Sequence[str], want: str
) -> dict[str, yaml.Node]:
    """The values of a mapping that has exactly these keys."""
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{_place(node, source)}: {want}.")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in keys:
            hint = nearest(name, keys)
            raise UserError(f"{_place(key, source)}: unknown key {name!r}. {hint}")
        if name in found:
            raise UserError(f"{_place(key, source)}: {name!r} stands here twice.")
        found[name] = value
    for name in keys:
        if name not in found:
            raise UserError(f"{_place(node, source)}: the key {name!r} is missing; {want}.")
    return found


def _text(node: yaml.Node, key: str, source: str) -> str:
    is_text = isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str"
    if not is_text or not node.value.strip():
        raise UserError(
            f"{_place(node, source)}: {key!r} is a text; write one, or put what is one in quotes."
        )
    return str(node.value).strip()


def _place(node: yaml.Node | None, source: str) -> str:
    return source if node is None else f"{source}, line {node.start_mark.line + 1}"
