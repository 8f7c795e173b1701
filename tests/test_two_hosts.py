"""A trainer and its rollout servers as three hosts (network namespaces), and the network cut."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from killed import ENVIRONMENT, Killer, rows
from test_kill_ahead import RECIPE

from benchmarks.rollout_servers import KEY, Served

ITERATIONS = 60
NET = "10.77.0"
FAR = f"""\
  - rloo: {{name: far, iterations: {ITERATIONS}, rollouts: 16, sampling: {{max_new_tokens: 16}},
           servers: {{addresses: ["http://{NET}.2:8001", "http://{NET}.3:8001"],
                     timeout: 3.0, tries_again: 30}}}}
"""


class Hosts:
    """So many hosts with an address each, on one switch."""

    def __init__(self, count: int) -> None:
        self.name = f"heed{os.getpid()}"
        self.names = [f"{self.name}-{at}" for at in range(1, count + 1)]

    def __enter__(self) -> Hosts:
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "add", "switch", "type", "bridge")
        ip("-n", self.name, "link", "set", "switch", "up")
        for at, host in enumerate(self.names, 1):
            ip("netns", "add", host)
            ip("-n", self.name, "link", "add", f"port{at}", "type", "veth", "peer", "name", "eth0",
               "netns", host)  # fmt: skip
            ip("-n", self.name, "link", "set", f"port{at}", "master", "switch", "up")
            ip("-n", host, "address", "add", f"{NET}.{at}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                ip("-n", host, "link", "set", device, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*self.names, self.name]:
            ip("netns", "delete", name)

    def inside(self, host: int) -> list[str]:
        """The words before a command that is to run on a host."""
        return ["ip", "netns", "exec", self.names[host - 1]]

    def plug(self, host: int, state: str) -> None:
        """Cut a host's cable (`down`), or mend it (`up`)."""
        ip("-n", self.name, "link", "set", f"port{host}", state)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    try:
        probe = Hosts(0).__enter__()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here (ip netns, as root): {error}")
    probe.__exit__()
    with Hosts(3) as made:
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
