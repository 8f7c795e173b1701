"""Hosts with an address each, on one switch: network namespaces, whose cables can be cut."""

from __future__ import annotations

import os
import subprocess

import pytest

NET = "10.77.0"


class Hosts:
    """So many hosts with an address each (`NET`.1, .2, ...), on one switch."""

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
        """Cut a host's cable (`down`), or mend it (`up`). The host itself sees that it is cut."""
        ip("-n", self.name, "link", "set", f"port{host}", state)

    def silence(self, host: int) -> None:
        """Let all packets from a host and to it be lost in the switch; no host sees that."""
        ip("-n", self.name, "link", "set", f"port{host}", "nomaster")

    def hear(self, host: int) -> None:
        """Mend what `silence` did."""
        ip("-n", self.name, "link", "set", f"port{host}", "master", "switch")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def hosts_or_skip(count: int) -> Hosts:
    """So many hosts, to be entered; skips the test where namespaces are not to be had."""
    try:
        Hosts(0).__enter__().__exit__()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here (ip netns, as root): {error}")
    return Hosts(count)
