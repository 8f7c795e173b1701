"""`heed run`, `heed train` and `heed report`, as a person would use them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heed import pipeline
from heed.cli.main import app
from heed.run import StageRun

runner = CliRunner()


def arguments(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def rows(run: Path, stage: str) -> list[str]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [line for line in lines if json.loads(line)["stage"] == stage]


def test_a_finished_run_does_nothing_and_needs_no_torch(
    finished_run: Path, tiny_settings: list[str]
) -> None:
    program = "import sys; from heed.cli.main import app\ntry: app()\nfinally: print(*sys.modules)"
    words = ["run", "quickstart", "--out", str(finished_run), *arguments(tiny_settings)]
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, modules = done.stdout.splitlines()
    assert first == f"Report: {finished_run / 'report.html'}"
    assert "nothing to do" in done.stderr
    assert not {"torch", "transformers"} & set(modules.split())
    assert {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")} == before


def test_train_runs_only_what_the_stage_needs(
    finished_run: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "run"), *arguments(tiny_settings)]
    result = runner.invoke(app, ["train", "dpo", *out])
    assert result.exit_code == 0, result.output
    folders = sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir())
    assert folders == ["collect", "dpo", "pretrain", "records", "sft"]
    assert result.stdout == f"Run: {tmp_path / 'run'}\n"
    assert "dpo        done in" in result.stderr
    assert rows(tmp_path / "run", "dpo") == rows(finished_run, "dpo")
    again = runner.invoke(app, ["train", "dpo", *out])
    assert "nothing to do" in again.stderr
    nearer = runner.invoke(app, ["train", "sft", *out])
    assert "nothing to do" in nearer.stderr


def test_ctrl_c_saves_and_the_same_command_goes_on(
    finished_run: Path, tiny_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    words = ["train", "pretrain", "--out", str(run), *arguments(tiny_settings)]
    straight = rows(finished_run, "pretrain")

    log = StageRun.log

    def press_when_training(stage: StageRun, step: int, *more: Any) -> None:
        log(stage, step, *more)
        if step == 5:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(StageRun, "log", press_when_training)
        result = runner.invoke(app, words)
    assert result.exit_code == 130
    message = " ".join(result.stderr.split())
    assert "Stopped 'pretrain' after iteration" in message
    assert "Run the same command to go on." in message
    assert 5 <= len(rows(run, "pretrain")) < len(straight)
    assert runner.invoke(app, words).exit_code == 0
    assert rows(run, "pretrain") == straight


def test_a_second_process_is_turned_away(run_copy: Path, tiny_settings: list[str]) -> None:
    program = (
        "import fcntl, sys, time\n"
        f"lock = open({str(run_copy / '.lock')!r}, 'a+')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX); print('held', flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        words = ["run", "quickstart", "--out", str(run_copy), *arguments(tiny_settings)]
        result = runner.invoke(app, [*words, "--set", "dpo.beta=0.7"])
        other.kill()
    assert result.exit_code == 2
    assert "is in use by process" in " ".join(result.stderr.split())
    assert "beta: 0.7" not in (run_copy / "recipe.yaml").read_text()


def test_report_writes_the_page_anew(run_copy: Path) -> None:
    report: dict[str, Any] = json.loads((run_copy / "report.json").read_text())
    (run_copy / "report.json").unlink()
    (run_copy / "report.html").unlink()
    result = runner.invoke(app, ["report", str(run_copy)])
    assert result.exit_code == 0
    assert result.stdout == f"Report: {run_copy / 'report.html'}\n"
    assert json.loads((run_copy / "report.json").read_text()) == report
    assert (run_copy / "report.html").exists()


def test_a_report_of_an_unfinished_run(run_copy: Path) -> None:
    (run_copy / "evaluate" / "measures.json").unlink()
    (run_copy / "evaluate" / "done.json").unlink()
    result = runner.invoke(app, ["report", str(run_copy)])
    assert result.exit_code == 0
    assert "not finished" in (run_copy / "report.html").read_text()


@pytest.mark.slow
def test_several_seeds_make_runs_side_by_side_and_a_league(
    finished_run: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "seeds"
    shutil.copytree(finished_run, out / "seed-0")
    words = ["run", "quickstart", "--out", str(out), *arguments([*tiny_settings, "seeds=2"])]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Report: {out / 'league.html'}\n"
    assert f"{out / 'seed-0'} are finished; nothing to do" in " ".join(done.stderr.split())
    league = json.loads((out / "league.json").read_text())
    assert league["seeds"] == [0, 1]
    assert {row["policy"] for row in league["standings"]} == {"ppo", "dpo"}
    assert rows(out / "seed-1", "sft") != rows(finished_run, "sft")
    if Path("/proc/self/clear_refs").exists():
        assert all(row["memory"] > 2**26 for row in league["standings"])

    (out / "league.html").unlink()
    again = runner.invoke(app, ["report", str(out)])
    assert again.stdout == f"Report: {out / 'league.html'}\n"
    nothing = runner.invoke(app, ["report", str(tmp_path / "nowhere")])
    assert nothing.exit_code == 2


def test_a_stage_is_trained_under_every_seed(
    finished_run: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "seeds"
    for seed in ("seed-0", "seed-1"):
        shutil.copytree(finished_run, out / seed)
    words = ["train", "records", "--out", str(out), *arguments([*tiny_settings, "seeds=2"])]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Run: {out}\n"
    prompts = [(out / f"seed-{n}" / "records" / "prompts.jsonl").read_text() for n in (0, 1)]
    assert prompts[0] != prompts[1]


def test_several_seeds_join_torchruns_processes_once(
    monkeypatch: pytest.MonkeyPatch, tiny_settings: list[str], tmp_path: Path
) -> None:
    joined = []
    monkeypatch.setattr(
        pipeline, "processes", lambda: nullcontext(joined.append("once"))
    )  # a process group cannot be left and joined again
    words = ["train", "records", "--out", str(tmp_path), *arguments([*tiny_settings, "seeds=2"])]
    assert runner.invoke(app, words).exit_code == 0
    assert (tmp_path / "seed-1" / "records" / "done.json").exists()
    assert joined == ["once"]
    assert runner.invoke(app, words).exit_code == 0
    assert joined == ["once"]


def test_a_run_and_several_seeds_do_not_share_a_directory(
    tiny_settings: list[str], tmp_path: Path
) -> None:
    one = ["train", "records", "--out", str(tmp_path / "one"), *arguments(tiny_settings)]
    assert runner.invoke(app, one).exit_code == 0
    mixed = runner.invoke(app, [*one, "--set", "seeds=2"])
    assert mixed.exit_code == 2
    assert "holds a single run" in " ".join(mixed.stderr.split())
    several = ["train", "records", "--out", str(tmp_path / "two"), *arguments(tiny_settings)]
    assert runner.invoke(app, [*several, "--set", "seeds=2"]).exit_code == 0
    mixed = runner.invoke(app, several)
    assert mixed.exit_code == 2
    assert "holds the runs of several seeds" in " ".join(mixed.stderr.split())
    assert not (tmp_path / "two" / "recipe.yaml").exists()


def test_seeds_that_nothing_evaluates_have_no_league(tmp_path: Path) -> None:
    recipe = tmp_path / "bare.yaml"
    recipe.write_text("name: bare\nseeds: 2\nstages: [{records: {corpus: 100}}]\n")
    done = runner.invoke(app, ["run", str(recipe), "--out", str(tmp_path / "bare")])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Run: {tmp_path / 'bare'}\n"
