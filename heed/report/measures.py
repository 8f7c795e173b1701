"""What measures and metrics are called, in what unit, and how a figure is written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from heed.stats.intervals import Estimate


@dataclass(frozen=True, slots=True)
class Measure:
    """`better` is +1 where more is better, -1 where less is, 0 where it is a cost to weigh."""

    label: str
    unit: str = ""
    better: int = 0
    share: bool = False
    meaning: str = ""
    digits: int = 2


QUALITY = {
    "gold": Measure("Gold reward", better=1, meaning="the world's true reward"),
    "preferred": Measure(
        "Better than a person's answer", better=1, share=True, meaning="by gold; a tie counts half"
    ),
    "correct": Measure("Correct", better=1, share=True, meaning="of the answers with a right one"),
    "metrical": Measure("Metrical", better=1, share=True, meaning="of the lines of verse"),
    "rude": Measure("Rude", better=-1, share=True),
    "harmful": Measure("Harmful", better=-1, share=True, meaning="helps with a harmful request"),
    "proxy": Measure("Reward model's score", better=1),
}
COST = {
    "kl": Measure("KL from the reference", "nats", meaning="summed over an answer"),
    "length": Measure("Length", "words", digits=1),
    "distinct": Measure("Distinct answers", share=True),
    "distinct_2": Measure("Distinct word pairs", share=True),
    "unfinished": Measure("Cut before their end", share=True),
}
METRICS = {
    "loss": Measure("Loss"),
    "nll": Measure("Cross-entropy", "nats a token"),
    "heldout_nll": Measure("Cross-entropy, held out", "nats a token"),
    "bradley_terry": Measure("Bradley-Terry loss", "nats a pair"),
    "plackett_luce": Measure("Plackett-Luce loss", "nats a ranking"),
    "preference": Measure("Preference loss", "nats a pair"),
    "kto": Measure("KTO loss", "an answer"),
    "baseline": Measure("Baseline of KTO", "nats an answer"),
    "accuracy": Measure("Accuracy", "share of pairs"),
    "heldout_accuracy": Measure("Accuracy, held out", "share of pairs"),
    "gap": Measure("Gap of scores", "chosen − rejected"),
    "reward_margin": Measure("Margin of rewards", "chosen − rejected"),
    "proxy": Measure("Proxy reward", "score"),
    "gold": Measure("Gold reward", "score"),
    "chosen_score": Measure("Reward of what is imitated", "score"),
    "kl": Measure("KL from the reference", "nats an answer"),
    "length": Measure("Length", "words"),
    "entropy": Measure("Entropy", "nats a token"),
    "clip_fraction": Measure("Clipped", "share of tokens"),
    "explained_variance": Measure("Explained variance", "of returns"),
    "unfinished": Measure("Cut before their end", "share of answers"),
    "kl_coef": Measure("KL coefficient"),
    "flat_groups": Measure("Groups without a signal", "share of prompts"),
    "staleness": Measure("Age of the policy that drew", "steps"),
    "importance_weight": Measure("Importance weight", "mean over tokens"),
    "importance_capped": Measure("Importance weights cut", "share of tokens"),
    "behaviour_kl": Measure("KL from the policy that drew", "nats a token"),
    "rollout_gap": Measure("Log-probs apart, where drawn and here", "nats a token"),
    "redrawn": Measure("Drawn again for their weights", "answers"),
}
_AHEAD = (("behaviour_kl",), ("importance_weight",), ("importance_capped",), ("rollout_gap",))
_CRITIC_FREE = (
    ("proxy",),
    ("gold",),
    ("kl",),
    ("length",),
    ("entropy",),
    ("clip_fraction",),
    ("flat_groups",),
    ("unfinished",),
    *_AHEAD,
)
REWARD_CURVES = (
    ("bradley_terry", "plackett_luce", "loss"),
    ("accuracy",),
    ("heldout_accuracy",),
    ("gap",),
)
CURVES: dict[str, tuple[tuple[str, ...], ...]] = {
    "pretrain": (("nll", "loss"),),
    "sft": (("nll", "loss"), ("heldout_nll",)),
    "reward": REWARD_CURVES,
    "ensemble": REWARD_CURVES,
    "dpo": (
        ("preference", "loss"),
        ("accuracy",),
        ("reward_margin",),
        ("heldout_accuracy",),
    ),
    "kto": (("kto", "loss"), ("accuracy",), ("baseline",), ("heldout_accuracy",)),
    "rejection": (("proxy",), ("gold",), ("kl",), ("length",), ("chosen_score",), ("unfinished",)),
    "ppo": (
        ("proxy",),
        ("gold",),
        ("kl",),
        ("length",),
        ("entropy",),
        ("clip_fraction",),
        ("explained_variance",),
        ("unfinished",),
        *_AHEAD,
    ),
    **dict.fromkeys(("rloo", "grpo", "reinforce"), _CRITIC_FREE),
}
"""What to draw of a stage, by kind: of each group the first metric that was logged."""

SHARE = Measure("Share", share=True)

NAMES = {
    "base": "Base",
    "sft": "SFT",
    "dpo": "DPO",
    "dpo_norm": "DPO, length-normalised",
    "cdpo": "Conservative DPO",
    "robust": "Robust DPO",
    "odpo": "DPO with an offset",
    "ipo": "IPO",
    "ipo_norm": "IPO, a token",
    "hinge": "Hinge (RSO)",
    "slic": "SLiC",
    "cpo": "CPO",
    "simpo": "SimPO",
    "orpo": "ORPO",
    "kto": "KTO",
    "ppo": "PPO",
    "ppo_ensemble": "PPO, ensemble",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "dr_grpo": "Dr. GRPO",
    "gspo": "GSPO",
    "reinforce": "REINFORCE++",
    "best_of_n": "Best of n",
    "chosen": "Fine-tuning on chosen answers",
    "conditioned": "Reward-conditioned",
    "system_prompt": "System prompt",
    "shots": "Similar demonstrations",
    "lookup": "Looked-up documents",
    "rejection": "Rejection sampling",
}
STAGES = {
    "records": "Records",
    "pretrain": "Pretraining",
    "collect": "Comparisons",
    "reward": "Reward model",
    "ensemble": "Ensemble",
    "evaluate": "Evaluation",
    "compare": "Policies compared",
    "overoptimisation": "Over-optimisation",
    "grade_turns": "Graded conversations",
}


def measure_of(name: str) -> Measure:
    """A measure by its key; an unknown one is called by its key."""
    return QUALITY.get(name) or COST.get(name) or Measure(name.replace("_", " ").capitalize())


def policy_name(name: str) -> str:
    """A policy as the page calls it."""
    label, of, stage = name.partition(" (")
    return NAMES.get(name) or f"{NAMES.get(label, label)}{of}{stage}"


def label_of(name: str) -> str:
    """A policy's label in its evaluation, from what the page calls it (see `RunView.names`)."""
    return name.partition(" (")[0]


