"""Records to train on, each once, under ids of their own and on their side of the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from heed.data.entries import IMPORTED, digest
from heed.data.splitting import conversation
from heed.types import Comparison, Demonstration, Message, Unpaired

EMPTY = "empty answers"
EQUAL = "equal answers"
WEIGHTLESS = "rows of weight 0"

T = TypeVar("T", Comparison, Unpaired, Demonstration)


@dataclass
class Distinct:
    """Records, each once, with what is left out, by reason.

    held: conversations whose prompts are held out. ids: whose prompts have which id.
    """

    held: set[str]
    aside: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    contradictory: int = 0
    ids: dict[str, tuple[Message, ...]] = field(default_factory=dict)

    def comparisons(self, made: Iterable[Comparison]) -> Iterator[Comparison]:
        """Those between unlike answers that are there; of what one says twice, the first."""
        said: set[tuple[object, ...]] = set()
        for each in made:
            who = (each.prompt.messages, each.annotator)
            if not (each.chosen.strip() and each.rejected.strip()):
                self.aside[EMPTY] += 1
            elif each.chosen == each.rejected:
                self.aside[EQUAL] += 1
            elif (*who, each.chosen, each.rejected) in said:
                self.duplicates += 1
            elif (*who, each.rejected, each.chosen) in said:
                self.contradictory += 1
            else:
                said.add((*who, each.chosen, each.rejected))
                yield self._settled(each)

    def unpaired(self, made: Iterable[Unpaired]) -> Iterator[Unpaired]:
        """Likewise of the answers that are good or bad by themselves."""
        said: dict[tuple[object, ...], bool] = {}
        for each in made:
            what = (each.prompt.messages, each.annotator, each.text)
            if not each.text.strip():
                self.aside[EMPTY] += 1
            elif not each.weight:
                self.aside[WEIGHTLESS] += 1
            elif what not in said:
                said[what] = each.desirable
                yield self._settled(each)
            elif said[what] == each.desirable:
                self.duplicates += 1
            else:
                self.contradictory += 1

    def demonstrations(self, made: Iterable[Demonstration]) -> Iterator[Demonstration]:
        """Likewise of the answers to imitate."""
        said: set[tuple[object, ...]] = set()
        for each in made:
            if not each.text.strip():
                self.aside[EMPTY] += 1
            elif (each.prompt.messages, each.text) in said:
                self.duplicates += 1
            else:
                said.add((each.prompt.messages, each.text))
                yield self._settled(each)

    def _settled(self, made: T) -> T:
        """On its side of the split, under an id that no other prompt has; unsigned where an import
        signed it.
        """
        prompt = made.prompt
        held = bool(self.held) and conversation(prompt) in self.held
        id = prompt.id
        if self.ids.setdefault(id, prompt.messages) != prompt.messages:
            id = f"{id}-{digest([(turn.role, turn.content) for turn in prompt.messages])}"
        if (id, held) != (prompt.id, prompt.split == "heldout"):
            prompt = replace(prompt, id=id, split="heldout" if held else "train")
        if isinstance(made, Demonstration):
            return replace(made, prompt=prompt)
        annotator, source = (
            "" if name == IMPORTED else name for name in (made.annotator, made.source)
        )
        return replace(made, prompt=prompt, annotator=annotator, source=source)
