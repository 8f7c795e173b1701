"""`heed label`: from a file of items to a page that is served, and every mistake before it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from heed.cli import label as verb
from heed.cli import tally
from heed.cli.main import app
from heed.errors import UserError
from heed.store import guidelines, projects
from heed.store.database import Store
from heed.web.server import address, is_loopback, listen

runner = CliRunner()
ITEMS = [json.loads(verb.EXAMPLE), {"prompt": "2 + 2?", "answers": ["4", "5"]}]


def write_items(path: Path) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    return path


class Served:
    """A server that was started as a user would."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.said = process.stdout.readline()
        found = re.search(r"http://[^/\s]+(?=/(label|arena)\b)", self.said)
        assert found is not None, self.said + process.communicate()[1]
        self.address = found.group()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        self.rest, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `heed label` on any free port."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> Served:
        command = [sys.executable, "-m", "heed", "label", "--port", "0", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        return Served(process)

    yield start
    for process in running:
        process.kill()
        process.communicate()


def csrf_of(page: str) -> str:
    (found,) = re.findall(r'<meta name="csrf" content="([^"]+)">', page)
    return str(found)


def test_from_a_file_to_a_label(serve: Serve, tmp_path: Path) -> None:
    write_items(tmp_path / "items.jsonl")
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    script.chmod(0o755)
    served = serve("items.jsonl", "--per-item", "2", BROWSER=f"{script} %s")
    assert served.address.startswith("http://127.0.0.1:")
    with httpx2.Client(base_url=served.address) as client:
        csrf = csrf_of(client.get("/label").text)
        task = client.get("/api/next").json()["task"]
        assert sorted(task["texts"]) in [sorted(item["answers"]) for item in ITEMS]
        body = {"lease": task["lease"], "key": "one", "verdict": 2}
        saved = client.post("/api/answers", json=body, headers={"X-CSRF-Token": csrf})
        assert saved.json()["progress"] == {"mine": 1, "left": 1}
    deadline = time.monotonic() + 10
    while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "opened").read_text() == f"{served.address}/label\n"
    code, errors = served.stop()
    assert code == 130
    assert "Stopped. 1 label came in; 1 of the 4 that are wanted are there." in errors
    assert "Traceback" not in errors
    with opened(tmp_path / "feedback.db") as store:
        assert tally.count(store, "default") == tally.Tally(1, 4, 0)


@pytest.mark.slow
def test_with_accounts_the_owner_comes_in_by_a_link_once(serve: Serve, tmp_path: Path) -> None:
    write_items(tmp_path / "items.jsonl")
    served = serve("items.jsonl", "--accounts", "--no-open", HEED_STORE="kept/labels.db")
    (link,) = re.findall(r"http://\S+/join/\S+", served.line())
    assert link.startswith(served.address)
    with httpx2.Client() as client:
        assert client.get(f"{served.address}/label").status_code == 401
        csrf = csrf_of(client.get(link).text)
        joined = client.post(link, data={"csrf": csrf})
        assert joined.headers["location"] == "/guidelines?first=1"
        assert client.get(f"{served.address}/owner").status_code == 200
        token = link.rsplit("/", 1)[1]
        code, errors = served.stop()
        assert code == 130
        assert token not in errors  # no log of addresses
        again = serve("--accounts", "--no-open", "--store", "kept/labels.db")
        assert client.get(f"{again.address}/owner").status_code == 200
        assert again.stop()[0] == 130
        assert again.rest == ""  # no second link: an owner has come in
    lost = serve("--accounts", "--owner-link", "--no-open", "--store", "kept/labels.db")
    (second,) = re.findall(r"http://\S+/join/\S+", lost.line())
    assert second != link
    with httpx2.Client() as client:
        client.post(second, data={"csrf": csrf_of(client.get(second).text)})
        assert client.get(f"{lost.address}/owner").status_code == 200
    assert lost.stop()[0] == 130
    with Store.open(tmp_path / "kept" / "labels.db").read() as session:
        assert projects.find(session, "default") is not None


def test_no_browser_is_started_with_the_link_on_its_command_line(
    serve: Serve, tmp_path: Path
) -> None:
    write_items(tmp_path / "items.jsonl")
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    script.chmod(0o755)
    served = serve("items.jsonl", "--accounts", BROWSER=f"{script} %s")
    (link,) = re.findall(r"http://\S+/join/\S+", served.line())
    with httpx2.Client() as client:
        client.post(link, data={"csrf": csrf_of(client.get(link).text)})
        assert client.get(f"{served.address}/owner").status_code == 200
    served.stop()
    again = serve("--accounts", BROWSER=f"{script} %s")
    deadline = time.monotonic() + 10
    while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "opened").read_text() == f"{again.address}/label\n"


