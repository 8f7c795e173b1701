"""The generated pages say of the program what it is."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from docs.keys import ROOTS, _paths
from docs.shrunk import shrunk

from docsite import hooks
from docsite.command_line import command_line, verbs
from docsite.measures import measures
from docsite.modules import modules
from docsite.pages import reference
from docsite.settings import settings
from heed.cli.main import app
from heed.report.measures import METRICS, QUALITY

PAGE = settings()


def row(key: str) -> str:
    """What the page says of a setting, as text."""
    found = re.search(rf'<dt id="{re.escape(key)}">(.*)</dd>', PAGE)
    assert found, key
    return unescape(re.sub(r"<[^>]+>", "", found[1]))


def test_every_setting_has_a_row() -> None:
    groups = ("optim", "sampling", "lora")
    for kind, model in ROOTS.items():
        for path in _paths(model):
            inside = path.split(".")
            if not any(part in groups for part in inside[:-1]) and inside[0] != "stages":
                row(f"{kind}.{path}" if kind else path)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("ppo.kl.coef", "kl.coef number at least 0 · default 0.05"),
        ("ppo.kl.target", "number above 0 or null · default null"),
        ("seed", "whole number · default 0"),
        ("dtype", "auto or float32 or bfloat16 · default auto"),
        ("sft.lora", "see Lora · default null"),
        ("grpo.kl.coef", "default 0.04"),
        ("Optimisation.betas", "list of number · default [0.9, 0.95]"),
        ("collect.heldout", "whole number above 0"),
        ("gates.kl.budget", "default 10.0"),
    ],
)
def test_a_row_says_type_and_default(key: str, said: str) -> None:
    assert said in row(key)


def test_what_a_stage_has_of_a_group_differently_is_said() -> None:
    assert "see Sampling" in row("evaluate.sampling")
    assert "<code>seed</code>" in PAGE


def test_every_verb_has_its_options() -> None:
    import typer

    page = unescape(command_line())
    for name, command in verbs(typer.main.get_command(app), "heed"):
        (section,) = re.findall(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        for each in command.params:
            assert (
                each.name == "help"
                or any(option in section for option in each.opts)
                or (each.param_type_name == "argument")
            ), f"{name}: {each.opts}"
    assert "[dim]" not in page


def test_measures_and_modules_are_all_there() -> None:
    page = measures()
    assert all(f"`{name}`" in page for name in [*QUALITY, *METRICS])
    pages = modules()
    assert "::: heed.stats.intervals" in pages["modules/stats.md"]
    assert "::: heed.run" in pages["modules/heed.md"]
    assert not any("::: heed.cli" in page or "._" in page for page in pages.values())


def test_a_page_that_is_awaited_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "AWAITED", ("data.md",))
    nav = [{"Parts": [{"Data": "data.md"}, {"Costs": "costs.md"}]}, {"All": hooks.MODULES}]
    first, second = hooks._placed(nav, tmp_path)
    assert first == {"Parts": [{"Costs": "costs.md"}]}
    assert second["All"] == [path for path in reference() if "/modules/" in path]


def test_a_shrunk_recipe_has_the_same_stages() -> None:
    text = (
        "name: x\nstages:\n  - records: {corpus: 40000, documents: 9000}\n"
        "  - retrieval: {documents: records}\n"
        "  - rounds: {times: 2, stages: [collect, {reward: {epochs: 9}}]}\n  - report\n"
    )
    small = shrunk("x", text)
    assert "corpus: 600" in small
    assert "documents: 60" in small
    assert "documents: records" in small
    assert "epochs: 1" in small
    assert small.index("collect") < small.index("reward") < small.index("report")
