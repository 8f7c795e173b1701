"""The labelling page of a run that waits for people: a server in a process of its own.

A process of its own, so that training and pages never share an interpreter, and so that it can be
started again when it dies. A server that an earlier, killed run left behind is found and used, if
it serves the same project of the same store.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

from heed.errors import UserError
from heed.feedback.people import Desk, Page, nobody
from heed.recipe import People
from heed.store import projects
from heed.store.database import Store, masked

START_SECONDS = 60.0
PORTS_TRIED = 50


def open_desk(settings: People) -> Desk:
    """A desk that serves with these settings, or leaves that to another host."""
    return partial(_serve, settings) if settings.serve else nobody


@contextmanager
def _serve(settings: People, place: str, project: str) -> Iterator[Page]:
    server = LabelServer(settings, place, project)
    try:
        server.keep_alive()
        yield server
    finally:
        server.stop()


class LabelServer:
    """`heed label` on one project of a store."""

    def __init__(self, settings: People, place: str, project: str) -> None:
        self.settings = settings
        self.place = place
        self.project = project
        self.port = settings.port
        self.uid = _uid(place, project)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What people type into a browser; all addresses of the machine are shown as its name."""
        host = self.settings.host
        return self._at(socket.gethostname() if host in {"", "0.0.0.0", "::"} else host)

    def _at(self, host: str) -> str:
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def keep_alive(self) -> None:
        """Serve, unless somebody does.

        Raises UserError where the server does not come up.
        """
        if self.process is None:
            if self._answers():
                return
            self.port = _free_port(self.settings.host, self.port)
        elif self.process.poll() is None:
            return
        self.process = subprocess.Popen(
            self._command(),
            env={**os.environ, "HEED_STORE": self.place},
            stdout=sys.stderr.fileno(),
        )
        self._wait(self.process)

    def stop(self) -> None:
        """End the server that was started here; another's is left alone, and said to run on."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        elif self._answers():
            sys.stderr.write(f"A server that was there before runs on at {self.address}.\n")

    def _command(self) -> list[str]:
        """The store's address travels in the environment: it may hold a password."""
        options = ["--project", self.project, "--host", self.settings.host]
        options += ["--port", str(self.port), "--no-open"]
        options += ["--accounts"] if self.settings.accounts else []
        return [sys.executable, "-m", "heed", "label", *options]

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise UserError(
                    f"The labelling page did not come up at {self.address}. Start it yourself to "
                    f"see why: heed label --store {masked(self.place)} --project {self.project}."
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether a server of this project of this store listens here, as guarded as is wanted."""
        try:
            with urlopen(f"{self._at(self.settings.host)}/health", timeout=2) as reply:
                told = json.load(reply)
        except (URLError, OSError, ValueError, HTTPException):
            return False
        if not isinstance(told, dict) or told.get("uid") != self.uid:
            return False
        return bool(told.get("accounts")) or not self.settings.accounts


def _uid(place: str, project: str) -> str:
    """The random id of the project in the store at this place.

    Raises UserError where the store cannot be opened or has no such project.
    """
    with closing(Store.open(place)) as store, store.read() as session:
        found = projects.find(session, project)
    if found is None:
        raise UserError(f"The store {masked(place)} has no project {project!r} to compare.")
    return found.uid


def _free_port(host: str, first: int) -> int:
    for port in [*range(first, min(first + PORTS_TRIED, 65_536)), 0]:
        try:
            family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(place)
                return int(listener.getsockname()[1])
        except OSError:
            continue
    raise UserError(f"No port of {host} is free from {first} on; set people.port.")
