"""A policy gradient whose rounds two rollout servers draw, beside the run in one process.

    heed run quickstart --out runs/demo
    python -m benchmarks.rollout_servers runs/demo [--iterations 30] [--kills 3]

Four stages of PPO in copies of a finished run of the recipe quickstart: drawn here; by two `heed
rollouts` in processes of their own; by two of which each is killed (kill -9) and begun anew so many
times while rounds are drawn; and by two, drawn one round ahead. Printed are the gold reward of the
last third of the rounds, seconds an iteration, how often answers were asked for again, and whether
every answer that was asked for was there once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.recipe import Ppo
from heed.sampling.fleet import Fleet
from heed.sampling.rollouts import RolloutSampler
from heed.stats.intervals import mean_interval
from heed.types import Completion

ROOT = Path(__file__).parents[1]
KEY = {"HEED_ROLLOUT_KEY": "rollouts-of-a-benchmark"}
WAYS = ("here", "servers", "killed", "ahead")
PAUSE = 0.3
"""Seconds for which a killed server stays away, beside those of its start."""


class Served:
    """`heed rollouts` in a process of its own, at one address however often it begins.

    `inside` are words before its command, which let it run on another host.
    """

    def __init__(
        self, model: Path, host: str = "127.0.0.1", port: int = 0, inside: Sequence[str] = ()
    ) -> None:
        if not port:
            with socket.socket() as probe:
                probe.bind((host, 0))
                port = probe.getsockname()[1]
        self.model, self.host, self.port, self.inside = model, host, port, inside
        self.address = f"http://{host}:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self.kills = 0

    def start(self) -> None:
        """Begin it, and wait until it listens."""
        words = ["rollouts", str(self.model), "--port", str(self.port), "--host", self.host]
        words += ["--timeout", "10", "--key", "HEED_ROLLOUT_KEY"]
        self.process = subprocess.Popen(
            [*self.inside, sys.executable, "-m", "heed", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert self.address in said, said

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()
            self.process = None
            self.kills += 1


@contextmanager
def served(model: Path, count: int) -> Iterator[list[Served]]:
    """So many servers of a model."""
    servers = [Served(model) for _ in range(count)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


class Rounds:
    """Listens to rounds that are drawn elsewhere: what was asked for, came and failed."""

    def __init__(self) -> None:
        self.begun = 0
        self.wrong: list[str] = []
        self.failures = 0
        self.changed = threading.Condition()
        self.going_on = threading.Event()
        """Not set while rounds wait for a server to come back, lest they be over before it is."""
        self.going_on.set()

    @contextmanager
    def listening(self) -> Iterator[Rounds]:
        draw, failed = RolloutSampler.draw, Fleet.failed

        def noting(own: RolloutSampler, prompts: Any, **more: Any) -> list[Completion]:
            self.going_on.wait()
            with self.changed:
                self.begun += 1
                self.changed.notify_all()
            found = draw(own, prompts, **more)
            if [each.prompt for each in found] != [p for p in prompts for _ in range(more["n"])]:
                self.wrong.append(f"{len(found)} answers to {len(prompts)} prompts")
            return found

        def counting(own: Fleet, *given: Any) -> None:
            self.failures += 1
            failed(own, *given)

        RolloutSampler.draw, Fleet.failed = noting, counting  # type: ignore[method-assign]
        try:
            yield self
        finally:
            RolloutSampler.draw, Fleet.failed = draw, failed  # type: ignore[method-assign]

    def wait(self, count: int) -> None:
        """Until so many rounds have begun."""
        with self.changed:
            self.changed.wait_for(lambda: self.begun >= count)


@contextmanager
def killing(servers: Sequence[Served], rounds: Rounds, times: int, every: int) -> Iterator[None]:
    """Kill each server so many times by turns, while a round is drawn, and begin it anew."""

    def run() -> None:
        for at in range(times * len(servers)):
            rounds.wait(rounds.begun + every)
            time.sleep(0.05)
            server = servers[at % len(servers)]
            rounds.going_on.clear()  # the one under way goes on without this server
            server.kill()
            time.sleep(PAUSE)
            server.start()
            rounds.going_on.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join()


def trained(run: Path, name: str, iterations: int, threads: int, **more: Any) -> list[Any]:
    """The rows of metrics of PPO in a run, and how long it took."""
    recipe = load_recipe("quickstart", [f"threads={threads}", "gates.step.action=off"])
    settings = {"name": name, "iterations": iterations, "value_lr_scale": 3.0, **more}
    settings |= {"optim": {"lr": 3e-4, "micro_tokens": 3200}, "kl": {"coef": 0.15}}
    stage = Ppo.model_validate(settings)
    recipe = recipe.model_copy(update={"stages": (*recipe.stages, stage)})
    carry_out(recipe, run, fresh=False, only=name)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in lines if row["stage"] == name]


def measured(base: Path, way: str, given: argparse.Namespace) -> str:
    """A line of figures of one way to draw."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        run = Path(shutil.copytree(base, Path(folder) / "run"))
        rounds = stack.enter_context(Rounds().listening())
        count = 0 if way == "here" else 2
        servers = stack.enter_context(served(run / "pretrain/policy", count))
        if way == "killed":
            every = max(1, given.iterations // (2 * given.kills + 1))
            stack.enter_context(killing(servers, rounds, given.kills, every))
        more: dict[str, Any] = {"ahead": {}} if way == "ahead" else {}
        if servers:
            addresses = [server.address for server in servers]
            more["servers"] = {"addresses": addresses}
        began = time.perf_counter()
        rows = trained(run, f"far_{way}", given.iterations, given.threads, **more)
        seconds = (time.perf_counter() - began) / given.iterations
        late = rows[-(given.iterations // 3) :]
        gold = mean_interval([row["gold"] for row in late])
        figures = {
            "kl": f"{statistics.mean(row['kl'] for row in late):.2f}",
            "s an iteration": f"{seconds:.2f}",
            "gap": f"{statistics.median(row.get('rollout_gap', 0.0) for row in rows):.1e}",
            "failures": rounds.failures,
            "redrawn": sum(row.get("redrawn", 0) for row in rows),
            "kills": [server.kills for server in servers],
            "wrong rounds": f"{len(rounds.wrong)} of {rounds.begun}",
        }
        told = "  ".join(f"{name} {figure}" for name, figure in figures.items())
        return f"{way:<8} gold {gold.mean:.3f} [{gold.low:.3f}, {gold.high:.3f}]  {told}"


def main() -> None:
    """Print a line a way of drawing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    os.environ.update(KEY)
    print("\n".join([measured(given.run, way, given) for way in WAYS]))


if __name__ == "__main__":
    main()
