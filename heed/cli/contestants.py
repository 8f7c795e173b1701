"""Who `heed compare` compares: policies of runs, models, servers and files of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heed.data.outputs import conversation, read_outputs
from heed.errors import UserError
from heed.evaluation.contestants import Contestant
from heed.naming import REMOTE, Who, called, finished, load, run_of, who
from heed.naming import workplace as place_of
from heed.run import fingerprint
from heed.types import Completion, Prompt, Sampler

if TYPE_CHECKING:
    from heed.stages.workplace import Workplace

Given = Mapping[str, Any]
"""Settings of sampling that the user gave; all others are the run's own, or the model's."""
Ask = Callable[[Sequence[Prompt], int, int], list[Completion]]
"""Prompts, answers a prompt, seed -> prompt-major completions."""


@dataclass(frozen=True)
class Entrant:
    """Somebody to compare: one who can be asked, or whose answers are given.

    `mark` changes whenever its answers would.
    """

    name: str
    mark: str
    ask: Ask | None = None
    given: tuple[Completion, ...] = ()
    work: Workplace | None = None
    """The run that it is of."""
    stage: str = ""
    """The stage of the run."""

    def answers(self, prompts: Sequence[Prompt], most: int, seed: int) -> Contestant:
        """Its answers to these prompts, at most so many to each; a file's are found by what their
        prompt says.
        """
        if self.ask is not None:
            return Contestant.of(self.name, self.ask(prompts, most, seed))
        found: dict[str, list[Completion]] = {}
        for each in self.given:
            found.setdefault(conversation(each.prompt.messages), []).append(each)
        own = [
            replace(each, prompt=prompt)
            for prompt in prompts
            for each in found.get(conversation(prompt.messages), [])
        ]
        return Contestant.of(self.name, own, most)


def entrants(words: Sequence[str], given: Given, device: str) -> list[Entrant]:
    """One of each word, more of a file of several models; NAME=... names it.

    Raises:
        UserError: a word names nothing that can be compared, or two have one name.
    """
    found: list[Entrant] = []
    for word in words:
        name, equals, source = word.partition("=")
        named = bool(equals) and "/" not in name
        own = _entrants(source if named else word, given, device)
        found += [replace(each, name=name) for each in own] if named else own
    twice = [name for name, count in Counter(each.name for each in found).items() if count > 1]
    if twice:
        raise UserError(
            f"Two contestants are called {twice[0]!r}. Name them yourself, as in NEW={words[-1]}."
        )
    return found


def workplace(run: Path) -> Workplace:
    """A finished run, to read from. Raises UserError where its recipe cannot be read."""
    import typer

    from heed.cli.desk import open_desk

    return place_of(run, lambda line: typer.echo(line, err=True), open_desk)


def _entrants(source: str, given: Given, device: str) -> list[Entrant]:
    if source.startswith(REMOTE):
        return [_model(source, given, device)]
    if (run := run_of(source)) is not None:
        return [_policy(*run, given)]
    path = Path(source)
    if (path / "recipe.yaml").exists():
        return [_policy(path, who(source).stage, given)]
    if path.is_file():
        return _file(path)
    if (path / "config.json").exists() or ("/" in source and not path.exists()):
        return [_model(who(source).source, given, device)]
    raise UserError(
        f"{source!r} is nothing to compare. Give RUN:POLICY (such as runs/demo:ppo), a model's "
        "directory or hub name, an address such as http://127.0.0.1:8000/v1#model, or a file of "
        "answers."
    )


def _policy(run: Path, stage: str, given: Given) -> Entrant:
    from heed.recipe import Evaluate, Sampling

    work = workplace(run)
    place = finished(work, stage)
    measured = [each.sampling for each in work.recipe.stages if isinstance(each, Evaluate)]
    drawn = next(iter(measured), Sampling()).model_copy(update=given)

    def ask(prompts: Sequence[Prompt], most: int, seed: int) -> list[Completion]:
        return work.candidate(stage, drawn).sampler.sample(prompts, n=most, seed=seed)

    return Entrant(stage, f"{run}:{place}", ask, work=work, stage=stage)


def _model(source: str, given: Given, device: str) -> Entrant:
    name = called(source)

    def ask(prompts: Sequence[Prompt], most: int, seed: int) -> list[Completion]:
        return model_sampler(source, name, given, device).sample(prompts, n=most, seed=seed)

    return Entrant(name, fingerprint(source), ask)


def _file(path: Path) -> list[Entrant]:
    """A contestant a model; a file that names none is called after itself."""
    by_model: dict[str, list[Completion]] = {}
    for each in read_outputs(path):
        by_model.setdefault(each.model, []).append(each)
    mark = fingerprint(str(path))
    stem = path.name.split(".")[0]
    return [
        Entrant(name or stem, f"{mark}:{name}", given=tuple(answers))
        for name, answers in by_model.items()
    ]


def prompts_of(found: Sequence[Entrant]) -> list[Prompt]:
    """What is asked where nobody says so: the first run's held-out prompts, or else those of the
    first file.

    Raises UserError where there is neither.
    """
    from heed.recipe import Records

    for each in found:
        if each.work is not None:
            stages = [s.name for s in each.work.recipe.stages if isinstance(s, Records)]
            return each.work.prompts(stages[0], "heldout")
    for each in found:
        if each.given:
            own = {conversation(one.prompt.messages): one.prompt for one in each.given}
            return list(own.values())
    raise UserError(
        "No run and no file of answers says what to ask these models: name a file with --prompts."
    )


def model_sampler(source: str, name: str, given: Given, device: str) -> Sampler:
    """A model's directory, loaded here, or a server by its address; an answer may be as long as
    there is room for where `given` does not say, and ends where the other's turn would begin.
    """
    from heed.recipe import Sampling

    speaker = load(Who(source, name, source), device=device)
    own = {"max_new_tokens": speaker.longest, "stop": list(speaker.stop)}
    drawn = Sampling.model_validate({**own, **given})
    if not speaker.who.remote:
        longest = min(drawn.max_new_tokens, speaker.longest)
        drawn = drawn.model_copy(update={"max_new_tokens": longest})
    return speaker.ask(drawn)
