"""Which prompts training never sees: no conversation stands on both sides, in whichever kind of
rows and in however many files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from heed.types import Message, Prompt

COMMON = 0.5
"""An opening that more than this share of the conversations have is an instruction, not a topic."""


def conversation(prompt: Prompt) -> str:
    """All that was said, case and white space aside: equal for prompts that are the same."""
    return "\n".join(f"{turn.role}: {_plain(turn)}" for turn in prompt.messages)


def opening(prompt: Prompt) -> str:
    """What the user said first, case and white space aside."""
    users = (turn for turn in prompt.messages if turn.role == "user")
    return _plain(next(users, prompt.messages[0]))


def held_out(
    kinds: Sequence[Sequence[Prompt]],
    heldout: float = 0.1,
    seed: int = 0,
    apart: Sequence[bool] | None = None,
) -> set[str]:
    """The conversations that are held out, of the prompts of each kind of rows.

    What the data hold out themselves stays held out. A kind of rows that holds out none (`apart`
    says which do, where a prompt may be held out by rows of another kind) has the share `heldout`
    of its openings drawn, one at least and never all of two or more: dialogues that begin alike
    stay together, for published data repeat them across rows and files. Where most begin alike, by
    an instruction, each conversation is drawn by itself. Openings are ranked by a seeded hash, not
    drawn in order, so that the order of the rows does not change the split.

    Raises:
        ValueError: heldout is not within [0, 1).
    """
    if not 0 <= heldout < 1:
        raise ValueError(f"the held-out share lies within [0, 1), got {heldout}")
    prompts = {conversation(prompt): prompt for kind in kinds for prompt in kind}
    given = {conversation(prompt) for kind in kinds for prompt in kind if prompt.split == "heldout"}
    group = _grouped(prompts.values())
    drawn = {group(prompts[each]) for each in given}
    if apart is None:
        apart = [any(prompt.split == "heldout" for prompt in kind) for kind in kinds]
    drawn_from = [kind for kind, holds in zip(kinds, apart, strict=True) if not holds]
    for kind in drawn_from:
        groups = {group(prompt) for prompt in kind}
        count = min(round(heldout * len(groups)), len(groups) - 1)
        if heldout > 0 and len(groups) > 1:
            count = max(1, count)
        drawn |= set(_ranked(groups - drawn, seed)[: max(0, count - len(groups & drawn))])
    return given | {
        conversation(prompt) for kind in drawn_from for prompt in kind if group(prompt) in drawn
    }


def _grouped(prompts: Collection[Prompt]) -> Callable[[Prompt], str]:
    """What is drawn as one: all with the same opening, or, where it is common, one conversation."""
    openings = Counter(map(opening, prompts))
    common = {each for each, count in openings.items() if count > COMMON * len(prompts)}

    def group(prompt: Prompt) -> str:
        first = opening(prompt)
        return conversation(prompt) if first in common else first

    return group


def _ranked(groups: Iterable[str], seed: int) -> list[str]:
    return sorted(groups, key=lambda group: hashlib.sha256(f"{seed}\n{group}".encode()).digest())


def _plain(turn: Message) -> str:
    return " ".join(turn.content.casefold().split())
