"""What `heed serve` makes of its options: engines, what is offered beside them, who may ask."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heed.errors import UserError
from heed.naming import HUMAN, Who, asked_with, policies_of, reward_stage, run_of, who, workplace

if TYPE_CHECKING:
    from heed.sampling.engine import LocalEngine
    from heed.serving.callers import Key
    from heed.serving.remembering import Memory
    from heed.serving.site import Site
    from heed.serving.ways import Offer
    from heed.types import Prompt


TRIES, REFUSAL = 3, "I cannot help with that."
"""Of a guardrail, where nobody says otherwise."""
PROJECT, REMEMBERED = "served", 100_000
"""Where feedback goes, and how many replies it may speak of, where nobody says otherwise."""


@dataclass(frozen=True)
class Sizes:
    """How large engines are, and where they compute."""

    slots: int
    waiting: int
    context: int
    device: str


def named(words: Sequence[str]) -> dict[str, str]:
    """What clients call whom: a run stands for all its policies.

    Raises UserError for nobody, and for a name that comes twice or holds a colon.
    """
    found: list[tuple[str, str]] = []
    for given in words:
        name, equals, word = given.partition("=")
        if not equals:
            name, word = "", given
        run = Path(word)
        if not name and (run / "recipe.yaml").exists():
            found += [(stage, f"{word}:{stage}") for stage in _there(run)]
        else:
            found.append((name or who(word).name, word))
    names = [name for name, _ in found]
    for name in names:
        if not name or ":" in name or names.count(name) > 1:
            why = "is there twice" if names.count(name) > 1 else "cannot be called so"
            raise UserError(f"The model {name!r} {why}; give it another name, as in NAME=WHO.")
    if not found:
        raise UserError("Nobody is named. Give a run, as in heed serve runs/demo.")
    return dict(found)


def _there(run: Path) -> list[str]:
    stages = policies_of(run)
    if not stages:
        raise UserError(f"{run} has no policy yet; heed run goes on with it.")
    return stages


def opening(name: str, word: str, sizes: Sizes) -> Callable[[], tuple[LocalEngine, str]]:
    """What loads the policy that a word means.

    Raises UserError where it is none that can be loaded here.
    """

    def load() -> tuple[LocalEngine, str]:
        meant = who(word)
        if meant.remote or not meant.source:
            raise UserError(
                f"{word} has no weights of its own to serve: it answers by another policy or "
                "behind an address. Name the policy itself; best of n is NAME:best-of-N, by "
                "--best-of."
            )
        return _engine(name, meant, sizes), word

    return load


def _engine(name: str, meant: Who, sizes: Sizes) -> LocalEngine:
    from heed.models.language_model import load_language_model
    from heed.naming import longest_answer
    from heed.policies.in_context import with_system
    from heed.sampling.engine import LocalEngine

    lm = load_language_model(meant.source, device=sizes.device)
    before = asked_with(meant.source)

    def dressed(prompt: Prompt) -> Prompt:
        return with_system(prompt, before) if before else prompt

    return LocalEngine(
        lm, name=name, slots=sizes.slots, waiting=sizes.waiting, context=sizes.context,
        longest=longest_answer(lm), stop=() if lm.chat.templated else (HUMAN,), dressed=dressed,
    )  # fmt: skip


def check_effect(needed: str, given: object, options: Mapping[str, object]) -> None:
    """Raise UserError for an option that does nothing without another, which is not given."""
    idle = [option for option, value in options.items() if value is not None]
    if given is None and idle:
        raise UserError(f"{idle[0]} has no effect without {needed}; give both or neither.")


def offer(
    words: Sequence[str],
    reward: str | None,
    best_of: int,
    guardrail: float | None,
    tries: int | None = None,
    refusal: str | None = None,
) -> Offer:
    """What is offered beside the plain policies.

    Raises UserError where nothing scores answers, or scores would serve nothing.
    """
    from heed.serving.scoring import Scorer
    from heed.serving.ways import Guard, Offer

    if best_of == 1:
        raise UserError("--best-of 1 is the policy as it is; give 2 or more.")
    if not best_of and guardrail is None:
        if reward is not None:
            raise UserError("--reward scores answers for --best-of or --guardrail; give one.")
        return Offer()
    run, stage = _scoring(words, reward)
    work = workplace(run)
    name = stage or reward_stage(work)
    guard = None
    if guardrail is not None:
        guard = Guard(guardrail, tries or TRIES, REFUSAL if refusal is None else refusal)
    return Offer(Scorer(name, work.reward(name)), best_of, guard)


def _scoring(words: Sequence[str], reward: str | None) -> tuple[Path, str]:
    """The run that scores, and its stage if one is named."""
    if reward is not None:
        found = run_of(reward)
        if found is None:
            raise UserError(f"--reward {reward}: name a stage of a run, as in runs/demo:reward.")
        return found
    runs = {meant.run for word in words if (meant := who(word)).run is not None}
    if len(runs) != 1:
        raise UserError("Say what scores answers: --reward RUN:STAGE.")
    (run,) = runs
    assert run is not None, "those without a run are left out"
    return run, ""


@contextmanager
def memory(place: str | None, project: str | None, keep: int | None) -> Iterator[Memory | None]:
    """Where feedback is kept; nowhere, where no store is named."""
    if place is None:
        yield None
        return
    from heed.serving.remembering import Memory
    from heed.store.database import Store

    store = Store.open(place)
    try:
        try:
            made = Memory(store, project or PROJECT, keep or REMEMBERED)
        except ValueError as error:
            raise UserError(f"The project {project!r}: {error}.") from error
        yield made
    finally:
        store.close()


def keys_for(host: str, path: Path | None) -> list[Key]:
    """Who may ask; everybody on this machine, where no file says otherwise.

    Raises UserError where other machines could ask without a key.
    """
    from heed.serving.callers import read_keys
    from heed.web.server import is_loopback

    if path is not None:
        return read_keys(path)
    if not is_loopback(host):
        raise UserError(
            f"On {host} other machines can ask, so that it takes keys: heed serve --add-key NAME "
            "--keys keys.txt makes one, then serve with --keys keys.txt."
        )
    return []


def make_key(name: str, path: Path | None, *, admin: bool) -> None:
    """Print a new key, whose hash goes into the file."""
    from heed.serving.callers import add_key

    if path is None:
        raise UserError("--add-key writes the key's hash into a file: name it with --keys.")
    key = add_key(path, name, "admin" if admin else "user")
    typer.echo(f"{name}'s key, which is shown this once ({path} has its hash alone):", err=True)
    typer.echo(key)


def welcome(place: str, site: Site, keys: bool) -> str:
    """What a person reads before the first request."""
    name = site.roster.names[0]
    authorised = ' -H "Authorization: Bearer KEY"' if keys else ""
    return (
        f"{', '.join(site.models)} at {place}/v1 (Ctrl-C ends it). Try:\n"
        f"  curl {place}/v1/chat/completions{authorised} -H 'Content-Type: application/json' "
        f"""-d '{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
    )


def unhurried() -> None:
    """SIGTERM ends the server as Ctrl-C does: it is raised again behind it, and means nothing."""
    signal.signal(signal.SIGTERM, lambda *_: None)
