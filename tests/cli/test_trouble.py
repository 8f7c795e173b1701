"""A full disk, a directory that may not be written, two processes on one run: a paragraph each,
nothing lost, and the same command goes on afterwards.
"""

from __future__ import annotations

import errno
import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from heed.cli.main import app
from heed.cli.trouble import of_the_disk
from heed.lock import locked

runner = CliRunner()


def said(result: Result) -> str:
    """The paragraph with which a command was refused."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    paragraph = result.stderr[result.stderr.index("Error: ") :].strip()
    assert "\n\n" not in paragraph
    return " ".join(paragraph.split())


def train(settings: list[str], out: Path, stage: str, *more: str) -> Result:
    words = [word for setting in [*settings, *more] for word in ("--set", setting)]
    return runner.invoke(app, ["train", stage, "--out", str(out), *words])


def some_votes(folder: Path) -> Path:
    row = {"instruction": "Which?", "output_1": "this", "output_2": "that", "generator_1": "a",
           "generator_2": "b", "preference": 1.5}  # fmt: skip
    path = folder / "votes.jsonl"
    path.write_text("".join(f"{json.dumps({**row, 'instruction': n})}\n" for n in "abcd"))
    return path


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The kernel refuses longer files, with the error of a full disk's kin."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own in a folder; skips where this may not be mounted."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_disk_that_takes_no_more_in_the_middle_of_a_training(
    run_copy: Path, tiny_settings: list[str]
) -> None:
    more = ["dpo.beta=0.7", "dpo.checkpoint_every=1"]
    with no_file_above(100_000):
        result = train(tiny_settings, run_copy, "dpo", *more)
    words = said(result)
    assert f"{run_copy}/dpo/checkpoints/best-000001 could not be written: File too large (" in words
    assert "free). No file was left half written" in words
    assert "then give the same command again: it goes on." in words
    assert not list((run_copy / "dpo" / "checkpoints").rglob("*.safetensors"))
    assert not list((run_copy / "dpo" / "checkpoints").glob(".*"))
    result = train(tiny_settings, run_copy, "dpo", *more)
    assert result.exit_code == 0, result.output
    assert "sft        done before" in result.stderr
    steps = [json.loads(line) for line in (run_copy / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if row["stage"] == "dpo"] == list(
        range(1, 1 + len([row for row in steps if row["stage"] == "dpo"]))
    )


def test_a_full_disk_and_then_room(tmp_path: Path, tiny_settings: list[str]) -> None:
    disk = tmp_path / "disk"
    settings = [*tiny_settings, "pretrain.epochs=1"]
    with small_disk(disk, "700k"):
        out = disk / "run"
        words = said(train(settings, out, "pretrain"))
        assert f"{out}/" in words
        assert "could not be written: No space left on device (" in words
        assert "of 717 kB free)" in words
        remount(disk, "size=50m")
        result = train(settings, out, "pretrain")
        assert result.exit_code == 0, result.output
        assert (out / "pretrain" / "policy" / "model.safetensors").exists()
        remount(disk, "ro")
        words = said(train(settings, out, "pretrain", "pretrain.epochs=2"))
        assert "Read-only file system" in words


@pytest.mark.parametrize(
    "words",
    [
        ["run", "quickstart", "--out"],
        ["train", "records", "--out"],
        ["compare", "--annotations", "{votes}", "--out"],
    ],
    ids=lambda words: words[0],
)
def test_a_directory_that_is_a_file(words: list[str], tmp_path: Path) -> None:
    votes = some_votes(tmp_path)
    (tmp_path / "taken").write_text("mine")
    command = [word.format(votes=votes) for word in words]
    for place in ("taken", "taken/run"):
        words_said = said(runner.invoke(app, [*command, str(tmp_path / place)]))
        assert "taken" in words_said
        assert "cannot be used: " in words_said
        assert (tmp_path / "taken").read_text() == "mine"


def test_a_second_process_is_refused_by_all_that_write(tmp_path: Path) -> None:
    votes = some_votes(tmp_path)
    out = tmp_path / "run"
    with locked(out):
        for command in (
            ["run", "quickstart"],
            ["train", "sft"],
            ["run", "quickstart", "--fresh"],
            ["compare", "--annotations", str(votes)],
        ):
            words = said(runner.invoke(app, [*command, "--out", str(out)]))
            assert f"{out} is in use by process " in words
            assert "Wait for it, stop it, or give" in words
            assert [path.name for path in out.iterdir()] == [".lock"]
    result = runner.invoke(app, ["compare", "--annotations", str(votes), "--out", str(out)])
    assert result.exit_code == 0, result.output


def test_the_recipe_of_a_process_at_work_is_not_replaced(tmp_path: Path) -> None:
    from heed.models.language_model import new_language_model, save_language_model
    from heed.models.tokenizers import train_bpe

    sizes = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 32,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
             "max_position_embeddings": 512}  # fmt: skip
    model, rows, out = tmp_path / "lm", tmp_path / "rows.jsonl", tmp_path / "run"
    save_language_model(new_language_model(train_bpe(["hello there"], 300), sizes, 0), model)
    row = {"chosen": "This.", "rejected": "That."}
    rows.write_text("".join(f"{json.dumps({'prompt': f'Q{n}?', **row})}\n" for n in range(60)))
    with locked(out):
        result = runner.invoke(app, ["align", str(model), str(rows), "--out", str(out)])
        assert f"{out} is in use by process " in said(result)
        assert [path.name for path in out.iterdir()] == [".lock"]


def test_what_is_no_trouble_of_a_disk() -> None:
    assert of_the_disk(OSError("a library's own words")) is None
    assert of_the_disk(OSError(errno.EIO, "Input/output error")) is None
    assert of_the_disk(BrokenPipeError(errno.EPIPE, "Broken pipe")) is None
    assert "A file could not be written: No space" in str(
        of_the_disk(OSError(errno.ENOSPC, "No space left on device"))
    )
    assert "/nowhere/x may not be read or written: Permission denied." in str(
        of_the_disk(PermissionError(errno.EACCES, "Permission denied", "/nowhere/x"))
    )
    assert "Is a directory" in str(
        of_the_disk(IsADirectoryError(errno.EISDIR, "Is a directory", "/"))
    )
