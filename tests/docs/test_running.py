"""Every command of the documentation runs as it stands there, on small things (see shrunk.py)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.blocks import ROOT, Block, blocks, pages
from docs.commands import Line, lines
from docs.running import inside, run_page, small_recipes, why_not
from docs.sharing import Finished, sharing
from docs.shrunk import MORE
from docs.workshop import write_files, write_model

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.run import Run

PREPARED = """\
heed align my-model prefs.jsonl --out runs/mine
heed prefs import prefs.jsonl
"""
"""What pages take for granted beside `runs/demo`: a run of one's own, and a store with labels."""
PAGES = {str(path.relative_to(ROOT)): blocks(path) for path in pages()}
RUN = {
    name: page
    for name, page in PAGES.items()
    if any(
        (block.language == "python" and not block.not_run)
        or any(not why_not(line) for line in lines(block))
        for block in page
    )
}
LEFT_OUT = [
    line for page in PAGES.values() for block in page for line in lines(block) if why_not(line)
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files, the models and the finished run that pages name."""
    folder = tmp_path_factory.mktemp("workshop")
    write_files(folder)
    for name in ("my-model", "model-a", "path/to/model"):
        write_model(folder / name)
    finished = Finished(tmp_path_factory.mktemp("finished"))
    with small_recipes(), sharing(finished), inside(folder):
        carry_out(load_recipe("quickstart"), Path("runs/demo"), fresh=False)
        for name in ("quickstart", "tight"):
            shutil.copytree("runs/demo", f"runs/{name}")
        run_page([Block("workshop", 1, "sh", PREPARED)])
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_run(name: str, workshop: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(workshop, tmp_path / "page")
    with inside(folder):
        run_page(RUN[name])


@pytest.mark.parametrize("line", LEFT_OUT, ids=lambda line: f"{line.block.place} {line.text}"[:90])
def test_what_is_not_run_says_why(line: Line) -> None:
    assert len(why_not(line).split()) >= 2


def test_most_commands_are_run() -> None:
    every = [line for page in PAGES.values() for block in page for line in lines(block)]
    assert len(LEFT_OUT) < len(every) / 2
    assert len(every) > 60


def test_a_command_that_fails_fails(tmp_path: Path) -> None:
    write_files(tmp_path)
    with inside(tmp_path), pytest.raises(AssertionError, match="page:1: heed prefs stats"):
        run_page([Block("page", 1, "sh", "heed prefs stats --project none")])
    with inside(tmp_path), pytest.raises(ZeroDivisionError):
        run_page([Block("page", 1, "python", "1 / 0")])


def test_a_stage_is_shared_under_its_key_alone(tmp_path: Path) -> None:
    finished, less = Finished(tmp_path / "finished"), ["records.corpus=100"]
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    with small_recipes(), sharing(finished):
        recipe = load_recipe("leash_off", less)
        carry_out(recipe, first, fresh=False, only="records")
        (first / "records" / "prompts.jsonl").unlink()  # what becomes of it does not matter
        carry_out(load_recipe("collapse", less), second, fresh=False, only="records")
        carry_out(
            load_recipe("collapse", ["records.corpus=101"]), other, fresh=False, only="records"
        )
    markers = [(run / "records" / "done.json").read_bytes() for run in (first, second, other)]
    assert markers[0] == markers[1] != markers[2]
    assert (second / "records" / "prompts.jsonl").stat().st_size > 0
    assert [path.name for path in second.iterdir() if path.is_dir()] == ["records"]


def test_rows_are_shared_with_their_stage(tmp_path: Path) -> None:
    finished, recipe = Finished(tmp_path / "finished"), load_recipe("quickstart")
    one, two = (Run(recipe, tmp_path / name) for name in ("one", "two"))
    for name in ("pretrain", "sft", "dpo"):
        stage = one.stage(name)
        stage.start()
        stage.log(1, {"loss": 1.0}, 0.1)
        if name != "dpo":
            stage.finish(1.0, {})
    finished.take(one, recipe)
    two.directory.mkdir()
    finished.give(two, recipe)
    assert [name for name in ("pretrain", "sft", "dpo") if two.stage(name).done()] == [
        "pretrain", "sft",
    ]  # fmt: skip
    for name in ("pretrain", "sft"):
        assert two.stage(name).logged() == one.stage(name).logged() != []
    assert two.stage("dpo").logged() == []
    assert two.stage("sft").seconds_logged() == one.stage("sft").seconds_logged() > 0


def test_a_page_goes_on_with_what_it_made(tmp_path: Path) -> None:
    page = [
        Block("page", 1, "yaml", "name: mine\n", "mine.yaml"),
        Block("page", 3, "sh", "cat mine.yaml | head -1 > first.txt"),
        Block(
            "page", 5, "python", "from pathlib import Path\nwords = Path('first.txt').read_text()"
        ),
        Block("page", 7, "python", "assert words == 'name: mine\\n'"),
        Block("page", 9, "sh", "heed label answers.jsonl"),
        Block("page", 11, "sh", "heed nothing", not_run="there is no such verb"),
    ]
    with inside(tmp_path):
        run_page(page)


def test_what_is_added_to_a_command_is_of_a_verb() -> None:
    assert all(verb.islower() and more for verb, more in MORE.items())
