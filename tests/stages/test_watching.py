"""What watches a policy gradient, in the miniature run: it stops, keeps the best, and resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.gates.finding import Finding
from heed.recipe import (
    Gates,
    Grpo,
    KlGate,
    OveroptimisationGate,
    RepetitionGate,
    Reward,
    Sampling,
    SignGate,
)
from heed.rewards.checked import CheckedReward
from heed.rewards.ensemble import COMBINE, EnsembleReward
from heed.rewards.remembered import Remembered
from heed.run import GATES, LOOKS
from heed.stages import gates
from heed.stages.watching import measures
from heed.trainer import Trainer
from heed.types import Completion, Prompt

STAGE = Grpo(
    name="watched", iterations=6, rollouts=16, group=4, checkpoint_every=2,
    sampling=Sampling(max_new_tokens=20),
)  # fmt: skip
OTHER = Reward(name="other", batch=8, calibration=32, sampling=Sampling(max_new_tokens=20))
BESIDE = Gates(overoptimisation=OveroptimisationGate(reward="other", every=2, prompts=8))


def run(folder: Path, settings: Sequence[str], asked: Gates) -> Path:
    """Run the stage under these gates, a second reward model before it."""
    recipe = load_recipe("quickstart", settings)
    at = next(index for index, stage in enumerate(recipe.stages) if stage.name == "reward") + 1
    stages = (*recipe.stages[:at], OTHER, *recipe.stages[at:], STAGE)
    gated = recipe.model_copy(update={"stages": stages, "gates": asked})
    carry_out(gated, folder, fresh=False, only=STAGE.name)
    return folder / STAGE.name


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def during(folder: Path) -> list[dict[str, Any]]:
    """What gates found while it trained; those that are asked at the start found nothing."""
    found = rows(folder / GATES)
    assert {(row["gate"], row["tripped"]) for row in found if row["step"] == 0} == {
        ("logprobs", False), ("draws", False), ("step", False), ("leash", False),
    }  # fmt: skip
    return [row for row in found if row["step"]]


def tripping_at(step: int) -> gates.During:
    def ask(seen: gates.Rows, _gate: Any, _iterations: int) -> Finding:
        tripped = len(seen) >= step
        return Finding("kl", len(seen) - step + 1.0, 1.0, 0.01, tripped, "It is too far.")

    return ask


def test_it_stops_and_leaves_what_was_at_rest(
    run_copy: Path, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "DURING", {"kl": tripping_at(5)})
    folder = run(run_copy, tiny_settings, Gates(kl=KlGate(action="stop")))
    (found,) = during(folder)
    assert (found["step"], found["tripped"]) == (5, True)
    summary = json.loads((folder / "done.json").read_text())["summary"]
    assert (summary["iterations"], summary["stopped"], summary["kept"]) == (5, 5, 4)
    (note,) = summary["notes"]
    assert "iteration 5: the gate 'kl' tripped. It is too far. What iteration 4 left" in note


def test_what_warns_goes_on_and_moves_no_key(
    run_copy: Path, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "DURING", {"kl": tripping_at(3)})
    folder = run(run_copy, tiny_settings, Gates())
    assert [(row["step"], row["tripped"]) for row in during(folder)] == [(3, True)]
    marker = (folder / "done.json").read_text()
    assert json.loads(marker)["summary"]["iterations"] == 6
    run(run_copy, tiny_settings, Gates(kl=KlGate(action="off")))
    assert (folder / "done.json").read_text() == marker
    run(run_copy, tiny_settings, Gates(kl=KlGate(action="stop")))
    assert json.loads((folder / "done.json").read_text())["key"] != json.loads(marker)["key"]


def test_another_reward_is_asked_and_a_killed_run_asks_the_same(
    run_copy: Path, tiny_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = shutil.copytree(run_copy, tmp_path / "torn")
    folder = run(run_copy, tiny_settings, BESIDE)
    looks = rows(folder / LOOKS)
    assert [look["step"] for look in looks] == [1, 2, 4, 6]
    assert all(len(look["heldout"]) == len(look["proxy"]) == 8 for look in looks)
    logged = [row for row in rows(run_copy / "metrics.jsonl") if row["stage"] == "watched"]
    assert ["heldout_reward" in row for row in logged] == [True, True, False, True, False, True]
    assert {"repeated", "standout"} <= logged[0].keys()
    assert {row["gate"] for row in during(folder)} == {"overoptimisation"}

    step = Trainer._iterate

    def killed(trainer: Trainer[Any]) -> None:
        step(trainer)
        if trainer.run.name == "watched" and trainer.progress.iteration == 5:
            raise KeyboardInterrupt  # between two checkpoints, after a look

    monkeypatch.setattr(Trainer, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        run(torn, tiny_settings, BESIDE)
    monkeypatch.undo()
    again = run(torn, tiny_settings, BESIDE)
    for name in (LOOKS, GATES, "policy/model.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert (torn / "metrics.jsonl").read_bytes() == (run_copy / "metrics.jsonl").read_bytes()


def test_a_flipped_reward_model_starts_nothing(
    run_copy: Path, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heed.gates.sign.FEWEST", 2)
    monkeypatch.setattr("heed.stages.admission.correctness", lambda _, pairs: [0.0] * len(pairs))
    with pytest.raises(UserError, match="'watched' does not start: it reads from 'reward'") as no:
        run(run_copy, tiny_settings, Gates(sign=SignGate(false_alarms=0.02)))  # asked anew
    assert "in 0.0% of" in str(no.value)
    assert (run_copy / "reward/model").exists()


def test_what_is_measured_of_a_round() -> None:
    asked = Prompt.of("p")
    answers = [Completion(asked, text) for text in ("a a a", "a b", "c", "d", "e")]
    ensemble = EnsembleReward([len_of, twice], COMBINE["mean"], 0.0)
    reward = Remembered(CheckedReward("both", ensemble))
    found = measures(Gates(), reward)
    assert reward(answers) == [7.5, 4.5, 1.5, 1.5, 1.5]
    assert found["repeated"](answers) == [0.5, 0.0, 0.0, 0.0, 0.0]
    assert found["disagreement"](answers) == [2.5, 1.5, 0.5, 0.5, 0.5]
    assert found["standout"](answers) == [2.0]  # (7.5 - 1.5) / (4.5 - 1.5)
    assert "disagreement" not in measures(Gates(), Remembered(len_of))
    assert measures(Gates(repetition=RepetitionGate(action="off")), reward).keys() == {
        "standout", "disagreement",
    }  # fmt: skip


def len_of(completions: Sequence[Completion]) -> list[float]:
    return [float(len(item.text)) for item in completions]


def twice(completions: Sequence[Completion]) -> list[float]:
    return [2.0 * value for value in len_of(completions)]