def test_help_comes_without_torch_or_the_server() -> None:
    program = (
        "import sys; from heed.cli.main import app\n"
        "try: app(['label', '--help'])\n"
        "except SystemExit: print('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    told, _, modules = done.stdout.partition("MODULES")
    assert "heed label items.jsonl --per-item 3" in told
    assert not {"torch", "transformers", "fastapi", "sqlalchemy"} & set(modules.split())


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store.open(path)
    yield store
    store.close()


def test_settings_that_are_not_given_stay(tmp_path: Path) -> None:
    given = {"per_item": 3, "gold_rate": 0.1, "order": "mixed", "pay_per_hour": 12.0}
    with opened(tmp_path / "a.db") as store:

        def settings() -> dict[str, Any]:
            with store.read() as session:
                project = projects.find(session, "p")
                assert project is not None
                latest = guidelines.latest(session, project.id)
            kept = {key: getattr(project.settings, key) for key in given}
            return {**kept, "version": latest.version if latest else 0}

        verb._prepare(store, "p", given, "Be fair.")
        assert settings() == {**given, "version": 1}
        verb._prepare(store, "p", dict.fromkeys(given), None)
        assert settings() == {**given, "version": 1}
        verb._prepare(store, "p", {"per_item": 2, "gold_rate": 0.0, "order": None}, "Be fair.")
        assert settings() == {**given, "per_item": 2, "gold_rate": 0.0, "version": 1}
        verb._prepare(store, "p", {}, "Be fairer.")
        assert settings()["version"] == 2
        with pytest.raises(UserError, match=r"Project 'p': .*shares that sum to 1"):
            verb._prepare(store, "p", {"gold_rate": 0.6, "repeat_rate": 0.6}, "Lost.")
        assert settings()["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Project 'default' has nothing to compare yet. Give a file of items"),
        (["--project", "p"], f"such as {verb.EXAMPLE}"),
        (["--host", "0.0.0.0", "--no-accounts"], "--no-accounts goes with a loopback"),
        (["--project", "arena"], "holds the arena's votes and cannot be labelled"),
        (["--arena", "one=there"], "give --arena twice"),
        (["--arena", "one"], "wants NAME=DIRECTORY or NAME=URL, not 'one'"),
        (["--arena", "a=x", "--arena", "a=y"], "the same name twice"),
        (["--guidelines", "rules.md"], "Cannot read the guidelines rules.md: No such file"),
        (["--host", "no.such.host.invalid"], "Cannot listen on no.such.host.invalid, port"),
        (["--host", "192.0.2.1"], "Cannot listen on 192.0.2.1, port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_before_anything_is_made(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["label", "--no-open", "--port", "0", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_other_projects_names_them(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    with opened(path) as store:
        verb._prepare(store, "capitals", {}, None)
    options = ["--store", str(path), "--port", "0", "--project", "other"]
    result = runner.invoke(app, ["label", *options])
    assert result.exit_code == 2
    assert "nothing to compare yet (the store also has: capitals)" in result.stderr


def test_a_bad_file_serves_nothing(tmp_path: Path) -> None:
    path = write_items(tmp_path / "items.jsonl")
    path.write_text(path.read_text() + '{"prompt": "x", "answers": ["one"]}\n')
    store = tmp_path / "feedback.db"
    command = ["label", str(path), "--store", str(store), "--port", "0"]
    result = runner.invoke(app, command)
    assert result.exit_code == 2
    assert "items.jsonl, line 3" in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("feedback.db*"))
    # With --keep-good the same file gets as far as the option after it.
    result = runner.invoke(app, [*command, "--keep-good", "--gold-rate", "0.1"])
    assert result.exit_code == 2
    assert "items: 2" in result.stderr
    assert "--gold-rate 0.1 has no effect" in " ".join(result.stderr.split())
    with opened(store) as kept:
        assert tally.count(kept, "default").wanted == 2


def test_a_store_that_was_there_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    Store.open(path).close()
    for place in (str(path), f"sqlite:///{path}"):
        assert runner.invoke(app, ["label", "--store", place, "--port", "0"]).exit_code == 2
        assert path.exists()
    other = tmp_path / "other.db"
    models = ["--arena", f"a={tmp_path}/none", "--arena", f"b={tmp_path}/none"]
    result = runner.invoke(app, ["label", "--store", f"sqlite:///{other}", "--port", "0", *models])
    assert "no model directory at" in result.stderr
    assert not list(tmp_path.glob("other.db*"))


@pytest.mark.parametrize(
    ("setting", "value", "rows"),
    [
        ("gold_rate", 0.1, [{}, {"known": 1}]),
        ("order", "disagreement", [{"priority": 1.0}, {"priority": 2.0}]),
        ("order", "mixed", [{"priority": 1.0}, {"priority": 2.0}]),
    ],
)
def test_an_option_without_effect_is_refused_and_a_stored_one_warned_of(
    setting: str, value: object, rows: list[dict[str, Any]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    plain = write_items(tmp_path / "items.jsonl")
    better = tmp_path / "better.jsonl"
    lines = [
        json.dumps({**item, **row, "prompt": str(row)})
        for item, row in zip(ITEMS, rows, strict=True)
    ]
    better.write_text("\n".join(lines))
    with opened(tmp_path / "a.db") as store:
        verb._fill(store, "p", str(plain), keep_good=False, arena=False)
        with pytest.raises(UserError, match=r"has no effect on project 'p': .*its items ha"):
            verb._check_effect(store, "p", {setting: value})
        verb._prepare(store, "p", {setting: value}, None)
        capsys.readouterr()
        verb._check_effect(store, "p", {})
        assert "Warning: --" in capsys.readouterr().err
        verb._fill(store, "p", str(better), keep_good=False, arena=False)
        capsys.readouterr()
        verb._check_effect(store, "p", {setting: value})
        assert capsys.readouterr().err == ""


def test_pay_has_a_currency(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as store:
        verb._prepare(store, "p", {"pay_per_hour": 12.0, "currency": "EUR"}, None)
        with store.read() as session:
            project = projects.find(session, "p")
    assert project is not None
    assert (project.settings.pay_per_hour, project.settings.currency) == (12.0, "EUR")


@pytest.mark.slow
def test_an_arena_alone_from_two_directories(serve: Serve, tmp_path: Path, toy_lm: Any) -> None:
    from heed.models.language_model import save_language_model

    for seed in (0, 1):
        save_language_model(toy_lm(seed), tmp_path / f"model-{seed}")
    served = serve("--no-open", "--arena", "one=model-0", "--arena", "two=model-1")
    assert f"{served.address}/arena (there are no items to compare)" in served.said
    with httpx2.Client(base_url=served.address, timeout=60) as client:
        assert client.get("/").headers["location"] == "/arena"
        token = {"X-CSRF-Token": csrf_of(client.get("/arena").text)}
        long = client.post("/api/arena", json={"prompt": "good " * 50}, headers=token)
        assert (long.status_code, long.json()["error"]) == (502, "cannot_answer")
        asked = client.post("/api/arena", json={"prompt": "good ?"}, headers=token)
        assert asked.status_code == 200
        vote = f"/api/arena/{asked.json()['id']}/vote"
        told = client.post(vote, json={"verdict": "left"}, headers=token)
        assert sorted(told.json()["models"]) == ["one", "two"]
    code, errors = served.stop()
    assert code == 130
    assert "Stopped. 1 vote came in; the arena has 1. The same command goes on." in errors
    assert "the model's context holds 64" in errors
    assert "never retrieved" not in errors


def test_ctrl_c_before_the_page_is_up_speaks_of_what_was_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("heed.web.server.listen", stop)
    result = runner.invoke(app, ["label", "--store", str(tmp_path / "a.db")])
    assert result.exit_code == 130
    assert result.stderr.startswith("Stopped. What was saved is kept")


def test_a_port_that_is_taken_names_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} of 127.0.0.1 is taken") as raised:
            listen("127.0.0.1", port)
    (free,) = re.findall(r"--port (\d+)", str(raised.value))
    assert int(free) > port
    with listen("127.0.0.1", int(free)) as sock:
        assert address(sock, "127.0.0.1") == f"http://127.0.0.1:{free}"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True),
        ("0.0.0.0", False), ("", False), ("::", False), ("192.168.1.5", False),
        ("localhost.example.org", False), ("example.org", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert verb._with_accounts(None, open_to_others=not loopback) is not loopback


def test_addresses_that_can_be_typed() -> None:
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert address(sock, "::1") == f"http://[::1]:{port}"
        assert address(sock, "0.0.0.0") == f"http://{socket.gethostname()}:{port}"
