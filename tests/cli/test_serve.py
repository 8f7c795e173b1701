"""`heed serve`: what it makes of its words and options, and a whole server as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from toy_run import toy_run
from typer.testing import CliRunner

from heed.cli import served
from heed.cli.main import app
from heed.errors import UserError


@pytest.fixture
def run(tmp_path: Path, toy_lm: Callable[..., Any]) -> Path:
    return toy_run(tmp_path / "toy", toy_lm)


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["serve", *words])
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_a_run_stands_for_all_its_policies_and_names_may_be_others(run: Path) -> None:
    assert served.named([str(run)]) == {"base": f"{run}:base", "sft": f"{run}:sft"}
    assert served.named([f"chat={run}:sft", f"{run}:base"]) == {
        "chat": f"{run}:sft", "base": f"{run}:base"
    }  # fmt: skip
    assert list(served.named([f"last={run}"])) == ["last"]


def test_what_cannot_be_served_is_told(run: Path, tmp_path: Path) -> None:
    assert "Nobody is named" in refused()
    assert "is there twice" in refused(str(run), f"{run}:sft")
    assert "cannot be called so" in refused(f"a:b={run}:sft")
    assert "no run and no model" in refused(str(tmp_path / "nothing"))
    assert "no weights of its own" in refused("far=http://127.0.0.1:9#m", "--port", "0")


def test_options_without_an_effect_are_refused(run: Path, tmp_path: Path) -> None:
    assert "it takes keys" in refused(str(run), "--host", "0.0.0.0")
    assert "goes with --add-key" in refused(str(run), "--admin")
    assert "--tries has no effect without --guardrail" in refused(str(run), "--tries", "2")
    assert "--project has no effect without --store" in refused(str(run), "--project", "p")
    assert "name it with --keys" in refused("--add-key", "ann")
    assert "give 2 or more" in refused(str(run), "--best-of", "1")
    assert "--reward scores answers for" in refused(str(run), "--reward", f"{run}:reward")
    assert "name a stage of a run" in refused(str(run), "--best-of", "2", "--reward", "reward")
    assert "Cannot read the keys" in refused(str(run), "--keys", str(tmp_path / "none.txt"))


def test_the_runs_own_reward_is_asked_where_none_is_named(run: Path) -> None:
    words = list(served.named([str(run)]).values())
    offered = served.offer(words, None, 4, -0.5, 3, "no")
    assert offered.suffixes == ["best-of-4", "guardrail"]
    assert offered.scorer is not None
    assert offered.scorer.name == "reward"
    with pytest.raises(UserError, match="--reward RUN:STAGE"):
        served.offer([f"{run}/sft/policy", "http://127.0.0.1:9#m"][1:], None, 4, None, 3, "no")


@pytest.mark.slow
def test_a_server_from_its_start_to_its_end(run: Path, tmp_path: Path) -> None:
    keys, store = tmp_path / "keys.txt", tmp_path / "feedback.db"
    made = CliRunner().invoke(app, ["serve", "--add-key", "ann", "--admin", "--keys", str(keys)])
    assert made.exit_code == 0
    key = made.stdout.strip()
    port = _free_port()
    command = [sys.executable, "-m", "heed", "serve", str(run), "--port", str(port),
               "--keys", str(keys), "--store", str(store), "--best-of", "2"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        told = ""
        while "curl" not in told:
            assert process.stderr is not None
            told += process.stderr.readline()
            assert process.poll() is None, told
        assert "base, sft, base:best-of-2, sft:best-of-2 at http://127.0.0.1:" in told
        where = f"http://127.0.0.1:{port}"
        body = {"model": "sft:best-of-2", "messages": [{"role": "user", "content": "yes ?"}]}
        reply = _post(f"{where}/v1/chat/completions", body, key)
        said = {"id": reply["id"], "thumb": "up"}
        assert _post(f"{where}/v1/feedback", said, key)["new"]
        process.send_signal(signal.SIGHUP)
        late = time.monotonic() + 20
        while _get(f"{where}/health")["models"] != {"base": 2, "sft": 2}:
            assert time.monotonic() < late
            time.sleep(0.05)
        with pytest.raises(HTTPError):
            _post(f"{where}/v1/chat/completions", body, "heed-wrong")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "Stopped." in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def _post(address: str, body: Any, key: str) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    with urlopen(Request(address, json.dumps(body).encode(), headers)) as reply:
        return json.load(reply)


def _get(address: str) -> Any:
    with urlopen(address) as reply:
        return json.load(reply)


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
