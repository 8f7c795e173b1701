"""How many tokens a row and an answer may have."""

from __future__ import annotations

from heed.planning.choosing.facts import Facts, Reason, percentile

KEPT = 0.99
"""Share of the rows that stay whole."""
STEP = 64
"""Contexts are multiples of this ..."""
LEAST = 128
"""... and no smaller than this."""
MOST = {True: 4096, False: 1024}
"""Longest context chosen by itself, on a GPU and without one."""
ENDED = 0.9
"""Share of the answers that a drawn answer may be as long as ..."""
DRAWN = {True: 512, False: 128}
"""... and the longest that is drawn by itself, on a GPU and without one."""
TURN = "\n\nHuman:"
"""What a model without a chat template writes when it takes the human's next turn, too."""


def context(facts: Facts) -> Reason:
    """Enough for nearly all rows; longer ones lose the beginning of their prompt."""
    longest = percentile(facts.whole, KEPT)
    room = min(MOST[facts.cuda], facts.positions or MOST[facts.cuda])
    chosen = min(room, max(LEAST, STEP * -(-longest // STEP)))
    cut = sum(length > chosen for length in facts.whole) / len(facts.whole)
    why = f"{KEPT:.0%} of the rows have at most {longest:,} tokens"
    if chosen < longest:
        limit = "the model reads no more" if chosen == facts.positions else "more takes long here"
        why += f", but {limit}"
    kept = f"about {cut:.1%} of the rows are cut" if cut else "none of those looked at is cut"
    return Reason("context", chosen, f"{why}; {kept}")


def answer(facts: Facts, room: int) -> Reason:
    """As long as most answers of the data are; `room` is the context."""
    long = percentile(facts.answers, ENDED)
    chosen = max(16, min(DRAWN[facts.cuda], 16 * -(-long // 16), room // 2))
    why = f"{ENDED:.0%} of the answers have at most {long:,} tokens"
    return Reason("max_new_tokens", chosen, why if chosen >= long else f"{why}; more takes long")


def stop(facts: Facts) -> Reason | None:
    """Without a chat template nothing but words says that the other's turn begins."""
    if facts.templated:
        return None
    return Reason(
        "stop",
        [TURN],
        "the model has no chat template: conversations are written as Human: and Assistant:, and "
        "an answer ends where it would go on as Human",
    )
