"""Who judges for `heed compare`: gold, a reward, a language model, people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heed.cli.contestants import Entrant, model_sampler, workplace
from heed.errors import UserError
from heed.feedback.journal import Journal
from heed.feedback.judge import Judged, JudgeSource
from heed.feedback.scored import ScoreSource
from heed.judging.judge import Judge
from heed.naming import REMOTE, called, finished, run_of
from heed.recipe import People
from heed.recipe.compare import GOLD, PEOPLE
from heed.types import Source

LONGEST = 512
"""Tokens of a judge's reply."""
STORE = "feedback.db"


def sources(
    words: Sequence[str], entrants: Sequence[Entrant], out: Path, key: str, device: str, seed: int
) -> list[Source]:
    """One of each word.

    Args:
        words: gold, gold:RUN, people, RUN:REWARD, RUN:POLICY, a model's directory or address.
        entrants: whose run gold is of, where the word does not say.
        out: where replies and people's labels are kept.
        key: tells this comparison from another in the same place.
        device: of a judge that is loaded here.
        seed: of a judge's replies.

    Raises:
        UserError: a word names nobody, or two have one name.
    """
    found = [_source(word, entrants, out, key, device, seed) for word in words]
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise UserError(f"Two judges have one name: {', '.join(names)}. Name each once.")
    return found


def _source(
    word: str, entrants: Sequence[Entrant], out: Path, key: str, device: str, seed: int
) -> Source:
    if word == PEOPLE:
        return _people(out, key)
    if word == GOLD or word.startswith(f"{GOLD}:"):
        return _gold(word.partition(":")[2], entrants)
    if (run := run_of(word)) is not None:
        work = workplace(run[0])
        finished(work, run[1])
        if work.recipe.stage(run[1]).scores:
            return ScoreSource(run[1], work.reward(run[1]))
        word = work.policy_source(run[1])
    elif not (word.startswith(REMOTE) or (Path(word) / "config.json").exists()):
        raise UserError(
            f"{word!r} judges nothing. Give gold, RUN:REWARD (such as runs/demo:reward), a model's "
            "directory, an address such as http://127.0.0.1:8000/v1#model, or people."
        )
    name = run[1] if run is not None else called(word)
    drawn = {"temperature": 0.0, "max_new_tokens": LONGEST}
    file = out / f"judgements-{''.join(c if c.isalnum() else '-' for c in name)}.jsonl"
    return JudgeSource(
        Judge(model_sampler(word, name, drawn, device), name=name),
        seed=seed,
        journal=Journal(file, Judged),
    )


def _gold(run: str, entrants: Sequence[Entrant]) -> Source:
    of = [each.work for each in entrants if each.work is not None]
    works = [workplace(Path(run))] if run else of[:1]
    if not works or GOLD not in works[0].gold:
        raise UserError(
            "The gold reward is that of a run in the embedded world: compare a policy of one, or "
            "name it, as in --judge gold:runs/demo."
        )
    return ScoreSource(GOLD, works[0].gold[GOLD])


def _people(out: Path, key: str) -> Source:
    import typer

    from heed.cli.desk import open_desk
    from heed.feedback.people import PeopleSource
    from heed.store.projects import ProjectSettings

    return PeopleSource(
        place=str(out / STORE),
        project=f"compare-{key[:8]}",
        settings=ProjectSettings(),
        guideline="",
        enough=1.0,
        desk=open_desk(People()),
        announce=lambda line: typer.echo(line, err=True),
    )


def notes(words: Sequence[str], entrants: Sequence[Entrant]) -> list[str]:
    """On each policy that learned from a reward of its own run that judges it."""
    from heed.stages.compare import taught

    found = []
    for run, name in filter(None, map(run_of, words)):
        for each in entrants:
            if each.work is None or each.work.run.directory.resolve() != run.resolve():
                continue
            found += taught(each.work.recipe, {each.name: each.stage}, [name])
    return found
