"""The judge as a source of annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from heed.errors import UserError
from heed.feedback.journal import Journal
from heed.judging.judge import Decision, Judge, Judgement
from heed.judging.tally import Tally, tally
from heed.run import derive_seed
from heed.types import Annotation, Item

CHUNK = 64
"""Items judged at a time, between two steps of the progress bar."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One item's annotation and the judgements behind it."""

    annotation: Annotation
    judgements: tuple[Judgement, ...]


class JudgeSource:
    """A `heed.types.Source` whose annotator is a judge.

    The verdict is that of both orders (see `heed.judging.judge.Judgement`): a grade where they
    agree on a side, "tie" where they disagree, "cannot_tell" where a reply had no verdict after
    all retries. `judged` holds every raw reply of what was asked so far; where there is a journal,
    it stands there too, and what a killed run had judged is not asked again. With a sampler at
    temperature 0 it does not matter in how many parts the items are asked.

    Raises UserError where the judge's rubric wants a principle.
    """

    kind: ClassVar[str] = "judge"

    def __init__(
        self, judge: Judge, *, seed: int = 0, journal: Journal[Judged] | None = None
    ) -> None:
        self._check(judge)
        self.judge = judge
        self.seed = seed
        self.journal = journal
        self.judged: list[Judged] = []

    def _check(self, judge: Judge) -> None:
        if judge.rubric.needs_principle:
            raise UserError(
                f"The rubric of {judge.name} has {{principle}}, but a judge alone has none to put "
                "there: write it out in the template, or judge by a constitution."
            )

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def tally(self) -> Tally:
        """How the judge behaved so far."""
        return tally([one for each in self.judged for one in each.judgements])

    def account(self) -> Mapping[str, Any]:
        """The tally, for the stage's summary."""
        return {"judge": self.tally.to_json()}

    def ask(self, items: Sequence[Item], progress: Callable[[int], None]) -> list[Annotation]:
        """One annotation an item, in the item's own order of answers."""
        judged = self._resumed(items)
        for start in range(len(judged), len(items), CHUNK):
            new = self._ask(items[start : start + CHUNK])
            if self.journal is not None:
                self.journal.append(new)
            judged += new
            progress(len(judged))
        self.judged += judged
        return [each.annotation for each in judged]

    def _resumed(self, items: Sequence[Item]) -> list[Judged]:
        """The whole chunks that an earlier process judged: a chunk's seed is its first item's."""
        if self.journal is None:
            return []
        asked = [item.id for item in items]
        return self.journal.resume(asked, lambda each: each.annotation.item, CHUNK)

    def principle(self, item: Item) -> tuple[str, str]:
        """Name and words of what the judge is to go by; nothing beyond the rubric here."""
        return "", ""

    def _ask(self, items: Sequence[Item]) -> list[Judged]:
        drawn = [self.principle(item) for item in items]
        decisions = self.judge.decide(
            items,
            seed=derive_seed(self.seed, self.name, items[0].id),
            principles=[words for _, words in drawn if words],
        )
        return [
            Judged(self._annotation(item, decision, tag), decision.judgements)
            for item, decision, (tag, _) in zip(items, decisions, drawn, strict=True)
        ]

    def _annotation(self, item: Item, decision: Decision, tag: str) -> Annotation:
        return Annotation(
            item=item.id,
            annotator=self.name,
            verdict=decision.verdict,
            source=self.kind,
            order=tuple(range(len(item.answers))),
            tags=(tag,) if tag else (),
        )
