"""A trainer and its rollout servers as three hosts (network namespaces), and the network cut."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hosts import NET, Hosts, hosts_or_skip
from killed import ENVIRONMENT, Killer, rows
from test_kill_ahead import RECIPE

from benchmarks.rollout_servers import KEY, Served

ITERATIONS = 60
FAR = f"""\
  - rloo: {{name: far, iterations: {ITERATIONS}, rollouts: 16, sampling: {{max_new_tokens: 16}},
           servers: {{addresses: ["http://{NET}.2:8001", "http://{NET}.3:8001"],
                     timeout: 3.0, tries_again: 30}}}}
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with hosts_or_skip(3) as made:
        yield made


def until(run: Path, count: int, running: subprocess.Popen[str]) -> None:
    """So many rounds are learned from."""
    while len(rows(run, "far")) < count:
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.05)


@pytest.mark.slow
def test_the_network_is_cut_for_a_while(hosts: Hosts, tmp_path: Path) -> None:
    """First to one server, then to both: no packet comes through and no connection is closed."""
    recipe, out = tmp_path / "far.yaml", tmp_path / "run"
    base = RECIPE.partition("  - rloo:")[0]
    recipe.write_text(base)
    with Killer() as killer:
        assert killer.run(recipe, out) == 0
    recipe.write_text(base + FAR)
    with ExitStack() as stack:
        for host in (2, 3):
            server = Served(out / "pretrain/policy", f"{NET}.{host}", 8001, hosts.inside(host))
            stack.callback(server.kill)
            server.start()
        running = subprocess.Popen(
            [*hosts.inside(1), sys.executable, "-m", "heed", "run", str(recipe), "--out", str(out)],
            env={**ENVIRONMENT, **KEY}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        stack.callback(running.communicate)
        stack.callback(running.kill)
        until(out, 3, running)
        hosts.plug(2, "down")
        until(out, len(rows(out, "far")) + 5, running)  # the other one does it all
        hosts.plug(2, "up")
        until(out, len(rows(out, "far")) + 5, running)
        for host in (2, 3):
            hosts.plug(host, "down")
        time.sleep(4)
        before = len(rows(out, "far"))
        time.sleep(6)
        assert len(rows(out, "far")) == before < ITERATIONS
        for host in (2, 3):
            hosts.plug(host, "up")
        said = running.communicate(timeout=600)[0]
    assert running.returncode == 0, said
    found = rows(out, "far")
    assert [row["step"] for row in found] == list(range(1, ITERATIONS + 1))
    assert {row["staleness"] for row in found} == {0.0}
    assert max(float(str(row["rollout_gap"])) for row in found) < 1e-4
