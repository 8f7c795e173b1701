"""How much: what is held out, batches, passes, rounds, samples."""

from __future__ import annotations

from heed.planning.choosing.facts import Facts, Reason

JUDGED = {True: 500, False: 300}
"""Prompts that judge, on a GPU and without one: the 95% interval of a win rate is then at most 4.4
or 5.7 points to each side (1.96 / (2 sqrt(n)))."""
SHARE = 0.2
"""Of the prompts, that are held out at most."""
LEAST_SHARE = 0.002
STEPS = 50
"""Optimiser steps that a stage shall have: batches shrink to come to them."""
LEAST_BATCH = 8
BATCH = {"sft": 32, "reward": 64, "dpo": 64, "kto": 128}
SOURCES = {
    "sft": "as in most published recipes",
    "reward": "as in InstructGPT, arXiv:2203.02155",
    "dpo": "as in Rafailov et al. 2023",
    "kto": "as in Ethayarajh et al. 2024",
}
FEW, MANY = 1000, 5000
"""Rows below which three passes are made, and from which on one."""
ROLLOUTS = {True: 256, False: 64}
ROUNDS = {True: (40, 200), False: (20, 60)}
"""Rounds of a policy gradient: the fewest, the most; on a GPU and without one."""
OF_ONE = 4
"""Answers to one prompt at most: further ones say little that is new."""
CALIBRATION = {True: 512, False: 256}
HEAVY = 10e6
"""Weights from which on the words that may buy score are fewer without a GPU."""
WORDS = 10


def heldout(facts: Facts) -> Reason:
    """A share of the prompts that leaves enough to judge on and most to learn from."""
    wanted = JUDGED[facts.cuda]
    share = min(SHARE, max(LEAST_SHARE, wanted / max(1, facts.asked)))
    count = round(share * facts.asked)
    half = 98 / max(1, count) ** 0.5
    return Reason(
        "heldout",
        float(f"{share:.2g}"),
        f"about {count:,} of {facts.asked:,} different prompts judge: the interval of a win rate "
        f"is about {half:.1f} points to each side",
    )


def epochs(kind: str, rows: int) -> Reason:
    """A reward model overfits after one pass; the rest make more where there is little."""
    if kind == "reward":
        return Reason("epochs", 1.0, "more than one overfits (InstructGPT, arXiv:2203.02155)")
    times = 3.0 if rows < FEW else 2.0 if rows < MANY else 1.0
    bound = f"{FEW:,}" if rows < FEW else f"{MANY:,}"
    how = "at least" if rows >= MANY else "fewer than"
    return Reason("epochs", times, f"{rows:,} rows, {how} {bound}")


def batch(kind: str, rows: int, passes: float) -> Reason:
    """The published size, or a smaller power of two where there would be few steps."""
    usual, size = BATCH[kind], BATCH[kind]
    while size > LEAST_BATCH and rows * passes / size < STEPS:
        size //= 2
    why = SOURCES[kind] if size == usual else f"smaller than {usual}, so that there are more steps"
    return Reason("batch", size, f"{why}: about {max(1, round(rows * passes / size)):,} steps")


def rollouts(facts: Facts) -> Reason:
    """Answers of one round of a policy gradient."""
    place = "a GPU draws many side by side" if facts.cuda else "few enough for a CPU"
    return Reason("rollouts", ROLLOUTS[facts.cuda], f"answers a round: {place}")


def iterations(facts: Facts, prompts: int, a_round: int) -> Reason:
    """Rounds until every training prompt was asked once, within bounds."""
    least, most = ROUNDS[facts.cuda]
    once = -(-prompts // a_round)
    chosen = min(most, max(least, once))
    asks = chosen * a_round / max(1, prompts)
    return Reason(
        "iterations", chosen, f"{chosen * a_round:,} answers: each prompt {asks:.2g} times"
    )


def samples(facts: Facts, share: float) -> Reason:
    """One answer to each held-out prompt where there are enough, else several."""
    held = max(1, round(share * facts.asked))
    each = min(OF_ONE, -(-JUDGED[facts.cuda] // held))
    return Reason("samples", each * held, f"answers of each policy, {each} to each held-out prompt")


def words(facts: Facts) -> list[Reason]:
    """How many words are tried on a reward model, where 40 would outlast its training."""
    if facts.cuda or facts.weights < HEAVY or not facts.has("comparisons"):
        return []
    why = "words that may buy score, each tried in 64 answers: fewer than 40, for a CPU's sake"
    return [Reason("gates.exploits.words", WORDS, why)]
