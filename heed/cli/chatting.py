"""One session of `heed chat`: who speaks, what was said, which of two answers is better."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from heed.cli.conversation import Conversation, Kept
from heed.cli.shown import Screen, loading
from heed.errors import UserError
from heed.naming import Speaker, Who, answering, load, of_run, reward_stage, who, workplace
from heed.run import derive_seed
from heed.types import Completion, Prompt, RewardFn, Sampler, Verdict

if TYPE_CHECKING:
    from heed.recipe import Sampling
    from heed.sampling.streaming import Stream

CHOICES: Mapping[str, Verdict] = {
    "1": (1, 2),
    "2": (2, 1),
    "t": "tie",
    "tie": "tie",
    "b": "both_bad",
}
"""What may be said of two answers; which is better, as a ranking without a strength."""

ASKS = "Which is better? 1, 2, t (tie), b (both bad), Enter skips: "


@dataclass
class Chat:
    """A conversation with one policy, or with two at once.

    Attributes:
        named: whom one can talk to, in the order given; loaded when they first speak.
        screen: where it is shown.
        kept: where choices between two answers go.
        talk: what was said.
        temperature, top_p, tokens: how answers are drawn; None: as many tokens as the model's
            context suggests.
        blind: whether names are hidden, and sides drawn, until a choice is made.
        seed: the same seed and the same words give the same answers.
        device: where models are loaded.
    """

    named: list[Who]
    screen: Screen
    kept: Kept
    talk: Conversation
    temperature: float = 1.0
    top_p: float = 1.0
    tokens: int | None = None
    blind: bool = True
    seed: int = 0
    device: str = "auto"
    other: Who | None = None
    """Who answers beside the first of `named`, while two do."""
    choices: int = 0
    said: list[Completion] = field(default_factory=list)
    """The answers to the last message, with what was really asked."""

    def __post_init__(self) -> None:
        self._loaded: dict[str, Speaker] = {}
        self._samplers: dict[str, tuple[Sampling, Sampler]] = {}
        self._rewards: dict[str, RewardFn] = {}
        self._draws = 0

    @property
    def speaks(self) -> Who:
        """Who answers."""
        return self.named[0]

    def speaker(self, named: Who) -> Speaker:
        """Somebody, loaded."""
        if named.word not in self._loaded:
            with loading(named.word):
                self._loaded[named.word] = load(named, device=self.device, say=self.screen.note)
        return self._loaded[named.word]

    def find(self, name: str) -> Who:
        """Whom a name means here: one of those named, a stage of the same run, or anybody.

        Raises UserError for nobody.
        """
        for each in self.named:
            if name in (each.word, each.name):
                return each
        run = self.speaks.run
        if run is not None and name in answering(run):
            return of_run(run, name)
        return who(name)

    def turn_to(self, named: Who) -> None:
        """From now on somebody else answers; what was said stays."""
        self.speaker(named)
        self.named = [named, *(each for each in self.named if each.word != named.word)]

    def answer(self) -> None:
        """Have the waiting message answered, by one or by both.

        Raises UserError where it cannot be; the message is taken back then, as it is where Ctrl-C
        came while nothing was written.
        """
        try:
            said = self._both() if self.other is not None else self._one()
        except (UserError, KeyboardInterrupt):
            self.talk.forget_exchange()
            raise
        if said is None:
            self.talk.forget_exchange()
            self.screen.note("Nothing was said; your message is taken back.")
        else:
            self.talk.answer(said)

    def score(self, name: str) -> None:
        """Show what a reward says of the last answers.

        Raises UserError where there is no answer, or no such reward.
        """
        if not self.said:
            raise UserError("There is no answer to score yet.")
        run, colon, stage = name.rpartition(":")
        if not colon and (Path(name) / "recipe.yaml").exists():
            run, stage = name, ""
        place = Path(run) if run else self.speaks.run
        if place is None:
            raise UserError(
                f"{self.speaks.word} is of no run, so no reward goes with it; name one, as in "
                "/score runs/mine:reward."
            )
        key = f"{place}:{stage}:{self.speaks.stage}"
        if key not in self._rewards:
            with loading(f"the reward of {place}"):
                work = workplace(place, self.screen.note)
                stage = stage or reward_stage(work, self.speaks.stage)
                scoring = [each.name for each in work.recipe.stages if each.scores]
                if stage not in scoring:
                    there = ", ".join(scoring) or "none"
                    raise UserError(f"{place} has no reward {stage!r}. It has: {there}.")
                self._rewards[key] = work.reward(stage)
        for each, value in zip(self.said, self._rewards[key](self.said), strict=True):
            self.screen.note(f"{each.model}: {value:+.2f} (higher is better)")

    def _sampler(self, named: Who) -> Sampler:
        from heed.recipe import Sampling

        speaker = self.speaker(named)
        settings = Sampling(
            temperature=self.temperature, top_p=self.top_p, stop=list(speaker.stop),
            max_new_tokens=self.tokens or speaker.longest,
        )  # fmt: skip
        known = self._samplers.get(named.word)
        if known is None or known[0] != settings:
            known = self._samplers[named.word] = (settings, speaker.ask(settings))
        return known[1]

    def _begin(self, named: Who) -> tuple[Prompt, Stream]:
        """What is asked, and the answer to be written."""
        from heed.sampling.streaming import fits, stream

        sampler = self._sampler(named)
        before = self.talk.left_out
        prompt = self.talk.prompt(lambda each: fits(sampler, each))
        if self.talk.left_out > before:
            self.screen.note(_left_out(self.talk.left_out))
        seed = derive_seed(self.seed, "chat", self._draws)
        self._draws += 1
        return prompt, stream(sampler, prompt, seed=seed)

    def _show(self, answer: Stream, label: str) -> bool:
        """Show an answer as it is written; whether Ctrl-C stopped it."""
        self.screen.begin(label)
        stopped = False
        try:
            for piece in answer:
                self.screen.piece(piece)
        except KeyboardInterrupt:
            stopped = True
        self.screen.end("Stopped." if stopped else _remark(answer.completion))
        return stopped

    def _one(self) -> str | None:
        prompt, answer = self._begin(self.speaks)
        stopped = self._show(answer, self.speaks.name)
        self.said = [_said(prompt, answer, self.speaks)]
        return None if stopped and not answer.text else answer.text

    def _both(self) -> str | None:
        """Two answers and a choice; what the conversation goes on with, if with anything."""
        assert self.other is not None, "two answer only while there is another"
        pair = [self.speaks, self.other]
        if self.blind:
            random.Random(derive_seed(self.seed, "sides", self._draws)).shuffle(pair)
        begun = [self._begin(named) for named in pair]
        answers = [answer for _, answer in begun]
        names = ["" if self.blind else f": {named.name}" for named in pair]
        labels = [f"Answer {place}{name}" for place, name in enumerate(names, start=1)]
        if self.screen.wide:
            stopped = self.screen.beside(labels, [iter(answer) for answer in answers])
        else:
            shown = zip(answers, labels, strict=True)
            stopped = any(self._show(answer, label) for answer, label in shown)
        self.said = [_said(prompt, answer, named)
                     for (prompt, answer), named in zip(begun, pair, strict=True)]  # fmt: skip
        if stopped:
            self.screen.note("Stopped. Nothing is compared; answer 1 stays.")
            return answers[0].text or None
        if answers[0].text == answers[1].text:
            self.screen.note("Both answers are the same: there is nothing to compare.")
            return answers[0].text
        return self._choose()

    def _choose(self) -> str:
        """Ask which of the two is better, and keep it; the text to go on with."""
        began = time.monotonic()
        verdict = self._choice()
        seconds = time.monotonic() - began
        first, second = self.said
        names = f"1 was {first.model}, 2 was {second.model}"
        if verdict is None:
            self.screen.note(f"Not kept. {names}.")
        else:
            self._keep(verdict, seconds)
            self.screen.note(f"{names}. Kept: {self.choices} in {self.kept.path}.")
        return (second if verdict == (2, 1) else first).text

    def _keep(self, verdict: Verdict, seconds: float) -> None:
        first, second = self.said
        # A model of a shorter context may have seen less: both saw that.
        prompt: Prompt = min((first.prompt, second.prompt), key=lambda each: len(each.messages))
        self.kept.add(
            prompt, (first.text, second.text), (first.model, second.model), verdict, seconds
        )
        self.choices += 1

    def _choice(self) -> Verdict | None:
        """What the user says of the two; None for nothing, which Ctrl-C says, too."""
        while True:
            try:
                line = self.screen.read(ASKS)
            except KeyboardInterrupt:
                self.screen.end()
                return None
            word = (line or "").strip().lower()
            if word in CHOICES or not word:
                return CHOICES.get(word)
            self.screen.note("1, 2, t, b, or Enter for none.")


def _said(prompt: Prompt, answer: Stream, named: Who) -> Completion:
    """An answer as it was asked for, without the tokens."""
    return Completion(prompt, answer.text, answer.completion.finish, named.name)


def _left_out(exchanges: int) -> str:
    which = "The oldest exchange no longer fits" if exchanges == 1 else (
        f"The oldest {exchanges} exchanges no longer fit"
    )  # fmt: skip
    return f"{which} the context: the model is asked without."


def _remark(answer: Completion) -> str:
    if answer.finish == "length":
        return f"Cut at {len(answer.ids)} tokens; /tokens allows more." if answer.ids else ""
    return "" if answer.text else "(an empty answer)"
