"""The blind arena's state: who is asked, what is open, and what votes make of the models.

Two policies answer a prompt on sides drawn at random; their names stay here until there is a vote.
A vote becomes an item and an annotation of the project "arena". Open rounds live in memory: after
a restart the visitor asks again, and no vote that was acknowledged is lost.
"""

from __future__ import annotations

import logging
import queue
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from heed.errors import UserError
from heed.stats.ratings import Rating, bradley_terry, elo
from heed.store.members import Member
from heed.types import Annotation, Item, Message, Prompt, Sampler, Verdict
from heed.web.aliases import ARENA, alias
from heed.web.errors import Refused

log = logging.getLogger("heed.web")

PROJECT = "arena"
VOTES: dict[str, Verdict] = {
    "left": (1, 2),
    "right": (2, 1),
    "tie": "tie",
    "both_bad": "both_bad",
}
"""Votes are rankings: they say which answer is better, not by how much."""
FEW = 30
"""Below so many votes a board shows Elo alone."""
MANY_VOTERS = 10


def check_project(name: str) -> None:
    """Raise UserError for the project that holds the arena's votes, which is not labelled."""
    if name == PROJECT:
        raise UserError(
            f"The project {name!r} holds the arena's votes and cannot be labelled: its items "
            "have been judged already. Choose another name for the project."
        )


@dataclass(frozen=True)
class ArenaLimits:
    """`seconds` for both answers, the wait included; `waiting` prompts a model at most; letters of
    a prompt and of a whole conversation; `open_rounds` that wait for a vote.
    """

    seconds: float = 90.0
    waiting: int = 8
    prompt: int = 8_000
    conversation: int = 40_000
    open_rounds: int = 1_000


@dataclass
class Round:
    """One prompt and its two answers; `item` holds them as drawn, `order` as shown."""

    member: int
    item: Item
    order: tuple[int, int]
    begun: float = field(default_factory=time.monotonic)
    vote: str | None = None

    @property
    def shown(self) -> list[str]:
        return [self.item.answers[place] for place in self.order]

    @property
    def names(self) -> list[str]:
        """Left and right, for the time after the vote."""
        return [self.item.models[place] for place in self.order]

    def annotation(self, member: Member, vote: str) -> Annotation:
        """The vote as a record; a member's votes stand apart from the member's labels."""
        return Annotation(
            item=self.item.id,
            annotator=alias(member, ARENA),
            verdict=VOTES[vote],
            seconds=round(time.monotonic() - self.begun, 3),
            source=ARENA,
            order=self.order,
            ui="arena",
        )


class Line:
    """The prompts that wait for one sampler, answered one at a time by a thread of its own.

    The thread is a daemon: a sampler that hangs keeps nobody from stopping the server.
    """

    def __init__(self, sampler: Sampler, waiting: int) -> None:
        self._sampler = sampler
        self._prompts: queue.Queue[tuple[Future[str], Prompt, int]] = queue.Queue(waiting)
        threading.Thread(target=self._work, name="heed-arena", daemon=True).start()

    def ask(self, prompt: Prompt, seed: int) -> Future[str]:
        """The answer to come.

        Raises Refused where too many are waiting.
        """
        answer: Future[str] = Future()
        try:
            self._prompts.put_nowait((answer, prompt, seed))
        except queue.Full:
            raise Refused(
                503, "busy", "The models are busy with other people's prompts. Try again soon."
            ) from None
        return answer

    def _work(self) -> None:
        while True:
            answer, prompt, seed = self._prompts.get()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(self._sampler.sample([prompt], n=1, seed=seed)[0].text)
            except Exception as error:  # whatever a model or a server may throw
                answer.set_exception(error)


