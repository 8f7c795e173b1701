"""The planted faults, by name: one line more is one fault more."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.faults import labels, scorers, training
from benchmarks.faults.fault import Fault

FAULTS: Mapping[str, Fault] = {
    "flipped_sign": Fault(
        "The reward's sign is flipped",
        "sign",
        "share of pairs it had right, beyond a half",
        clean=-0.25,
        strengths=(0.02, 0.04, 0.06, 0.08, 0.12, 0.25),
        replay=labels.flipped_sign,
    ),
    "both_signs": Fault(
        "The signs of reward and KL are flipped together",
        "step",
        "share of pairs the reward has right, beyond a half",
        clean=-0.25,
        strengths=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
        replay=training.both_signs,
    ),
    "flipped_leash": Fault(
        "The sign of KL is flipped",
        "leash",
        "share of prompts at which it pushes away",
        clean=0.0,
        strengths=(0.6, 0.7, 0.8, 0.9, 1.0),
        replay=training.flipped_leash,
    ),
    "length_lovers": Fault(
        "Annotators love long answers",
        "lengths",
        "gold points a word",
        clean=0.0,
        strengths=(0.1, 0.2, 0.3, 0.4, 0.5, 1.0),
        replay=labels.length_lovers,
    ),
    "side_lovers": Fault(
        "Annotators love the left side",
        "sides",
        "units of felt difference",
        clean=0.0,
        strengths=(0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
        replay=labels.side_lovers,
    ),
    "many_spammers": Fault(
        "Annotators click without reading",
        "spammers",
        "spammers among 16, three labels an item",
        clean=2,
        strengths=(3, 4, 5, 6, 7, 8),
        replay=labels.many_spammers,
    ),
    "mostly_spammers": Fault(
        "Most annotators click without reading",
        "agreement",
        "spammers among 16, three labels an item",
        clean=2,
        strengths=(6, 8, 9, 10, 12, 14),
        replay=labels.mostly_spammers,
    ),
    "swapped_rows": Fault(
        "Rows of an import stand the wrong way round",
        "swapped",
        "share of its rows",
        clean=0.0,
        strengths=(0.1, 0.15, 0.2, 0.25, 0.3, 0.5),
        replay=labels.swapped_rows,
    ),
    "loved_word": Fault(
        "The reward model loves a word",
        "exploits",
        "sd of scores that an occurrence buys",
        clean=0.0,
        strengths=(0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
        replay=scorers.loved_word,
    ),
    "fond_judge": Fault(
        "A judge is fooled by a constant",
        "fooled",
        "share of prompts at which it wins",
        clean=scorers.ERRS,
        strengths=(0.1, 0.2, 0.3, 0.4, 0.5, 0.75),
        replay=scorers.fond_judge,
    ),
    "leaked_prompts": Fault(
        "Test prompts stand in the training data",
        "leakage",
        "share of the held-out prompts",
        clean=0.0,
        strengths=(0.01, 0.02, 0.03, 0.05, 0.1),
        replay=training.leaked_prompts,
    ),
    "wrong_temperature": Fault(
        "The sampler has another temperature",
        "draws",
        "temperature (1 is right)",
        clean=1.0,
        strengths=(0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5),
        replay=training.wrong_temperature,
    ),
    "warm_server": Fault(
        "A rollout server has another temperature than it is asked for",
        "rollout_gap",
        "temperature (1 is right)",
        clean=1.0,
        strengths=(0.5, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0),
        replay=training.warm_server,
    ),
}
