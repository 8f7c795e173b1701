"""`heed plan --on`: a plan for hardware that is not here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from heed.cli.main import app
from heed.cli.plan_on import HEADS
from heed.config import load_recipe
from heed.planning.ranks import RankMemory
from heed.planning.shapes import SHAPES

WIDE = 80


@pytest.fixture
def heed(tiny_settings: list[str]) -> Callable[..., Result]:
    overrides = [word for setting in tiny_settings for word in ("--set", setting)]
    return lambda *words: CliRunner().invoke(app, ["plan", "quickstart", *overrides, *words])


def test_the_pages_are_80_columns_and_name_every_stage(heed: Callable[..., Result]) -> None:
    result = heed("--on", "h200", "--shape", "0.5B", "--devices", "8", "--nodes", "2")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= WIDE
    assert lines[0] == "quickstart at 0.5B on 2 x 8 h200"
    head = next(at for at, line in enumerate(lines) if line.startswith("stage"))
    names = [stage.name[:11] for stage in load_recipe("quickstart").stages]
    assert [line.split()[0] for line in lines[head + 1 : head + len(names) + 2]] == [*names, "all"]
    assert len(HEADS) == len(RankMemory().to_json())
    assert "Training reaches 40%" in result.output.replace("\n", " ")


def test_what_it_says_in_json(heed: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "mine.yaml"
    page.write_text("kind: rtx-4090\ndevices: 2\nprice: 0.5\ncurrency: EUR\n")
    told = json.loads(heed("--on", str(page), "--price", "2", "--json").stdout)
    assert (told["hardware"], told["devices"], told["currency"]) == ("mine", 2, "EUR")
    totals = told["totals"]
    assert totals["money"] == pytest.approx(totals["hours"] * 2 * 2)
    assert totals["labels"] == 80
    ppo = next(each for each in told["stages"] if each["name"] == "ppo")
    assert ppo["fits"]
    assert ppo["least"] == 1
    assert ppo["rates"]["sampled"] > 0
    assert sum(ppo["memory"].values()) >= ppo["held"] > 0


def test_what_does_not_fit_says_how_many_devices_would_do(heed: Callable[..., Result]) -> None:
    result = heed("--on", "h100-80", "--shape", "70B", "--devices", "8")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "8 x h100-80 of 72.0 GiB are not enough." in said
    assert re.search(r"dpo would hold [\d.]+ GiB a device. It would with .*\d+ devices\.", said)
    assert "It is one process, so more devices do not help." in said
    assert result.stdout.startswith("quickstart at 70B on 1 x 8 h100-80")


def test_what_does_not_fit_says_what_setting_would_do(heed: Callable[..., Result]) -> None:
    result = heed("--on", "h100-80", "--shape", "7B", "--devices", "8")
    said = " ".join(result.stderr.split())
    told = (
        r"ppo would hold [\d.]+ GiB a device. It would with 'ppo.lora={rank: 16}', or 16 devices."
    )
    assert re.search(told, said)


def test_mistakes_are_one_paragraph(heed: Callable[..., Result], tmp_path: Path) -> None:
    for words, said in (
        (("--on", "h2000"), "no kind of device that is known"),
        (("--on", "h200", "--shape", "8B"), ", ".join(SHAPES)),
        (("--on", "h200", "--like", str(tmp_path)), "without --on"),
        (("--shape", "7B"), "say --on NAME"),
        (("--devices", "7"), "say --on NAME"),
    ):
        result = heed(*words)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
