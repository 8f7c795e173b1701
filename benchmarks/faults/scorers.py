"""Replays of faults in who scores and judges."""

from __future__ import annotations

import numpy as np

from heed.gates.decoys import fooled
from heed.gates.exploits import exploits
from heed.gates.finding import Finding
from heed.judging.decoys import DECOYS
from heed.recipe import Gates

GATES = Gates()
ERRS = 0.03
"""How often a judge prefers an answer that answers nothing, without loving it."""


def fond_judge(fondness: float, rng: np.random.Generator) -> Finding | None:
    """A judge that prefers the constant answer to a share of the real ones."""
    gate = GATES.fooled
    shares = {name: fondness if name == "constant" else ERRS for name in DECOYS}
    preferred = {
        name: (rng.random(gate.prompts) < share).tolist() for name, share in shares.items()
    }
    return fooled(preferred, share=gate.share, false_alarms=gate.false_alarms)
