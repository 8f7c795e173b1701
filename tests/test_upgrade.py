"""Runs that another version of Heed made, and directories that are no runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heed import __version__
from heed.cli.main import app
from heed.config import load_recipe
from heed.errors import UserError
from heed.files import write_json
from heed.recipe import STAGES, Recipe, Settings, Stage
from heed.run import FORMAT, OWN, REVISIONS, Run
from heed.upgrade import check_whole, refuse_newer, take_over

GOLDEN = Path(__file__).parent / "golden" / "settings.json"
FINISHED = ("records", "pretrain", "sft", "collect", "reward")
runner = CliRunner()


def run_in(directory: Path, *overrides: str) -> Run:
    return Run(load_recipe("quickstart", overrides), directory)


def finished(directory: Path, *overrides: str) -> Run:
    """A run of which five stages are done, and a sixth begun."""
    run = run_in(directory, *overrides)
    run.prepare()
    for name in FINISHED:
        run.stage(name).start()
        run.stage(name).finish(720.0, {})
    (directory / "reward" / "rows.jsonl").write_text('{"a": 1}\n')
    run.stage("ppo").start()
    return run


def made_by(directory: Path, version: str, **more: Any) -> None:
    """Let the provenance say that another version wrote the run; None drops a field."""
    path = directory / "provenance.json"
    origin = {**json.loads(path.read_text()), **more}
    origin["versions"] = {**origin["versions"], "heed": version}
    write_json(path, {key: value for key, value in origin.items() if value is not None})


def of_format_0(directory: Path) -> None:
    """As the first version left it: keys that nobody can make again, no format."""
    keys = {name: f"{key[:-1]}-" for name, key in run_in(directory).keys.items()}
    write_json(directory / "keys.json", keys)
    for path in [*directory.glob("*/done.json"), *directory.glob("*/started.json")]:
        write_json(path, {**json.loads(path.read_text()), "key": keys[path.parent.name]})
    made_by(directory, "0.0.9", format=None, revisions=None)


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refused(directory: Path, *words: str) -> str:
    """What `heed run` says of a directory that it leaves as it is."""
    before = tree(directory)
    result = runner.invoke(app, ["run", "quickstart", "--out", str(directory), *words])
    assert result.exit_code == 2, result.output
    assert tree(directory) == before
    assert "Traceback" not in result.stderr
    assert "\n\n" not in result.stderr
    return " ".join(result.stderr.split())


def test_a_run_of_the_same_format_goes_on_whatever_the_version(tmp_path: Path) -> None:
    run = finished(tmp_path)
    made_by(tmp_path, "0.0.1")
    assert list(take_over(run)) == []
    assert set(run.pending()).isdisjoint(FINISHED)
    assert list(take_over(run_in(tmp_path / "new"))) == []


def test_what_an_older_format_finished_is_refused_until_the_user_says(tmp_path: Path) -> None:
    finished(tmp_path)
    of_format_0(tmp_path)
    said = refused(tmp_path)
    assert f"made by Heed 0.0.9 (format 0; this is {__version__}, format {FORMAT})" in said
    assert "It finished records, pretrain, sft, collect, reward under the same settings" in said
    assert "(1 h 00 min of work)" in said
    assert "--keep-finished" in said
    assert "--fresh" in said
    run = run_in(tmp_path)
    assert set(FINISHED) <= set(run.pending())
    (line,) = take_over(run, keep_finished=True)
    assert line == "Taken over from Heed 0.0.9: records, pretrain, sft, collect, reward"
    assert set(run.pending()).isdisjoint(FINISHED)
    done = run.stage("reward").done()
    assert done is not None
    assert done["adopted"]["heed"] == "0.0.9"
    assert done["seconds"] == 720.0
    run.prepare()
    assert list(take_over(run)) == []


def test_to_keep_and_to_throw_away_is_no_wish(tmp_path: Path) -> None:
    finished(tmp_path)
    said = refused(tmp_path, "--fresh", "--keep-finished")
    assert "Give one of the two" in said


def test_only_the_same_settings_are_taken_over(tmp_path: Path) -> None:
    finished(tmp_path)
    of_format_0(tmp_path)
    run = run_in(tmp_path, "sft.epochs=9.0")
    assert next(take_over(run, keep_finished=True)).endswith(": records, pretrain")
    assert {"sft", "collect", "reward"} <= set(run.pending())


def test_what_is_begun_again_is_no_question(tmp_path: Path) -> None:
    run = finished(tmp_path)
    of_format_0(tmp_path)
    assert list(take_over(run, thrown=list(run.keys))) == []
    with pytest.raises(UserError, match="It finished records, pretrain, sft, collect under"):
        list(take_over(run, thrown=["reward"]))
    (tmp_path / "recipe.yaml").write_text("name: quickstart\nforgotten: 1\nstages: []\n")
    assert list(take_over(run)) == []


def test_a_kind_that_means_something_else_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(tmp_path)
    monkeypatch.setattr("heed.run.REVISIONS", {"collect": 2})
    monkeypatch.setattr("heed.upgrade.REVISIONS", {"collect": 2})
    said = refused(tmp_path)
    assert "It finished collect, reward under the same settings" in said
    assert "stages of the kind collect leave something else since" in said
    run = run_in(tmp_path)
    (tmp_path / "data").write_text("x")
    (line,) = take_over(run, keep_finished=True)
    assert line.endswith(": collect, reward")
    assert set(run.pending()).isdisjoint(FINISHED)


@pytest.mark.parametrize(
    "newer", [{"format": FORMAT + 1}, {"revisions": {"sft": 2}}, {"version": "99.0"}], ids=str
)
def test_a_newer_version_s_run_is_refused(tmp_path: Path, newer: dict[str, Any]) -> None:
    finished(tmp_path)
    made_by(tmp_path, newer.pop("version", __version__), **newer)
    said = refused(tmp_path, "--keep-finished")
    assert "newer than this one" in said
    assert "nothing was changed" in said
    result = runner.invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert "newer than this one" in " ".join(result.stderr.split())


@pytest.mark.parametrize("origin", ["[]", "{", '{"versions": 3, "format": "x", "revisions": []}'])
def test_provenance_that_says_nothing_is_that_of_an_older_version(
    tmp_path: Path, origin: str
) -> None:
    finished(tmp_path)
    (tmp_path / "provenance.json").write_text(origin)
    refuse_newer(tmp_path)
    assert list(take_over(run_in(tmp_path))) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", b'{"a": 1}\n{"a'),
        ("summary.json", b"{"),
        ("summary.json", b"\xff"),
        ("model.safetensors", b"\xff" * 12),
        ("model.safetensors", (80).to_bytes(8, "little") + b'{"w": {"data_offsets": [0, 4]}}'),
        ("model.safetensors", (31).to_bytes(8, "little") + b'{"w": {"data_offsets": [0, 4]}}123'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_stage_is_not_taken_over(tmp_path: Path, name: str, content: bytes) -> None:
    finished(tmp_path)
    of_format_0(tmp_path)
    (tmp_path / "reward" / "model").mkdir()
    (tmp_path / "reward" / "model" / name).write_bytes(content)
    said = refused(tmp_path, "--keep-finished")
    assert name in said
    assert "cannot be taken over" in said


def test_whole_files_are_whole(tmp_path: Path) -> None:
    header = b'{"__metadata__": {}, "w": {"data_offsets": [0, 4]}}'
    whole = len(header).to_bytes(8, "little") + header + b"1234"
    (tmp_path / "model.safetensors").write_bytes(whole)
    (tmp_path / "answers.txt").write_bytes(b"\xff")
    (tmp_path / "rows.jsonl").write_text('{"a": "\u2028"}\n\n')
    check_whole(tmp_path)


def test_somebody_else_s_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").write_text("years of work")
    said = refused(tmp_path)
    assert "holds files that no stage wrote (thesis.tex)" in said
    assert "--fresh" not in said
    refused(tmp_path, "--fresh")
    (tmp_path / "report" / "thesis.tex").rename(tmp_path / "recipe.yaml")
    assert "recipe.yaml that no run wrote" in refused(tmp_path)
    (tmp_path / "recipe.yaml").rename(tmp_path / "sft")
    assert "is a file, and the stage 'sft' wants a folder" in refused(tmp_path)


@pytest.mark.parametrize("name", [name for name in OWN if name != "keys.json"])
def test_no_file_of_somebody_else_s_is_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"step": 1}\n')  # a row without a stage, for one
    assert f"holds a {name} that no run wrote" in refused(tmp_path)
    refused(tmp_path, "--fresh")


def test_what_trackers_would_replace_is_a_run_s(tmp_path: Path) -> None:
    (tmp_path / "tracking" / "tensorboard").mkdir(parents=True)
    assert list(take_over(run_in(tmp_path))) == []
    assert "holds a tracking that" in refused(tmp_path, "--set", "track=tensorboard")


def test_a_kill_in_the_first_write_is_no_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    for name in ("write_text", "write_json"):
        monkeypatch.setattr(f"heed.run.{name}", lambda path, _: written.append(path.name))
    run_in(tmp_path).prepare()
    for name in written:
        (tmp_path / name).write_text("{}")
        assert list(take_over(run_in(tmp_path))) == []


def test_what_a_kill_left_half_written_is_nobody_else_s(tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / ".started.json.x1").write_text("{")
    assert list(take_over(run_in(tmp_path))) == []


def defaults(settings: type[Settings]) -> dict[str, Any]:
    """Every setting's default, those of groups below theirs; nothing for one that must be given."""
    found = {}
    for name, field in settings.model_fields.items():
        if not field.is_required():
            value = field.get_default(call_default_factory=True)
            found[name] = defaults(type(value)) if isinstance(value, Settings) else repr(value)
    return found


def written() -> dict[str, Any]:
    kinds: list[type[Settings]] = [*STAGES.values(), Recipe]
    return {
        kind.__name__: {
            "revision": REVISIONS.get(kind.kind, 1) if issubclass(kind, Stage) else FORMAT,
            "defaults": defaults(kind),
        }
        for kind in kinds
    }


def lost(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The settings whose default is another than it was; new ones are none of them."""
    found = []
    for name, value in before.items():
        other = now.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            found += [f"{name}.{inner}" for inner in lost(value, other)]
        elif value != other:
            found.append(name)
    return found


def test_who_changes_a_default_says_so(request: pytest.FixtureRequest) -> None:
    """Keys leave defaults out: another default under the old revision would go unnoticed."""
    now = written()
    if request.config.getoption("--golden-write"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n")
    for kind, before in json.loads(GOLDEN.read_text()).items():
        assert kind in now, f"{kind} is gone; raise heed.run.FORMAT"
        changed = lost(before["defaults"], now[kind]["defaults"])
        assert not changed or now[kind]["revision"] > before["revision"], (
            f"{kind}: {', '.join(changed)} changed. Raise the kind's number in heed.run.REVISIONS "
            "(for the recipe itself: FORMAT), then write the golden file anew (--golden-write)."
        )
