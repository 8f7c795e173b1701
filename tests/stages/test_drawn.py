"""What a policy gradient leaves of the answers that it draws."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.recipe import Grpo, Sampling
from heed.run import FRESH, PLANNED
from heed.stages import drawn
from heed.stages.drawn import ANSWERS, LONGEST, LOOKS, Drawn, looks_every
from heed.trainer import Trainer
from heed.types import Completion, Prompt

STAGE = Grpo(
    name="seen", iterations=6, rollouts=16, group=4, checkpoint_every=2,
    sampling=Sampling(max_new_tokens=20),
)  # fmt: skip


def run(folder: Path, settings: list[str]) -> Path:
    recipe = load_recipe("quickstart", settings)
    recipe = recipe.model_copy(update={"stages": (*recipe.stages, STAGE)})
    carry_out(recipe, folder, fresh=False, only=STAGE.name)
    return folder / STAGE.name


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Place:
    """Where a stage notes."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def note(self, name: str, found: list[Any]) -> None:
        assert name == FRESH
        self.noted += found


def test_some_rounds_are_kept_and_a_killed_run_keeps_the_same(
    run_copy: Path, tiny_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "EVERY", 1)
    torn = shutil.copytree(run_copy, tmp_path / "torn")
    folder = run(run_copy, tiny_settings)
    kept = rows(folder / FRESH)
    assert [row["step"] for row in kept] == [step for step in range(1, 7) for _ in range(ANSWERS)]
    logged = [row for row in rows(run_copy / "metrics.jsonl") if row["stage"] == "seen"]
    first = [row for row in kept if row["step"] == 1]
    assert len({row["prompt"] for row in first}) == ANSWERS, "a prompt each: groups are of four"
    assert all(abs(row["kl"]) < 1e-4 for row in first), "the policy is still the reference"
    assert min(row["reward"] for row in first) <= logged[0]["proxy"] * 3
    assert json.loads((folder / PLANNED).read_text()) == {"iterations": 6}

    step = Trainer._iterate

    def killed(trainer: Trainer[Any]) -> None:
        step(trainer)
        if trainer.run.name == "seen" and trainer.progress.iteration == 5:
            raise KeyboardInterrupt  # beyond the last checkpoint, after a look

    monkeypatch.setattr(Trainer, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        run(torn, tiny_settings)
    assert rows(torn / "seen" / FRESH)[-1]["step"] == 5
    monkeypatch.setattr(Trainer, "_iterate", step)
    assert (run(torn, tiny_settings) / FRESH).read_bytes() == (folder / FRESH).read_bytes()


def test_texts_are_cut_and_what_is_no_number_is_null() -> None:
    place = Place()
    answers = [Completion(Prompt.of("p" * 5000), "a" * 5000), Completion(Prompt.of("q"), "b")]
    of = SimpleNamespace(completions=answers, rewards=[1.5, -2.0], kl=[math.inf, 0.25])
    Drawn(place, SimpleNamespace(round=of), 6)(1, {})  # type: ignore[arg-type]
    long, short = place.noted
    assert len(long["prompt"]) == len(long["answer"]) == LONGEST
    assert long["answer"].endswith("a…")
    assert (long["reward"], long["kl"]) == (1.5, None)
    assert (short["answer"], short["reward"], short["kl"]) == ("b", -2.0, 0.25)


@pytest.mark.parametrize("iterations", [1, 7, 250, 251, 40_000])
def test_a_long_training_is_looked_at_no_oftener(iterations: int) -> None:
    every = looks_every(iterations)
    place = Place()
    of = SimpleNamespace(completions=[Completion(Prompt.of("p"), "a")], rewards=[0.0], kl=[0.0])
    look = Drawn(place, SimpleNamespace(round=of), iterations)  # type: ignore[arg-type]
    for step in range(1, iterations + 1):
        look(step, {})
    assert len(place.noted) <= LOOKS + 1
    assert every >= drawn.EVERY
