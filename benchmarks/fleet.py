"""How a fleet of rollout endpoints and a trainer keep each other busy: a simulation.

    python -m benchmarks.fleet [--rounds 200] [--figure docs/images/fleet.png]
    python -m benchmarks.fleet --endpoints 8 --slots 32 --mean 400 --spread 0.8 --mtbf 1.0

Every line of the table is one rule of when answers may be begun (`heed.planning.fleet`), over so
many rounds: rounds an hour, the shares of time in which the trainer and the endpoints' slots had
nothing to do, how many rounds old the answers were that were learned from, answers that failures
took and that were drawn again, answers that came too late, and tokens of an answer that was learned
from. With --figure rounds an hour are
drawn over the spread of lengths, the number of endpoints and the time between failures.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from heed.planning.fleet import (
    POLICIES,
    Fleet,
    Learner,
    Outcome,
    Policy,
    lognormal,
    simulate,
)

MOST = 5.0
"""Means at which the longest answers are cut."""
HOUR = 3600.0
SPREADS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
ENDPOINTS = (2, 3, 4, 6, 8, 12, 16)
FAILURES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DRAWN = tuple(each for each in POLICIES if "4" not in each.name)
STYLES = ("o-", "s-", "^-", "v-", "^--", "v--")


def outcome(given: argparse.Namespace, policy: Policy, **changed: float) -> Outcome:
    """One simulation; `changed` replaces what was given."""
    said = {**vars(given), **changed}
    fleet = Fleet(
        endpoints=int(said["endpoints"]), slots=said["slots"], token=said["token"],
        mtbf=HOUR * said["mtbf"], restart=said["restart"],
    )  # fmt: skip
    learner = Learner(said["batch"], said["seconds"], said["sync"])
    lengths = lognormal(said["mean"], said["spread"], MOST * said["mean"])
    return simulate(
        fleet, learner, policy, lengths, rounds=said["rounds"], seed=said["seed"]
    )  # fmt: skip


def table(given: argparse.Namespace) -> list[str]:
    """A line a rule."""
    lines = [
        f"{'':<22}{'rounds/h':>9}{'trainer':>9}{'fleet':>8}{'rounds old':>12}{'drawn again':>13}"
        f"{'too late':>10}{'length':>8}",
        f"{'':<22}{'':>9}{'idle':>9}{'idle':>8}{'mean, most':>12}",
    ]
    for policy in POLICIES:
        found = outcome(given, policy)
        answers = found.rounds * given.batch
        old = f"{found.mean_staleness:.2f}, {max(found.staleness)}"
        lines.append(
            f"{policy.name:<22}{found.hourly:>9.1f}{found.trainer_idle:>9.0%}{found.fleet_idle:>8.0%}"
            f"{old:>12}{found.lost / answers:>13.2%}{found.thrown / answers:>10.2%}"
            f"{found.length:>8.0f}"
        )
    return lines


def figure(given: argparse.Namespace, path: Path) -> None:
    """Three panels: rounds an hour over spread, endpoints and failures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(page)
    panels: Any = page.subplots(1, 3, sharey=True)
    sweeps: Sequence[tuple[str, Sequence[float], Callable[[float], dict[str, float]]]] = (
        ("spread of lengths (sigma)", SPREADS, lambda x: {"spread": x}),
        ("endpoints", ENDPOINTS, lambda x: {"endpoints": x}),
        ("hours between failures of an endpoint", FAILURES, lambda x: {"mtbf": x}),
    )
    for panel, (label, points, change) in zip(panels, sweeps, strict=True):
        for policy, style in zip(DRAWN, STYLES, strict=True):
            rates = [outcome(given, policy, **change(point)).hourly for point in points]
            panel.plot(points, rates, style, label=policy.name, markersize=4, linewidth=1.2)
        panel.axhline(HOUR / (given.seconds + given.sync), color="grey", linewidth=0.8)
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    panels[2].set_xscale("log")
    panels[0].set_ylabel("rounds an hour")
    panels[0].set_ylim(bottom=0)
    panels[0].legend(fontsize=7, loc="lower left")
    page.savefig(path, dpi=110)


def parser() -> argparse.ArgumentParser:
    """What may be given; unasked a round has twice as many answers as the fleet has slots."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--endpoints", type=int, default=8)
    made.add_argument("--slots", type=int, default=32, help="answers side by side, an endpoint")
    made.add_argument("--token", type=float, default=0.02, help="seconds a token of an answer")
    made.add_argument("--mean", type=float, default=400.0, help="tokens of an answer")
    made.add_argument("--spread", type=float, default=0.8, help="sigma of the lengths' logarithm")
    made.add_argument("--mtbf", type=float, default=math.inf, help="hours between failures")
    made.add_argument("--restart", type=float, default=300.0, help="seconds")
    made.add_argument("--batch", type=int, default=512, help="answers a round")
    made.add_argument("--seconds", type=float, default=20.0, help="to learn from a round")
    made.add_argument("--sync", type=float, default=2.0, help="seconds to bring the weights over")
    made.add_argument("--rounds", type=int, default=200)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--figure", type=Path)
    return made


def main() -> None:
    given = parser().parse_args()
    print(f"python -m benchmarks.fleet {' '.join(sys.argv[1:])}\n")
    print("\n".join(table(given)))
    if given.figure:
        figure(given, given.figure)


if __name__ == "__main__":
    main()
