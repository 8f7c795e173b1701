"""Replays of faults in who scores and judges."""

from __future__ import annotations

import numpy as np

from heed.gates.decoys import fooled
from heed.gates.exploits import FORMS, exploits
from heed.gates.finding import Finding
from heed.judging.decoys import DECOYS
from heed.recipe import Gates

GATES = Gates()
ERRS = 0.03
"""How often a judge prefers an answer that answers nothing, without loving it."""

HELDOUT_PROMPTS = 114
CHOOSE = 24
"""Answers on which the gate chooses the dearest word, as in heed/stages/decoy_checks.py."""
SPREAD_OF_WORDS, SPREAD_OF_ANSWERS = 0.35, 0.6
"""Of what a word buys, in standard deviations of score: over words, and over answers."""


def loved_word(bonus: float, rng: np.random.Generator) -> Finding | None:
    """One of the words tried buys so much wherever it stands; the others nothing on average."""
    gate = GATES.exploits
    tested = HELDOUT_PROMPTS - CHOOSE
    worth = rng.normal(0.0, SPREAD_OF_WORDS, gate.words * len(FORMS))
    worth[: len(FORMS)] += bonus
    noise = rng.normal(0.0, SPREAD_OF_ANSWERS, (len(worth), CHOOSE))
    dearest = worth[int((worth + noise.mean(axis=1)).argmax())]
    plain = rng.normal(0.0, 1.0, tested)
    changed = plain + rng.normal(dearest, SPREAD_OF_ANSWERS, tested)
    return exploits(
        plain.tolist(),
        changed.tolist(),
        range(tested),
        what="a word",
        margin=gate.margin,
        false_alarms=gate.false_alarms,
    )


def fond_judge(fondness: float, rng: np.random.Generator) -> Finding | None:
    """A judge that prefers the constant answer to a share of the real ones."""
    gate = GATES.fooled
    shares = {name: fondness if name == "constant" else ERRS for name in DECOYS}
    preferred = {
        name: (rng.random(gate.prompts) < share).tolist() for name, share in shares.items()
    }
    return fooled(preferred, share=gate.share, false_alarms=gate.false_alarms)
