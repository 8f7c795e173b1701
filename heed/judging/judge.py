"""The judge: any Sampler that compares two answers, asked in both orders.

A verdict counts when both orders give it; where they disagree it is a tie (Zheng et al. 2023,
arXiv:2306.05685, section 3.4). What the judge said stays beside what was made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from heed.errors import UserError
from heed.judging.ranking import copeland, round_robin
from heed.judging.rubric import Rubric
from heed.recipe.rubric import Ruling
from heed.run import derive_seed
from heed.types import Finish, Item, Pair, Sampler, Verdict


@dataclass(frozen=True, slots=True)
class Reply:
    """One raw reply of the judge."""

    text: str
    finish: Finish


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the judge said of a pair in one order.

    `replies` holds every try, the last one being the one that counts. `verdict` is in terms of the
    pair's own sides, also where the judge saw them swapped; None where no reply gave one.
    """

    replies: tuple[Reply, ...]
    verdict: Ruling | None

    @property
    def attempts(self) -> int:
        return len(self.replies)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge said of one pair: as it stands, and with its answers swapped."""

    pair: str
    judge: str
    as_given: Opinion
    swapped: Opinion
    principle: str = ""

    @property
    def unparsable(self) -> bool:
        return self.as_given.verdict is None or self.swapped.verdict is None

    @property
    def consistent(self) -> bool:
        """Whether both orders gave a verdict, and of the same side or kind."""
        return not self.unparsable and side(self.as_given.verdict) == side(self.swapped.verdict)

    @property
    def verdict(self) -> Ruling:
        """What both orders say; of two grades for one side the weaker.

        Orders that disagree are a tie. "cannot_tell" where one of them gave no verdict, or said so.
        """
        verdicts = (self.as_given.verdict, self.swapped.verdict)
        if self.unparsable or "cannot_tell" in verdicts:
            return "cannot_tell"
        if not self.consistent:
            return "tie"
        return min(verdicts, key=_strength)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Decision:
    """The judge's verdict on an item of two answers or more, and the judgements behind it."""

    item: str
    verdict: Verdict
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True)
class Judge:
    """Compares answers by a rubric, through a sampler that should run at temperature 0.

    Every pair is asked in both orders. A reply without a verdict is asked for again, up to
    `retries` times, with another seed and the rubric's next reminder. `name` is the annotator's
    name in what comes of it.

    Judgements are reproducible: the same sampler, pairs, in the same order, and seed give the same.
    """

    sampler: Sampler
    rubric: Rubric = field(default_factory=Rubric)
    name: str = "judge"
    retries: int = 2

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise UserError(f"Judge {self.name}: retries must be 0 or more, not {self.retries}.")

    def compare(
        self, pairs: Sequence[Pair], *, seed: int = 0, principles: Sequence[str] = ()
    ) -> list[Judgement]:
        """One judgement a pair. `principles`: one a pair, where the rubric has {principle}.

        Raises ValueError where there are principles and the rubric has no place for them, or none
        and it has.
        """
        if self.rubric.needs_principle != bool(principles) and pairs:
            raise ValueError("principles are given for a rubric with {principle}, and for no other")
        asked = list(principles) or [""] * len(pairs)
        questions = [
            _Question(shown, principle)
            for pair, principle in zip(pairs, asked, strict=True)
            for shown in (pair, _swap(pair))
        ]
        for attempt in range(self.retries + 1):
            self._ask([each for each in questions if each.verdict is None], attempt, seed)
        return [
            Judgement(
                pair=pair.id,
                judge=self.name,
                as_given=Opinion(tuple(given.replies), given.verdict),
                swapped=Opinion(tuple(swapped.replies), _mirrored(swapped.verdict)),
                principle=given.principle,
            )
            for pair, given, swapped in zip(pairs, questions[::2], questions[1::2], strict=True)
        ]

    def decide(
        self, items: Sequence[Item], *, seed: int = 0, principles: Sequence[str] = ()
    ) -> list[Decision]:
        """The verdict on each item, in terms of its answers in their own order.

        An item of K answers is a round robin of K (K - 1) / 2 pairs, so it costs K (K - 1) replies
        and more where they must be asked for again. Two answers get the pair's verdict, more a
        ranking by Copeland's score. `principles`: one an item.
        """
        pairs = [round_robin(item) for item in items]
        spread = [
            principle
            for principle, some in zip(principles, pairs, strict=bool(principles))
            for _ in some
        ]
        flat = [pair for some in pairs for pair in some]
        judged = iter(self.compare(flat, seed=seed, principles=spread))
        decisions = []
        for item, some in zip(items, pairs, strict=True):
            own = tuple(next(judged) for _ in some)
            verdicts = [each.verdict for each in own]
            verdict = copeland(len(item.answers), verdicts) if len(own) > 1 else verdicts[0]
            decisions.append(Decision(item.id, verdict, own))
        return decisions

    def _ask(self, questions: Sequence[_Question], attempt: int, seed: int) -> None:
        if not questions:
            return
        prompts = [
            self.rubric.ask(each.pair, principle=each.principle, retry=attempt)
            for each in questions
        ]
        replies = self.sampler.sample(prompts, seed=derive_seed(seed, "judge", attempt))
        for question, reply in zip(questions, replies, strict=True):
            question.replies.append(Reply(reply.text, reply.finish))
            question.verdict = self.rubric.read(reply)


@dataclass
class _Question:
    """A pair in one order, while its verdict is asked for."""

    pair: Pair
    principle: str
    replies: list[Reply] = field(default_factory=list)
    verdict: Ruling | None = None


def _swap(pair: Pair) -> Pair:
    return replace(
        pair,
        id=f"{pair.id}/swapped",
        left=pair.right,
        right=pair.left,
        left_model=pair.right_model,
        right_model=pair.left_model,
    )


def _mirrored(verdict: Ruling | None) -> Ruling | None:
    return 9 - verdict if isinstance(verdict, int) else verdict


def side(verdict: Ruling | None) -> str | None:
    """Left or right for a grade; what says nothing of sides stands for itself."""
    return ("left" if verdict <= 4 else "right") if isinstance(verdict, int) else verdict


def _strength(verdict: Ruling) -> int:
    """How strongly a side is preferred, 0 for negligibly to 3 for significantly."""
    return max(4 - verdict, verdict - 5) if isinstance(verdict, int) else 0
