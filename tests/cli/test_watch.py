"""`heed watch` in the terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from report.live_run import Growing
from rich.console import Console
from typer.testing import CliRunner

from heed.cli import watch as verb
from heed.cli.main import app
from heed.cli.plots import braille
from heed.report.live import Watch

runner = CliRunner()


@pytest.fixture
def run(tmp_path: Path) -> Growing:
    run = Growing(tmp_path / "run")
    run.prepare()
    run.done("records")
    run.done("sft", 75.0, stopped=7)
    run.begin("ppo", iterations=40)
    for step in range(1, 11):
        run.log("ppo", step, proxy=step / 10, gold=1.0, kl=0.1 * step, entropy=2.0, length=9.0)
    run.find("records", "leakage", "Nothing stands twice.", step=None, tripped=False)
    return run


def said(*words: str) -> str:
    result = runner.invoke(app, ["watch", *words], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.stdout


def shown(run: Growing, width: int, height: int) -> list[str]:
    """A frame as it stands in a window of that size."""
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True)
    console.print(verb.picture(Watch(run.directory).look(), console))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip().split("\n")


def test_one_frame_says_how_far_it_is(run: Growing) -> None:
    run.draw("ppo", 10, "First\nsecond.", finished=False)
    run.find("ppo", "kl", "It is too far.", step=9, tripped=True)
    with run.running():
        text = said(str(run.directory), "--once")
    assert re.search(r"^demo  running$", text, re.M)
    assert re.search(r"✓  sft .*1 min 15 s  stopped by a gate at iteration 7|"
                     r"✓  sft .*75\.0 s  stopped by a gate at iteration 7", text)  # fmt: skip
    assert re.search(r"▶  ppo .*10/40 +20\.0 s  60\.0 s left", text)
    assert re.search(r"·  evaluate", text)
    assert "Proxy reward  1.00 score" in text
    assert "0.10 to 1.00, iteration 1 to 10" in text
    assert "Gate kl tripped in ppo at iteration 9. It is too far." in text
    assert "Gates: 1 asked without a finding." in text
    assert "Answers that ppo drew at iteration 10" in text
    assert "  First second. (cut)" in text
    assert "reward 0.50  KL 1.25 nats" in text
    assert "heed run goes on with it" in said(str(run.directory)), "no terminal: one frame"


def test_what_is_not_begun_or_no_run(tmp_path: Path) -> None:
    assert "not begun yet" in said(str(tmp_path / "nothing"), "--once")
    (tmp_path / "recipe.yaml").write_text("- a")
    result = runner.invoke(app, ["watch", str(tmp_path), "--once"])
    assert result.exit_code == 2
    assert "is no recipe as heed run writes it" in result.stderr


def test_another_stage_may_be_shown(run: Growing) -> None:
    run.log("sft", 1, nll=3.0)
    assert "Curves of ppo" in said(str(run.directory), "--once")
    assert "Curves of sft" in said(str(run.directory), "--once", "--stage", "sft")
    result = runner.invoke(app, ["watch", str(run.directory), "--once", "--stage", "dpo"])
    assert result.exit_code == 2
    assert "has no stage 'dpo'. It has records, sft" in result.stderr


@pytest.mark.parametrize(
    "words", [["--port", "1"], ["--web", "--once"], ["--web", "--stage", "ppo"], ["--host", "x"]]
)
def test_a_word_without_effect_is_refused(run: Growing, words: list[str]) -> None:
    assert runner.invoke(app, ["watch", str(run.directory), *words]).exit_code == 2


def test_hostile_answers_do_not_reach_the_terminal(run: Growing) -> None:
    run.draw("ppo", 10, "\x1b]0;owned\x07\x1b[2J[bold]\x9b2J", prompt="[link=x]\u202e\r")
    text = said(str(run.directory), "--once")
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}
    assert "[bold]" in text
    assert "[link=x]" in text


@pytest.mark.parametrize(("width", "height"), [(120, 50), (80, 24), (60, 20), (40, 12), (20, 8)])
def test_a_frame_fits_its_window(run: Growing, width: int, height: int) -> None:
    for number in range(4):
        run.draw("ppo", 10, f"Answer {number} " * 40)
    lines = shown(run, width, height)
    assert "demo" in lines[0]
    if height >= 24:
        assert len(lines) < height
        assert any("Proxy reward" in line for line in lines)
    assert max(map(len, lines)) <= width


def test_of_many_stages_those_that_matter_stand_there(tmp_path: Path) -> None:
    stages = [{"sft": {"name": f"sft-{number}"}} for number in range(30)]
    run = Growing(tmp_path / "run", stages)
    run.prepare()
    for number in range(12):
        run.done(f"sft-{number}")
    run.begin("sft-12", iterations=4)
    lines = shown(run, 100, 24)
    assert [line.split()[1] for line in lines if "sft-" in line] == [
        f"sft-{number}" for number in range(9, 16)
    ]
    assert any("12 of 30 done" in line for line in lines)


@pytest.mark.slow
def test_in_a_real_terminal_it_follows_and_ends_quietly(run: Growing) -> None:
    with run.running(), watching(run.directory) as terminal:
        terminal.wait_for("10/40")
        run.log("ppo", 11, proxy=2.0)
        terminal.wait_for("11/40")
        terminal.child.send_signal(signal.SIGINT)
        assert terminal.child.wait(30) == 0
    assert "Traceback" not in terminal.text


@pytest.mark.slow
def test_it_waits_for_a_run_and_ends_with_it(tmp_path: Path) -> None:
    run = Growing(tmp_path / "later")
    with watching(run.directory) as terminal:
        terminal.wait_for("Waiting for heed")
        run.prepare()
        for name in run.names:
            run.done(name)
        terminal.wait_for("finished")
        assert terminal.child.wait(30) == 0


@contextmanager
def watching(directory: Path) -> Iterator[_Terminal]:
    """`heed watch` in a terminal of its own, which does not outlive the block."""
    terminal = _Terminal(["watch", str(directory)])
    try:
        yield terminal
    finally:
        terminal.child.kill()
        terminal.child.wait()


class _Terminal:
    """`heed` in a terminal of its own, what it writes read by a thread."""

    def __init__(self, words: list[str]) -> None:
        self.text = ""
        ours, theirs = pty.openpty()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "heed", *words], stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env={**os.environ, "COLUMNS": "120", "LINES": "40",
                                         "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        os.close(theirs)
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()

    def _read(self, descriptor: int) -> None:
        while True:
            try:
                select.select([descriptor], [], [])
                self.text += os.read(descriptor, 65536).decode("utf-8", "replace")
            except OSError:
                return

    def wait_for(self, words: str) -> None:
        end = time.monotonic() + 90
        while words not in self.text:
            assert self.child.poll() is None or words in self.text, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.05)


def test_braille_by_hand() -> None:
    # Four columns of dots in one row of cells: 0, 1, 2, 3 from below.
    assert braille([0, 1, 2, 3], [0, 1, 2, 3], 2, 1) == [chr(0x2800 + 0x40 + 0x20)
                                                        + chr(0x2800 + 0x02 + 0x08)]  # fmt: skip
    assert braille([0, 3], [0, 3], 2, 1) == braille([0, 1, 2, 3], [0, 1, 2, 3], 2, 1)
    (flat,) = braille([0, 1], [5, 5], 1, 1)
    assert ord(flat) - 0x2800 in {0x02 + 0x10, 0x04 + 0x20}
    point = braille([4], [1], 3, 2)
    assert sum(bin(ord(cell) - 0x2800).count("1") for line in point for cell in line) == 1
    assert all(len(line) == 3 for line in point)


def test_a_steep_rise_is_a_line_without_holes() -> None:
    lines = braille([0, 1, 2, 3], [0, 0, 1, 1], 2, 3)
    dots = [bin(ord(line[1]) - 0x2800).count("1") for line in lines]
    assert sum(dots) == 12 - 1 + 1, "from the bottom to the top, and one dot beside it"
