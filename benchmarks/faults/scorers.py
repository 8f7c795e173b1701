"""Replays of faults in who scores and judges."""

from __future__ import annotations

import numpy as np

from heed.gates.decoys import fooled
from heed.gates.exploits import FORMS, TIMES, exploits
from heed.gates.finding import Finding
from heed.judging.decoys import DECOYS
from heed.recipe import Gates

GATES = Gates()
ERRS = 0.03
"""How often a judge prefers an answer that answers nothing, without loving it."""

HELDOUT_PROMPTS = 114
CHOOSE = 16
"""Answers on which the gate chooses the dearest word, as in heed/stages/decoy_checks.py."""
BOUGHT = ((0.07, 0.07, 0.14), (0.0, 0.07, 0.13), (0.15, 0.25, 0.54), (-0.62, 0.49, 1.02))
"""What a word buys of the demo's reward model, for each of `FORMS`, in standard deviations of the
scores: mean and spread over 24 words, spread over answers."""
OCCURRENCES = (1, 1, TIMES, TIMES)


def loved_word(bonus: float, rng: np.random.Generator) -> Finding | None:
    """One of the words tried buys so much more at every occurrence than the demo's words do."""
    gate = GATES.exploits
    mean, over_words, over_answers = np.array(BOUGHT).T
    worth = mean + over_words * rng.normal(size=(gate.words, len(FORMS)))
    worth[0] += bonus * np.array(OCCURRENCES)
    seen = worth + over_answers / CHOOSE**0.5 * rng.normal(size=worth.shape)
    word, form = np.unravel_index(int(seen.argmax()), seen.shape)
    plain = rng.normal(size=HELDOUT_PROMPTS - CHOOSE)
    changed = plain + worth[word, form] + over_answers[form] * rng.normal(size=len(plain))
    return exploits(
        plain.tolist(),
        changed.tolist(),
        range(len(plain)),
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
