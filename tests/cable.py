"""A cable to PostgreSQL that can be cut: a proxy on this machine, for what needs no other host.

It closes connections, or refuses them, or loses the reply to a COMMIT. It cannot lose packets: for
that there are network namespaces (`hosts.py`).
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from sqlalchemy import URL, make_url

CHUNK = 65_536
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As a message of PostgreSQL's protocol."""


class Cable:
    """Leads from a port of this machine to the server of a database (on a Unix socket)."""

    def __init__(self, place: str) -> None:
        self._to = make_url(place)
        folder = str(self._to.query["host"])
        self._server = next(str(path) for path in Path(folder).glob(".s.PGSQL.*[0-9]"))
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._port = 0
        self._mute: set[socket.socket] = set()
        self.losing = 0
        """Of so many COMMITs to come the reply is lost, and the connection with it."""
        self.lost = 0

    @property
    def url(self) -> str:
        """The database's address at this end."""
        at = URL.create(
            "postgresql", self._to.username, host="127.0.0.1", port=self._port,
            database=self._to.database,
        )  # fmt: skip
        return at.render_as_string(hide_password=False)

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def mend(self) -> None:
        """Take connections, at the same port as ever."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Close all connections, and refuse new ones."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            _close(end)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._server)
            with self._lock:
                self._ends += [near, far]
            for work in (self._forth, self._back):
                threading.Thread(target=work, args=(near, far), daemon=True).start()

    def _forth(self, near: socket.socket, far: socket.socket) -> None:
        """From the client to the server; of a COMMIT whose reply is to be lost, see to that."""
        with suppress(OSError):
            while data := near.recv(CHUNK):
                with self._lock:
                    lose = self.losing > 0 and COMMIT in data
                    self.losing -= lose
                    self.lost += lose
                    if lose:
                        self._mute.add(far)
                far.sendall(data)
        _close(near)
        with suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _back(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while (data := far.recv(CHUNK)) and far not in self._mute:
                near.sendall(data)
        _close(near)
        _close(far)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
