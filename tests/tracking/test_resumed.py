"""A run that is killed and goes on: what each tracker then holds, read back from its own files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = [(1, 1.1), (2, 2.1), (3, 3.1), (4, 4.2), (5, 5.2), (6, 6.2)]
"""Steps up to the checkpoint, of the first attempt; the later ones, of the second."""
RECIPE = "name: tracked\nthreads: 1\ntrack: [tensorboard, wandb, trackio]\nstages:\n" + (
    "  - records\n  - pretrain\n"
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that died at step 5 and went on from step 3; in its folder, trackio's store."""
    for name in ("tensorboard", "wandb", "trackio"):
        pytest.importorskip(name, reason="the extra `tracking` is not installed")
    folder = tmp_path_factory.mktemp("killed")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    # Not what W&B tells the children of a process that uses it: they would share its service.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = {**plain, "PYTHONPATH": str(ROOT), "TRACKIO_DIR": str(folder / "store")}
    script = ROOT / "tests" / "tracked_run.py"
    command = [sys.executable, str(script), str(recipe), str(folder / "run")]
    for words, status in ((["0", "5", "1", "die"], -signal.SIGKILL), (["3", "6", "2"], 0)):
        done = subprocess.run(
            [*command, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert not done.stdout  # no tracker failed, none looked up a host
    return folder


def test_tensorboard_shows_every_step_once(killed: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = killed / "run" / "tracking" / "tensorboard"
    assert len(list((folder / "pretrain").iterdir())) == 1
    events = EventAccumulator(str(folder / "pretrain")).Reload()
    assert events.Tags()["scalars"] == ["pretrain/loss"]
    found = [(each.step, round(each.value, 3)) for each in events.Scalars("pretrain/loss")]
    assert found == EXPECTED
    whole = EventAccumulator(str(folder / "run")).Reload()
    ends = {name: whole.Scalars(name)[0].value for name in whole.Tags()["scalars"]}
    assert ends["pretrain/accuracy"] == 0.5
    assert ends["pretrain/accuracy/low"] == pytest.approx(0.4)
    text = whole.Tensors("gates/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "| pretrain | 6 | lengths | Too long. |" in text
    assert b"name: tracked" in whole.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0]


def test_wandb_holds_every_step_once(killed: Path) -> None:
    import wandb_files

    [file] = (killed / "run" / "tracking" / "wandb").glob("offline-run-*/*.wandb")
    history, summary, config = wandb_files.read(file)
    rows = [row for row in history if "pretrain/loss" in row]
    assert [(row["pretrain/step"], row["pretrain/loss"]) for row in rows] == EXPECTED
    assert "pretrain/nothing" not in rows[0]
    assert summary["pretrain/accuracy/high"] == 0.6
    assert config["stages"]["pretrain"]["kind"] == "pretrain"
    assert history[0]["gates/nrows"] == 1


def test_trackio_holds_every_step_once(killed: Path) -> None:
    code = (
        "import json; from trackio.sqlite_storage import SQLiteStorage as store; "
        "import trackio; runs = trackio.Api().runs('heed'); "
        "print(json.dumps([[each.name for each in runs], runs[0].config, "
        "store.get_logs('heed', 'run')]))"
    )
    environment = {**os.environ, "TRACKIO_DIR": str(killed / "store")}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    names, config, logs = json.loads(printed.splitlines()[-1])
    assert names == ["run"]
    assert config["name"] == "tracked"
    told: list[Any] = [row for row in logs if "pretrain/loss" in row]
    assert sorted((row["step"], row["pretrain/loss"]) for row in told) == EXPECTED
    assert [row["pretrain/accuracy/low"] for row in logs if "pretrain/accuracy" in row] == [0.4]
