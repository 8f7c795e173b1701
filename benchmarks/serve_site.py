"""`heed serve` as a process of its own, until the block ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_SECONDS = 180.0
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Server:
    """A server that runs: where, and as which process."""

    address: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"{self.address}/v1"

    def memory(self) -> tuple[int, int]:
        """Bytes of memory that it has now, and the most it ever had."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
        now, most = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return now, most

    def counted(self) -> dict[str, float]:
        """What /metrics says, by name and labels as they are written there."""
        with urlopen(f"{self.address}/metrics") as reply:
            lines = reply.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


@contextmanager
def served(words: Sequence[str], log: Path) -> Iterator[Server]:
    """`heed serve` with these arguments, on a free port."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "heed", "serve", *words, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **ENVIRONMENT}, stdout=output, stderr=output
        )
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield Server(f"http://127.0.0.1:{port}", process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    late = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > late:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        try:
            with urlopen(address):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