class Arena:
    """The models that play, and the rounds that wait for a vote.

    Votes are recorded one at a time (`recording`), so that a double click is one vote and the first
    ones make one project.
    """

    def __init__(self, samplers: Mapping[str, Sampler], limits: ArenaLimits | None = None) -> None:
        self.limits = limits or ArenaLimits()
        # One line a sampler, not a name: two names of one model share its memory and its turn.
        lines = {id(one): Line(one, self.limits.waiting) for one in samplers.values()}
        self._lines = {name: lines[id(one)] for name, one in samplers.items()}
        self._rounds: OrderedDict[str, Round] = OrderedDict()
        self._lock = threading.Lock()
        self.recording = threading.Lock()
        self._draw = random.SystemRandom()

    def prompt(self, text: str, before: Round | None) -> Prompt:
        """What is asked: the text alone, or after the answer that was preferred before.

        Raises Refused where it is too long, or there is nothing to go on from.
        """
        if len(text) > self.limits.prompt:
            raise Refused(
                422, "too_long", f"A prompt may have {self.limits.prompt:,} letters; yours has "
                f"{len(text):,}."
            )  # fmt: skip
        messages: tuple[Message, ...] = (Message("user", text),)
        if before is not None:
            messages = (*_heard(before), *messages)
        if sum(len(message.content) for message in messages) > self.limits.conversation:
            raise Refused(422, "too_long", "This conversation is too long. Start a new one.")
        return Prompt(secrets.token_hex(12), messages)

    def ask(self, prompt: Prompt) -> dict[str, Future[str]]:
        """Two models drawn at random and their answers to come, by name.

        Raises Refused where one of them is too busy.
        """
        names = self._draw.sample(sorted(self._lines), 2)
        seed = self._draw.getrandbits(31)
        answers: dict[str, Future[str]] = {}
        try:
            for name in names:
                answers[name] = self._lines[name].ask(prompt, seed)
        except Refused:
            for answer in answers.values():
                answer.cancel()
            raise
        return answers

    def open(self, member: int, prompt: Prompt, answers: Mapping[str, str]) -> Round:
        """A round that waits for its vote, on sides drawn at random."""
        item = Item(prompt.id, prompt, tuple(answers.values()), tuple(answers))
        left = self._draw.randrange(2)
        made = Round(member, item, (left, 1 - left))
        with self._lock:
            self._rounds[item.id] = made
            while len(self._rounds) > self.limits.open_rounds:
                self._rounds.popitem(last=False)
        return made

    def round(self, id: str, member: int) -> Round:
        """A member's own round.

        Raises Refused where there is none.
        """
        with self._lock:
            found = self._rounds.get(id)
        if found is None or found.member != member:
            raise Refused(
                404, "no_round", "These answers are no longer open, perhaps because the server "
                "was started anew. Ask again."
            )  # fmt: skip
        return found


def _heard(before: Round) -> tuple[Message, ...]:
    """The conversation so far: it goes on from the answer that won, the left one after a tie."""
    sides = {"left": 0, "tie": 0, "right": 1}
    if before.vote not in sides:
        raise Refused(
            409, "no_answer", "There is no answer to go on from. Start a new conversation."
        )
    answer = before.shown[sides[before.vote]]
    return (*before.item.prompt.messages, Message("assistant", answer))


@dataclass(frozen=True)
class Standing:
    """One model on the board; `rating` is None while there are too few votes for an interval."""

    name: str
    elo: float
    votes: int
    won: float
    rating: Rating | None


@dataclass(frozen=True)
class Board:
    """All models that have votes, the best first; `why` says what keeps ratings from them."""

    standings: tuple[Standing, ...]
    votes: int
    why: str


def board(annotations: Sequence[Annotation], items: Mapping[str, Item]) -> Board:
    """Elo in the order of the votes and, with enough of them, Bradley-Terry with intervals.

    Only what was voted on the page counts, not what else somebody imports into the project.

    A tie and "both bad" are half a win each. From ten voters on, errors are clustered by voter: a
    person's votes are no independent evidence, but fewer clusters tell too little.
    """
    votes = [said for said in annotations if said.source == ARENA]
    first = [items[said.item].models[0] for said in votes]
    second = [items[said.item].models[1] for said in votes]
    scores = [_score(said) for said in votes]
    voters = [said.annotator for said in votes]
    live = elo(first, second, scores)
    fitted, why = _fitted(first, second, scores, voters)
    standings = []
    for name in sorted(live, key=lambda name: -(fitted[name].rating if fitted else live[name])):
        points = [score for model, score in zip(first, scores, strict=True) if model == name]
        points += [1 - score for model, score in zip(second, scores, strict=True) if model == name]
        standings.append(
            Standing(name, live[name], len(points), sum(points) / len(points), fitted.get(name))
        )
    return Board(tuple(standings), len(scores), why)


def _fitted(
    first: Sequence[str], second: Sequence[str], scores: Sequence[float], voters: Sequence[str]
) -> tuple[dict[str, Rating], str]:
    if len(scores) < FEW:
        return {}, f"intervals come with {FEW} votes"
    clusters = voters if len(set(voters)) >= MANY_VOTERS else None
    try:
        fitted = bradley_terry(first, second, scores, clusters=clusters)
    except ValueError as error:
        return {}, str(error)
    return {rating.name: rating for rating in fitted}, ""


def _score(said: Annotation) -> float:
    """The first answer's score, in the item's own order."""
    if said.ranks is None or said.ranks[0] == said.ranks[1]:
        return 0.5
    return 1.0 if said.ranks[0] < said.ranks[1] else 0.0
