"""Who is meant by a word: RUN:STAGE, a run, a model's directory, a hub name, a server's address.

Every verb and `import heed` read it here. Nothing is loaded until somebody is to answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heed.errors import UserError
from heed.recipe import Evaluate, Pretrain, Recipe, Sampling
from heed.run import SEED, Run, seeds_of

if TYPE_CHECKING:
    from heed.models.language_model import LanguageModel
    from heed.stages.workplace import OpenDesk, Workplace
    from heed.types import Sampler

RUNS = "runs"
"""Where runs stand unless somebody says otherwise."""
REMOTE = ("http://", "https://")
POLICY = "policy"
"""What a stage's folder calls the policy in it."""
MAX_NEW_TOKENS = 512
"""Tokens of an answer where nobody says how long it may be, and the context has room for them."""
HUMAN = "\n\nHuman:"
"""Where the other side's turn begins, in the form of a tokenizer without a chat template."""
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Who:
    """Somebody who answers.

    Attributes:
        word: as the user wrote it.
        name: what to call it: the stage, the directory, the model at the address.
        source: a model's directory, hub name or address; empty for a stage that answers by
            another's policy (best of n, a system prompt, retrieval).
        run: the run that it is of, and `stage` its stage there; None for any other model.
    """

    word: str
    name: str
    source: str
    run: Path | None = None
    stage: str = ""

    @property
    def remote(self) -> bool:
        """Whether it answers behind an address."""
        return self.source.startswith(REMOTE)


def who(word: str) -> Who:
    """Whom the word means.

    Raises:
        UserError: nobody; it says what there is instead.
    """
    if not word.strip():
        raise UserError(
            "Nobody is named. Give RUN:STAGE, a run, a model's directory, a hub name or an address."
        )
    if word.startswith(REMOTE):
        return Who(word, called(word), word)
    if (found := run_of(word)) is not None:
        return of_run(*found, word)
    path = Path(word)
    if (path / "recipe.yaml").exists():
        return of_run(path, last_policy(path), word)
    if seeds_of(path):
        raise UserError(
            f"{path} holds the runs of several seeds: name one of them, such as {path}/{SEED}0."
        )
    if not path.exists() and ":" in word:
        raise UserError(
            f"There is no run at {word.rpartition(':')[0]} (it would hold recipe.yaml)."
        )
    local = "/" in word and (path.parent.is_dir() or path.parts[0] == RUNS)
    if not path.exists() and (local or not _HUB.fullmatch(word)):
        raise UserError(f"There is no run and no model at {word}.{_beside(path)}")
    if path.name == POLICY and (path.parent.parent / "recipe.yaml").exists():
        return Who(word, path.parent.name, word, path.parent.parent, path.parent.name)
    return Who(word, called(word), word)


def run_of(word: str) -> tuple[Path, str] | None:
    """RUN:STAGE as a run's directory and a stage's name; None for what is none."""
    directory, colon, stage = word.rpartition(":")
    path = Path(directory)
    return (path, stage) if colon and (path / "recipe.yaml").exists() else None


def of_run(run: Path, stage: str, word: str = "") -> Who:
    """Who answers for a stage of a run.

    Raises:
        UserError: the stage has no policy, or none yet.
    """
    source = policy_directory(run, stage)
    if source is None and stage not in _weightless(run):
        there = ", ".join(answering(run)) or "none yet"
        raise UserError(f"{run} has no policy {stage!r}. It has: {there}.")
    return Who(word or f"{run}:{stage}", stage, source or "", run, stage)


def given_model(summary: Mapping[str, Any]) -> str:
    """The model that a stage hands on as it is: `source`, as the recipe names it, and `directory`,
    where that was; for a folder's name is another one elsewhere, or a model of the hub's.
    """
    source, directory = str(summary["source"]), summary.get("directory")
    if directory is None or (Path(source).exists() and not Path(directory).exists()):
        return source
    return str(directory)


def policy_directory(run: Path, stage: str) -> str | None:
    """Where a stage's policy stands: in the run, or where a base that is used as it is came from.

    None where the stage has none.
    """
    marker = _marker(run / stage)
    summary = marker.get("summary", {})
    if "source" in summary and marker.get("kind", Pretrain.kind) == Pretrain.kind:
        return given_model(summary)
    directory = run / stage / POLICY
    return str(directory) if directory.is_dir() else None


def policies_of(run: Path) -> list[str]:
    """Names of a run's stages that left a policy, by name."""
    stages = sorted(path.parent.name for path in run.glob("*/done.json"))
    there = {path.parent.name for path in run.glob(f"*/{POLICY}")}
    return sorted(there | {name for name in stages if policy_directory(run, name)})


def answering(run: Path) -> list[str]:
    """Names of a run's stages that can be asked, by name: those that left a policy, and finished
    ones that answer by another's.
    """
    others = [name for name in _weightless(run) if (run / name / "done.json").exists()]
    return sorted({*policies_of(run), *others})


def last_policy(run: Path) -> str:
    """The stage whose policy is a run's outcome: the last that it evaluates, or else the last made.

    Raises:
        UserError: the run has no policy yet, or its recipe cannot be read.
    """
    there = policies_of(run)
    if not there:
        raise UserError(f"{run} has no policy yet; heed run goes on with it.")
    recipe = _recipe(run)
    measured = [name for stage in recipe.stages if isinstance(stage, Evaluate)
                for name in stage.policies.values()]  # fmt: skip
    made = [stage.name for stage in recipe.stages]
    for names in (measured, made):
        own = [name for name in names if name in there]
        if own:
            return own[-1]
    return there[-1]


