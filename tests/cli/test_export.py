"""`heed export`: a real run's policies and reward model, and what cannot be exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heed.cli.main import app

runner = CliRunner()


def told(*words: str | Path, code: int = 0) -> str:
    result = runner.invoke(app, ["export", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join((result.stdout if code == 0 else result.stderr).split())


@pytest.fixture
def without_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run's card makes all its report: seconds each."""
    monkeypatch.setattr("heed.exporting.export.write_card", lambda card, folder: None)


@pytest.mark.slow  # the card of a real run draws its report
def test_a_policy_of_a_run(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deep" / "ppo"
    said = told(f"{finished_run}:ppo", folder, "--shard", "20kb")
    assert "in all" in said
    assert "4 of 4 likeliest answers are the same" in said
    assert (folder / "model.safetensors.index.json").exists()
    card = (folder / "README.md").read_text()
    assert "| Gold reward (the world's true reward) |" in card
    assert "heed train ppo --recipe recipe.yaml" in card
    account = json.loads((folder / "export.json").read_text())
    assert account["read_again"]["written"]["most"] <= 1e-5
    assert "holds an export already" in told(f"{finished_run}:dpo", folder, code=2)
    assert json.loads((folder / "export.json").read_text()) == account
    monkeypatch.setattr("heed.exporting.export.write_card", lambda card, folder: None)
    told(f"{finished_run}:dpo", folder, "--force", "--dtype", "bfloat16")
    again = json.loads((folder / "export.json").read_text())
    assert (again["stage"], again["dtype"]) == ("dpo", "bfloat16")
    assert not (folder / "model.safetensors.index.json").exists()


@pytest.mark.usefixtures("without_card")
def test_a_reward_model_of_a_run(finished_run: Path, tmp_path: Path) -> None:
    assert "scores differ by" in told(f"{finished_run}:reward", tmp_path / "reward")


def test_nothing_but_an_export_is_replaced(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    said = told(f"{finished_run}:ppo", tmp_path, "--force", code=2)
    assert "is no export of Heed's, so it is not overwritten" in said
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    said = told(f"{finished_run}:ppo", tmp_path / "thesis.txt", "--force", code=2)
    assert "not overwritten" in said


@pytest.mark.usefixtures("without_card")
def test_what_stands_beside_an_export_is_not_lost(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reward"
    told(f"{finished_run}:reward", folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "thesis.txt").write_text("mine")
    said = told(f"{finished_run}:reward", folder, "--force", code=2)
    assert "what is none of it (notes/thesis.txt), which would be lost" in said
    assert (folder / "notes" / "thesis.txt").read_text() == "mine"
    (folder / "notes" / "thesis.txt").unlink()
    told(f"{finished_run}:reward", folder, "--force")
    (folder / "export.json").write_text("[]")
    assert "is no export of Heed's" in told(f"{finished_run}:reward", folder, "--force", code=2)


@pytest.mark.parametrize("place", [".", "../here", ".."])
def test_the_folder_that_one_is_in_is_not_replaced(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    run = finished_run.resolve()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "is the folder that you are in, or holds it" in told(f"{run}:ppo", place, code=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["RUN:nothing"], "has no stage 'nothing'. It has: records, pretrain"),
        (["RUN:evaluate"], "is of the kind evaluate, which leaves no weights"),
        (["RUN:ppo", "--adapter"], "has no adapter: it trained all its weights"),
        (["RUN/ppo/policy"], "is no run. Name the folder"),
        (["RUN:ppo", "--public"], "give --push OWNER/NAME with it"),
        (["RUN:ppo", "--shard", "big"], "--shard big: give a size such as 500MB"),
        (["RUN:ppo", "--shard", "0GB"], "give a size"),
    ],
)
def test_what_cannot_be(finished_run: Path, tmp_path: Path, words: list[str], says: str) -> None:
    source, *options = words
    said = told(source.replace("RUN", str(finished_run)), tmp_path / "x", *options, code=2)
    assert says in said
    assert not list(tmp_path.iterdir())


def test_a_run_of_several_seeds(tmp_path: Path) -> None:
    (tmp_path / "many" / "seed-3").mkdir(parents=True)
    (tmp_path / "many" / "seed-3" / "recipe.yaml").write_text("name: many")
    said = told(f"{tmp_path / 'many'}:ppo", tmp_path / "x", code=2)
    assert f"{tmp_path / 'many' / 'seed-3'}:ppo" in said
