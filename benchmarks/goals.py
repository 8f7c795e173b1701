"""What Heed is to reach beside its peers, and whether it does.

A goal names the comparisons that it looks at, by a beginning or a part of their names, and reads a
number off each; the worst of them counts. Where a comparison was not made, its goal is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness import Comparison, Ratio

ALL_AT_ONCE = ("trl fp32", "trl bf16")
"""Sides of TRL whose micro-batch is the batch, as ours is."""
Read = Callable[[Comparison], Ratio | None]


@dataclass(frozen=True)
class Goal:
    """`least` must be reached, `aim` is hoped for; for `below` less is better."""

    what: str
    names: Sequence[str]
    """All of these are part of the names of the comparisons that it looks at."""
    read: Read
    least: float
    aim: float
    unit: str = "x"
    below: bool = False

    def judge(self, comparisons: Sequence[Comparison]) -> Ratio | None:
        """The worst number found; None where nothing was measured."""
        read = [
            self.read(each) for each in comparisons if all(name in each.name for name in self.names)
        ]
        seen = [ratio for ratio in read if ratio is not None]
        worst = max if self.below else min
        return worst(seen, key=lambda ratio: ratio.median) if seen else None

    def met(self, found: Ratio, bar: float) -> bool:
        return found.median <= bar if self.below else found.median >= bar


def beside(other: str) -> Read:
    """Our fastest side against one of the others, where that one was measured."""
    return lambda found: (
        found.ratio(found.best(ours=True), other) if other in found.rounds else None
    )


def best_beside_best(found: Comparison) -> Ratio:
    """Our fastest side against the peer's fastest."""
    return found.ratio(found.best(ours=True), found.best(ours=False))


def memory(found: Comparison) -> Ratio:
    """The peak of our fastest side, in that of TRL's faster one that takes as many rows at a time:
    all of them.
    """
    theirs = min((side for side in ALL_AT_ONCE if side in found.rounds), key=found.seconds)
    share = found.peak(found.best(ours=True)) / found.peak(theirs)
    return Ratio(share, share, share)


def milliseconds(command: str) -> Read:
    def read(found: Comparison) -> Ratio:
        return Ratio.of([1000 * one.seconds for one in found.rounds[command]])

    return read


def _trained(kind: str, large: tuple[float, float], small: tuple[float, float]) -> list[Goal]:
    return [
        Goal(f"{kind} {size}, beside TRL's best", (f"{kind} {size}",), best_beside_best, *bars)
        for size, bars in (("25M", large), ("1M", small))
    ]


ROLLOUTS = "rollouts 25M"
GOALS: Sequence[Goal] = (
    Goal("rollouts 25M, mixed lengths, beside generate fp32", (ROLLOUTS, "mixed"),
         beside("generate fp32"), 5, 12),
    Goal("rollouts 25M, mixed lengths, beside generate bf16", (ROLLOUTS, "mixed"),
         beside("generate bf16"), 3, 7),
    Goal("rollouts 1M, mixed lengths, beside generate's best", ("rollouts 1M", "mixed"),
         best_beside_best, 2.5, 8),
    *_trained("dpo", (3, 6), (2, 4)),
    *_trained("reward", (2, 3.5), (1.4, 3)),
    *_trained("grpo", (2.4, 4), (2, 4)),
    *_trained("rloo", (2.4, 4), (2, 4)),
    *_trained("ppo", (3, 6), (1.8, 4)),
    *(Goal(f"peak memory, {kind} 25M, of TRL's", (f"{kind} 25M",), memory, 0.8, 0.5, below=True)
      for kind in ("sft", "reward", "dpo", "grpo", "rloo", "ppo")),
    *(Goal(command, ("start-up",), milliseconds(command), 250, 120, "ms", below=True)
      for command in ("heed --help", "heed train --help")),
)  # fmt: skip


def table(comparisons: Sequence[Comparison]) -> str:
    """The goals in Markdown, with what was measured and whether it is enough."""
    lines = ["| work | at least | aim | Heed | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        found = goal.judge(comparisons)
        sign = "at most " if goal.below else ""
        bars = [f"{sign}{bar:g} {goal.unit}" for bar in (goal.least, goal.aim)]
        lines.append(f"| {goal.what} | {' | '.join(bars)} | {_found(goal, found)} |")
    return "\n".join(lines)


def _found(goal: Goal, found: Ratio | None) -> str:
    if found is None:
        return "| not measured"
    digits = 0 if goal.unit == "ms" else 2
    spread = (
        "" if found.low == found.high else f" ({found.low:.{digits}f} to {found.high:.{digits}f})"
    )
    verdict = "**not met**"
    if goal.met(found, goal.least):
        verdict = "aim met" if goal.met(found, goal.aim) else "met"
    return f"{found.median:.{digits}f} {goal.unit}{spread} | {verdict}"