def asked_with(source: str) -> str:
    """The system message that a reward-conditioned policy is asked with, wherever its run says so
    beside it; nothing for others.
    """
    path = Path(source)
    marker = _marker(path.parent) if path.name == POLICY else {}
    return str(marker.get("summary", {}).get("asked_with", ""))


def called(source: str) -> str:
    """A model's name: the one at its address, or that of its directory."""
    if source.startswith(REMOTE):
        address, _, model = source.partition("#")
        return model or address
    return Path(source).resolve().name


def workplace(run: Path, say: Say = lambda _: None, desk: OpenDesk | None = None) -> Workplace:
    """A run, to read from. Raises UserError where its recipe cannot be read."""
    from heed.stages.workplace import Workplace, unattended

    return Workplace(Run(_recipe(run), run, writes=False), say, desk or unattended)


def finished(work: Workplace, stage: str) -> str:
    """The key of a run's finished stage.

    Raises:
        UserError: the run has no such stage, or has not finished it.
    """
    names = [each.name for each in work.recipe.stages]
    if stage not in names:
        raise UserError(f"{work.run.directory} has no stage {stage!r}. It has: {', '.join(names)}.")
    place = work.run.stage(stage)
    if place.done() is None:
        raise UserError(
            f"The stage {stage!r} of {work.run.directory} is not finished under its present "
            "settings; heed run goes on with it."
        )
    return place.key


def reward_stage(work: Workplace, policy: str = "") -> str:
    """The finished stage that scores a run's answers: the one that a policy learned from, or else
    the last.

    Raises:
        UserError: the run has none.
    """
    stages = work.recipe.stages
    learned = [name for each in stages if each.name == policy for name in each.rewards()]
    scoring = [each.name for each in reversed(stages) if each.scores]
    for name in (*learned, *scoring):
        if (work.run.directory / name / "done.json").exists():
            return name
    raise UserError(f"{work.run.directory} has no finished stage that scores answers.")


@dataclass(frozen=True)
class Speaker:
    """Somebody who is loaded, and answers by whatever settings.

    Attributes:
        who: whom it is.
        ask: settings -> a sampler by them.
        longest: tokens that an answer may have where nobody says.
        stop: texts at which a turn of a conversation ends, beside the end of sequence.
    """

    who: Who
    ask: Callable[[Sampling], Sampler]
    longest: int = MAX_NEW_TOKENS
    stop: tuple[str, ...] = ()


def load(named: Who, *, device: str = "auto", say: Say = lambda _: None) -> Speaker:
    """Load who answers.

    Raises:
        UserError: there is no such model, or it does not load.
    """
    if named.remote:
        return Speaker(named, lambda settings: _remote(named, settings))
    if not named.source:
        assert named.run is not None, "only a run's stage answers by another's policy"
        work = workplace(named.run, say)
        finished(work, named.stage)
        return Speaker(named, lambda settings: work.candidate(named.stage, settings).sampler)
    from heed.models.language_model import load_language_model

    lm = load_language_model(named.source, device=device)
    stop = () if lm.chat.templated else (HUMAN,)
    return Speaker(named, lambda settings: _local(named, lm, settings), longest_answer(lm), stop)


def longest_answer(lm: LanguageModel) -> int:
    """In tokens: at most half of the context, for the prompt needs room in it too."""
    from heed.models.anatomy import causal_lm

    config = causal_lm(lm.model).config.get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    return MAX_NEW_TOKENS if context is None else max(1, min(MAX_NEW_TOKENS, context // 2))


def _local(named: Who, lm: LanguageModel, settings: Sampling) -> Sampler:
    from heed.policies.in_context import InContext, with_system
    from heed.sampling.local import LocalSampler

    own = LocalSampler(lm, model_name=named.name, **settings.model_dump())
    before = asked_with(named.source)
    return InContext(own, lambda prompt: [with_system(prompt, before), prompt]) if before else own


def _remote(named: Who, settings: Sampling) -> Sampler:
    from heed.sampling.remote import EndpointSampler

    address, _, model = named.source.partition("#")
    return EndpointSampler(
        address, model or named.name, temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens, top_p=settings.top_p, stop=settings.stop,
    )  # fmt: skip


def _marker(stage: Path) -> dict[str, Any]:
    """What says of a stage that it is finished; empty where it is not."""
    marker = stage / "done.json"
    if not marker.exists():
        return {}
    content: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
    return content


def _recipe(run: Path) -> Recipe:
    from heed.config import load_recipe

    return load_recipe(str(run / "recipe.yaml"))


def _weightless(run: Path) -> list[str]:
    """Stages of a run that answer prompts without a policy of their own."""
    try:
        stages = _recipe(run).stages
    except UserError:
        return []
    return [stage.name for stage in stages if stage.weightless]


def _beside(path: Path) -> str:
    """What there is in the same place, as the end of a message."""
    parent = path.parent
    found = sorted(each.parent.name for name in ("recipe.yaml", "config.json")
                   for each in parent.glob(f"*/{name}"))  # fmt: skip
    return f" In {parent} there are: {', '.join(found[:12])}." if found else ""
