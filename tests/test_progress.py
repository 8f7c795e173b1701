"""The progress of long work, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from heed.progress import LINES, Display, _rate


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_log_gets_a_line_every_tenth_of_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("sft", 200, ["nll", "gold"]) as bar:
        for done in range(1, 201):
            bar(done, {"nll": 200 / done, "lr": 1.0})
    printed = capsys.readouterr()
    assert printed.out == ""
    found = lines(printed.err)
    assert len(found) == LINES
    assert found[0].startswith("sft        20/200  ")
    assert found[0].endswith(" s left  nll 10")
    assert found[-1].startswith("sft        200/200  ")
    assert "  0 s left  nll 1" in found[-1]


def test_uneven_steps_neither_swallow_nor_repeat_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("collect", 100) as bar:
        for done in (0, 0, 7, 13, 13, 13, 29, 64, 64, 100):
            bar(done)
    assert [line.split()[1] for line in lines(capsys.readouterr().err)] == [
        "13/100",
        "29/100",
        "64/100",
        "100/100",
    ]


def test_few_steps_are_all_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("dpo", 3) as bar:
        for done in (1, 2, 3):
            bar(done)
    assert len(lines(capsys.readouterr().err)) == 3


def test_an_invisible_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("dpo", 3, visible=False) as bar:
        bar(1, {"loss": 1.0})
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_rate_and_numbers() -> None:
    screen = io.StringIO()
    display = Display("ppo", 4, ["proxy"])
    display.console = Console(file=screen, force_terminal=True, width=120)
    with display as bar:
        for done in (1, 2, 3, 4):
            bar(done, {"proxy": 0.25})
    shown = screen.getvalue()
    assert "ppo" in shown
    assert "4/4" in shown
    assert "proxy 0.25" in shown
    assert "left" in shown


def test_a_slow_rate_is_told_in_seconds() -> None:
    assert _rate(12.34) == "12.3/s"
    assert _rate(0.5) == "2.0 s each"
    assert _rate(0.0) == "0.0/s"


def test_a_first_step_of_many_counts_in_the_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0])
    monkeypatch.setattr("heed.progress.time.monotonic", lambda: next(clock))
    with Display("evaluate", 200, before=0) as bar:
        bar(100)
    assert "100/200  10.0/s  10 s left" in capsys.readouterr().err
