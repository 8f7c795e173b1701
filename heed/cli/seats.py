"""Who `heed evaluate` asks, loaded; and what they are asked with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from heed.cli.contestants import Entrant, entrants
from heed.errors import UserError
from heed.files import read_records, write_records
from heed.naming import MAX_NEW_TOKENS, Speaker, Who, load, longest_answer, who
from heed.progress import Display
from heed.recipe import BestOfN, Evaluate, Sampling
from heed.run import derive_seed
from heed.types import Completion, Prompt, Sampler

if TYPE_CHECKING:
    from heed.models.language_model import LanguageModel
    from heed.sampling.local import LocalSampler

CHUNK = 16
"""Prompts sampled at a time: between two of them answers are kept and the bar moves."""


@dataclass(frozen=True)
class Seat:
    """Somebody who is evaluated. `who` is None for a file of answers."""

    entrant: Entrant
    who: Who | None

    @property
    def name(self) -> str:
        return self.entrant.name

    @property
    def local(self) -> bool:
        """Whether there are weights here behind the answers."""
        return self.who is not None and not self.who.remote

    @property
    def weights(self) -> bool:
        """Whether the answers are those of its weights, asked as they are."""
        return self.local and bool(self.who and self.who.source)

    def best_of(self) -> int | None:
        """Of how many answers it gives the best, where it chooses."""
        if self.entrant.work is None:
            return None
        stage = self.entrant.work.recipe.stage(self.entrant.stage)
        return stage.n if isinstance(stage, BestOfN) else None

    def sampler(self, drawn: Sampling, device: str) -> Sampler:
        """Loaded, to be asked by these settings."""
        assert self.who is not None, "a file of answers is not asked"
        return _loaded(self.who, device).ask(drawn)

    def stop(self, device: str) -> Sequence[str]:
        """Where the other's turn would begin."""
        assert self.who is not None, "a file of answers is not asked"
        return _loaded(self.who, device).stop

    def lm(self, device: str) -> LanguageModel:
        """The weights behind it."""
        return inner(self.sampler(Sampling(), device)).lm


@lru_cache(maxsize=2)
def _loaded(named: Who, device: str) -> Speaker:
    return load(named, device=device)


def inner(sampler: object) -> LocalSampler:
    """The sampler at the bottom of those that ask or choose."""
    from heed.sampling.local import LocalSampler

    while not isinstance(sampler, LocalSampler):
        sampler = sampler.sampler  # type: ignore[attr-defined]
    return sampler


def seats(words: Sequence[str], device: str) -> list[Seat]:
    """One of each word, more of a file of several models.

    Raises:
        UserError: a word names nobody, or two have one name.
    """
    entrants(words, {}, device)  # their names together
    found = []
    for word in words:
        name, equals, source = word.partition("=")
        bare = source if equals and "/" not in name else word
        for each in entrants([word], {}, device):
            found.append(Seat(each, None if each.given else who(bare)))
    return found


def settings_of(
    found: Sequence[Seat], temperature: float | None, longest: int | None, device: str
) -> Sampling:
    """How all are asked: as the first run asks in its own evaluation, or else at temperature 1, as
    long as there is room for in every context, and to where the other's turn would begin.
    """
    recipes = [each.entrant.work.recipe for each in found if each.entrant.work is not None]
    own = [stage.sampling for recipe in recipes for stage in recipe.stages
           if isinstance(stage, Evaluate)]  # fmt: skip
    drawn = own[0] if own else None
    if drawn is None:
        local = [each for each in found if each.local]
        rooms = [longest] if longest else [longest_answer(each.lm(device)) for each in local]
        turns = {text for each in local for text in each.stop(device)}
        drawn = Sampling(max_new_tokens=min([MAX_NEW_TOKENS, *rooms]), stop=sorted(turns))
    given = {"temperature": temperature, "max_new_tokens": longest}
    return drawn.model_copy(update={name: x for name, x in given.items() if x is not None})


def askable(
    found: Sequence[Seat], prompts: Sequence[Prompt], drawn: Sampling, device: str
) -> list[Prompt]:
    """The prompts that leave every model room for an answer.

    Raises:
        UserError: none does.
    """
    kept = list(prompts)
    for each in found:
        if each.local:
            sampler = each.sampler(drawn, device)
            fits = getattr(sampler, "fits", inner(sampler).fits)
            kept = [prompt for prompt in kept if fits(prompt)]
    if not kept:
        raise UserError(
            f"None of the {len(prompts):,} prompts leaves room for an answer of "
            f"{drawn.max_new_tokens} tokens in every model's context. Lower --max-new-tokens."
        )
    return kept


def answers(
    seat: Seat, prompts: Sequence[Prompt], n: int, drawn: Sampling, seed: int, device: str,
    out: Path, purpose: str = "",
) -> list[Completion]:  # fmt: skip
    """`n` answers to each prompt; those that an earlier process of the same command left are kept.

    A file's own answers are those it has to these prompts, `n` at most.
    """
    if seat.who is None:
        return _given(seat, prompts, n)
    label = "".join(c if c.isalnum() else "-" for c in seat.name) + (purpose and f"-{purpose}")
    plan = [seat.entrant.mark, _says(prompts), n, drawn.model_dump(), seed]
    key = hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:12]
    file = out / f"answers-{label}-{key}.jsonl"
    done = read_records(file, Completion) if file.exists() else []
    if len(done) >= n * len(prompts):
        return done
    sampler = seat.sampler(drawn, device)
    with Display(f"{seat.name} answers", n * len(prompts), before=len(done)) as bar:
        for start in range(len(done) // n, len(prompts), CHUNK):
            own = derive_seed(seed, seat.name, purpose, start)
            done += sampler.sample(prompts[start : start + CHUNK], n=n, seed=own)
            write_records(file, done)
            bar(len(done))
    return done


def _given(seat: Seat, prompts: Sequence[Prompt], n: int) -> list[Completion]:
    own = seat.entrant.answers(prompts, n, 0)
    by_id = {prompt.id: prompt for prompt in prompts}
    found = [Completion(by_id[id], text) for id, texts in own.answers.items() for text in texts]
    if not found:
        raise UserError(f"{seat.name} answers none of the prompts; name its own with --prompts.")
    return found


def _says(prompts: Sequence[Prompt]) -> list[object]:
    return [[each.id, [[turn.role, turn.content] for turn in each.messages]] for each in prompts]
