"""What supervised fine-tuning trains on, and what it is measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.files import read_records
from heed.pipeline import run_recipe
from heed.recipe import Sft
from heed.run import Run
from heed.stages.sft import EVERY, ROWS, TRAINED, _held, _split
from heed.types import Demonstration, Prompt, Split


def items(count: int, split: Split) -> list[Demonstration]:
    return [Demonstration(Prompt.of(f"{split} {i}", split=split), "yes") for i in range(count)]


def test_held_out_prompts_are_measured_on() -> None:
    train, heldout = items(5, "train"), items(2, "heldout")
    assert _split([*train[:2], *heldout, *train[2:]]) == (train, heldout)


def test_without_any_every_so_many_th_is_set_aside() -> None:
    everything = items(2 * EVERY + 1, "train")
    kept, measured = _split(everything)
    assert measured == [everything[0], everything[EVERY], everything[2 * EVERY]]
    assert len(kept) + len(measured) == len(everything)
    assert not set(kept) & set(measured)


def of_families(*families: str) -> list[Demonstration]:
    return [Demonstration(Prompt.of(f"{name} ?", family=name), "yes") for name in families]


def test_held_families_are_those_of_the_records() -> None:
    rows = of_families("facts", "verse", "facts", "advice")
    settings = Sft(name="sft", held_families=["facts"])
    assert _held(settings, rows) == {"facts": [rows[0], rows[2]]}
    assert _held(Sft(name="sft"), rows) == {}


@pytest.mark.parametrize(
    ("held", "families", "message"),
    [
        (["vers"], ["facts", "verse"], "'vers', but no .* of 'records' .* Did you mean 'verse'"),
        (["music"], ["facts", "verse"], "Valid: facts, verse"),
        (["facts"], ["", ""], "name no families at all"),
        (["verse", "facts"], ["facts", "verse"], "no family to train on"),
    ],
)
def test_families_that_are_not_there_are_refused(
    held: list[str], families: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        _held(Sft(name="sft", held_families=held), of_families(*families))


def test_every_choice_of_targets_has_its_rows() -> None:
    choices = {
        (loss_on, turns) for loss_on in ("completion", "all") for turns in ("all", "last")
    } - {("all", "last")}
    assert set(ROWS) == choices
    with pytest.raises(ValueError, match="leave turns at all"):
        Sft(name="sft", loss_on="all", turns="last")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = [*tiny_settings, "records.demonstrations=240", "sft.epochs=2"]
    run_sft(folder, settings)
    return folder


def run_sft(folder: Path, settings: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The stage's summary and its rows of metrics."""
    run = Run(load_recipe("quickstart", settings).needed_for("sft"), folder)
    run_recipe(run, say=lambda line: None)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return run.stage("sft").done_summary(), [row for row in rows if row["stage"] == "sft"]


def test_packing_changes_nothing_but_the_time(base: Path, tiny_settings: list[str]) -> None:
    settings = [*tiny_settings, "records.demonstrations=240", "sft.epochs=2"]
    _, plain = run_sft(base, settings)
    _, together = run_sft(base, [*settings, "sft.packing=true", "sft.optim.micro_tokens=200"])
    for row, expected in zip(together, plain, strict=True):
        assert row.pop("stage") == expected.pop("stage")
        assert row == pytest.approx(expected, rel=1e-4)


def test_held_out_families_are_measured_and_not_trained_on(
    base: Path, tiny_settings: list[str]
) -> None:
    settings = [*tiny_settings, "records.demonstrations=240", "sft.epochs=2"]
    held = ["arithmetic", "verse"]
    summary, rows = run_sft(base, [*settings, f"sft.held_families={json.dumps(held)}"])
    whole = read_records(base / "records" / "demonstrations.jsonl", Demonstration)
    kept = [item for item in whole if item.prompt.family not in held]
    assert summary["demonstrations"] == len(kept) - len(kept[::EVERY])
    account = summary["heldout_nll"]
    assert list(account) == [TRAINED, *held]
    for found in account.values():
        assert all(each["low"] < each["mean"] < each["high"] for each in found.values())
        moved = found["after"]["mean"] - found["before"]["mean"]
        assert found["change"]["mean"] == pytest.approx(moved, abs=1e-6)
    assert account[TRAINED]["change"]["high"] < 0
    for name in held:  # the curve ends where the account does
        assert rows[-1][f"heldout_nll/{name}"] == pytest.approx(account[name]["after"]["mean"])
    assert rows[-1]["heldout_nll"] == pytest.approx(account[TRAINED]["after"]["mean"])


@pytest.mark.parametrize(
    "settings", [["sft.loss_on=all"], ["sft.turns=last"], ["pretrain.packing=true"]]
)
def test_other_targets_and_packed_pretraining_run(
    base: Path, tiny_settings: list[str], settings: list[str]
) -> None:
    basic = [*tiny_settings, "records.demonstrations=240", "sft.epochs=2"]
    summary, rows = run_sft(base, [*basic, *settings])
    assert summary["demonstrations"] == 228
    assert rows[-1]["heldout_nll"] > 0
