"""Every command, option, recipe and setting that a page names exists; nothing is run here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs.blocks import ROOT, Block, blocks, blocks_of, inline, pages
from docs.commands import OTHERS, PROGRAM, check, check_heed, lines, parts
from docs.workshop import write_files

from docs import keys
from docsite.command_line import command_line, verbs

HISTORY = ("docs/log.md", "docs/architecture.md")
"""Pages that also speak of what was once: only their commands are looked at."""
FOREIGN = ("--nproc-per-node", "--set", "--simulations", "--dist", "--allow", "--only",
           "--strength", "--replays", "--seeds", "--figure")  # fmt: skip
"""Options of torchrun, of benchmarks and of tests."""
NO_SETTING = ("mine: true",)
PAGES = pages()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that pages name."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def page(request: Any) -> Path:
    found: Path = request.param
    return found


def test_commands_could_be_given(page: Path) -> None:
    for block in blocks(page):
        for line in lines(block):
            check(line)


def test_recipes_in_pages_are_read(page: Path, folder: Path) -> None:
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        if keys.is_recipe(block) and not block.not_run:
            keys.check_yaml(block, folder)


def test_python_and_json_are_such(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, block.place, "exec")
        if block.language == "json":
            for line in block.text.splitlines():
                json.loads(line)


def test_inline_commands_and_options_exist(page: Path) -> None:
    options = {option for _, command in verbs(PROGRAM, "heed") for each in command.params
               for option in (*each.opts, *each.secondary_opts)}  # fmt: skip
    for code, line in inline(page):
        place = f"{page.relative_to(ROOT)}:{line}"
        words = code.split()
        if words[:1] == ["heed"] and len(words) > 1 and words[1].islower():
            _complete_or_not(code, place)
        if words and re.match(r"^--[a-z]", words[0]):
            option = words[0].split("=")[0].rstrip(",")
            assert option in options or option in FOREIGN, f"{place}: no verb has {option}"


def _complete_or_not(code: str, place: str) -> None:
    """In a sentence a command may lack what is clear from it."""
    try:
        check_heed(next(iter(parts(code)))[1][1:], place)
    except AssertionError as error:
        if "Missing" not in str(error) and "requires an argument" not in str(error):
            raise


def test_settings_in_sentences_exist(page: Path) -> None:
    if str(page.relative_to(ROOT)) in HISTORY:
        return
    wrong = {code: found for code, _ in inline(page)
             if code not in NO_SETTING and (found := keys.unknown(code))}  # fmt: skip
    assert not wrong


def test_what_verbs_say_of_themselves_could_be_given() -> None:
    examples = [
        line for block in blocks_of(command_line(), "command-line") for line in lines(block)
    ]
    assert len(examples) >= 10
    for line in examples:
        check(line)
    assert not re.search(r"Examples?:", command_line())
    shown = [line.text for line in examples]
    assert "heed report runs/demo runs/tight --out tight.html" in shown
    assert "heed export runs/demo:reward exports/demo-reward" in shown


def _wrong() -> Iterator[tuple[str, str]]:
    yield "heed rum quickstart", "no verb"
    yield "heed run quickstrat", "No recipe is named"
    yield "heed run quickstart --set ppo.kl.cof=0.1", "cof"
    yield "heed run quickstart --ot runs/x", "--ot"
    yield "heed run", "Missing"
    yield "heed label a.jsonl --per-item many", "per-item"
    yield "heed prefs imprt x.jsonl", "imprt"
    yield "python -m heed run nothing", "No recipe"
    yield "OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m heed run nothing", "No recipe"
    yield "cat x | heed sampel y", "no verb"
    yield "make nothing", "Makefile"


@pytest.mark.parametrize(("command", "said"), list(_wrong()))
def test_wrong_commands_are_found(command: str, said: str) -> None:
    block = Block("page", 1, "sh", command)
    with pytest.raises((AssertionError, Exception), match=re.escape(said)):
        check(lines(block)[0])


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("ppo.kl.coef", ""), ("kl.coef", ""), ("ppo.kl.cof", "ppo.kl.cof"), ("report.html", ""),
        ("loss: dpo", ""), ("los: dpo", "los"), ("stats.cycles", ""), ("world.seed", ""),
        ("world.sed", "world.sed"), ("gates.sign.action", ""),
    ],
)  # fmt: skip
def test_wrong_settings_are_found(code: str, wrong: str) -> None:
    assert keys.unknown(code) == wrong


def test_a_block_knows_its_mark_and_its_title() -> None:
    text = (
        "<!-- not run: waits\nfor people -->\n\n```sh\nheed label a.jsonl\n```\n\n"
        '```yaml title="mine.yaml"\nname: mine\n```\n\n    heed recipes\n'
    )
    first, second, third = blocks_of(text, "page")
    assert (first.not_run, second.not_run, second.title) == ("waits for people", "", "mine.yaml")
    assert [line.text for line in lines(third)] == ["heed recipes"]


def test_comments_pipes_and_addresses_are_told_apart() -> None:
    said = "heed run hh --set a=b/  # a word\nheed world prompts | head -3 > x.txt\nheed compare a http://h/v1#m"
    first, second, third = lines(Block("page", 1, "sh", said))
    assert first.parts == (("", ("heed", "run", "hh", "--set", "a=b/")),)
    assert [operator for operator, _ in second.parts] == ["", "|", ">"]
    assert third.parts[0][1][-1] == "http://h/v1#m"
    assert {"heed"} & set(OTHERS) == set()
