"""One process at a time in a directory."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heed.errors import UserError
from heed.lock import in_use, locked


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from heed.lock import locked\n"
        f"with locked(Path({str(tmp_path)!r})):\n"
        "    print('held', flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"in use by process {other.pid}"), locked(tmp_path):
            pass
        assert in_use(tmp_path)
        other.kill()
    assert not in_use(tmp_path)
    assert not in_use(tmp_path / "nothing")
    with locked(tmp_path):
        pass


def test_a_glance_at_the_lock_keeps_nobody_out(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    with (tmp_path / ".lock").open("rb") as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        ends = threading.Timer(0.02, lambda: fcntl.flock(glance, fcntl.LOCK_UN))
        ends.start()
        with locked(tmp_path):
            assert in_use(tmp_path)
        ends.join()