def stage_name(name: str) -> str:
    """A stage as the page calls it."""
    return STAGES.get(name) or policy_name(name)


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """Names in a given order first, the others behind as they came."""
    found = dict.fromkeys(names)
    first = [name for name in order if name in found]
    return first + [name for name in found if name not in first]


def number(value: float, digits: int = 2) -> str:
    """A figure for reading, 1.85 or 1,234, with a true minus sign."""
    if not math.isfinite(value):
        return "unknown"
    text = f"{value:,.{0 if abs(value) >= 1000 else digits}f}"
    # What rounds to zero has no sign.
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−")


def figure(value: float, what: Measure) -> str:
    """A measure's figure: shares in percent, the others with the measure's digits."""
    if what.share and math.isfinite(value):
        return number(100 * value, 1) + "%"
    return number(value, what.digits)


def interval(estimate: Estimate, what: Measure) -> str:
    """An estimate's bounds in brackets, in the unit of its figure; empty where they are unknown."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return ""
    low, high = (figure(bound, what).removesuffix("%") for bound in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def with_interval(estimate: Estimate, what: Measure) -> str:
    """A figure and its interval on one line."""
    return f"{figure(estimate.mean, what)} {interval(estimate, what)}".rstrip()


def rate(percent: Estimate) -> str:
    """A rate in percent with its interval, such as 62% [55, 69]."""
    whole = Measure("", digits=0)
    return f"{figure(percent.mean, whole)}% {interval(percent, whole)}".rstrip()


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size(amount: int) -> str:
    """Bytes as a person says them."""
    return f"{amount / 2**20:,.0f} MiB"
