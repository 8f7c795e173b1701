"""Trackers hear every row once, in order; whatever they do, the run goes on as without them."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.run import Run, stage_keys
from heed.tracking import tracker as trackers
from heed.tracking.following import about, followed
from heed.tracking.results import flat
from heed.tracking.tracker import PACKAGES, TRACKERS, Tracked, as_markdown, require

Told = list[tuple[Any, ...]]


class Fake:
    """Writes down what it is told; fails from a given row on."""

    def __init__(self, told: Told, *, lasting: bool = False, fails_at: int | None = None) -> None:
        self.told = told
        self.lasting = lasting
        self.fails_at = fails_at

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        if self.fails_at is not None and step >= self.fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.told.append((stage, step, values["loss"]))

    def text(self, name: str, text: str) -> None:
        self.told.append(("text", name, text))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.told.append(("table", name, len(rows)))

    def figures(self, values: Mapping[str, float]) -> None:
        self.told.append(("figures", dict(values)))

    def close(self) -> None:
        self.told.append(("closed",))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    file = tmp_path / "recipe.yaml"
    file.write_text("name: mine\ntrack: tensorboard\nstages:\n  - records\n  - pretrain\n")
    made = Run(load_recipe(str(file)), tmp_path / "run")
    made.prepare()
    return made


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fake], None]:
    def put(fake: Fake) -> None:
        monkeypatch.setattr(trackers, "PACKAGES", {"tensorboard": ()})
        monkeypatch.setitem(TRACKERS, "tensorboard", lambda _: fake)

    return put


def work(run: Run, kept: int, until: int) -> list[str]:
    """A process that goes on from step `kept`; what it said."""
    said: list[str] = []
    with followed(run, said.append):
        place = run.stage("pretrain")
        place.start()
        place.keep_rows(kept)
        for step in range(kept + 1, until + 1):
            place.log(step, {"loss": float(step)}, seconds=0.0)
    return said


def test_a_new_process_tells_what_the_run_kept_and_goes_on(
    run: Run, use: Callable[[Fake], None]
) -> None:
    first, second = Fake([]), Fake([])
    use(first)
    work(run, 0, 4)
    use(second)
    work(run, 2, 3)
    assert first.told == [*(("pretrain", n, float(n)) for n in (1, 2, 3, 4)), ("closed",)]
    assert second.told == [*(("pretrain", n, float(n)) for n in (1, 2, 3)), ("closed",)]


def test_what_was_sent_away_is_not_sent_again(run: Run, use: Callable[[Fake], None]) -> None:
    told: Told = []
    use(Fake(told, lasting=True))
    work(run, 0, 4)
    work(run, 2, 6)
    assert [each[1] for each in told if each[0] == "pretrain"] == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_is_spoken_of_once_and_stops_nothing(
    run: Run, use: Callable[[Fake], None]
) -> None:
    fake = Fake([], fails_at=3)
    use(fake)
    said = work(run, 0, 6)
    assert len(said) == 1
    assert "tensorboard fails" in said[0]
    assert "No space left on device" in said[0]
    assert [row["step"] for row in run.stage("pretrain").logged()] == [1, 2, 3, 4, 5, 6]
    assert fake.told == [("pretrain", 1, 1.0), ("pretrain", 2, 2.0)]


def test_one_that_cannot_begin_stops_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Tracked) -> Any:
        raise RuntimeError("no server")

    monkeypatch.setattr(trackers, "PACKAGES", {"tensorboard": ()})
    monkeypatch.setitem(TRACKERS, "tensorboard", broken)
    [said] = work(run, 0, 2)
    assert "no server" in said
    assert len(run.stage("pretrain").logged()) == 2


def test_a_mistake_in_what_is_told_stops_nothing(
    run: Run, use: Callable[[Fake], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heed.tracking.following.results", lambda *_: 1 / 0)
    use(Fake([]))
    said: list[str] = []
    with followed(run, said.append):
        place = run.stage("pretrain")
        place.start()
        place.finish(1.0, {"tokens": 1})
        place.log(1, {"loss": 1.0}, seconds=0.0)
    assert len(said) == 1
    assert place.done() is not None


def test_only_the_first_process_tells(run: Run, use: Callable[[Fake], None]) -> None:
    fake = Fake([])
    use(fake)
    run.writes = False
    assert not work(run, 0, 2)
    assert fake.told == []


def test_members_of_an_ensemble_are_told(tmp_path: Path, use: Callable[[Fake], None]) -> None:
    fake, made = Fake([]), tmp_path / "run"
    use(fake)
    file = tmp_path / "recipe.yaml"
    stages = "[records, pretrain, sft, collect, ensemble]"
    file.write_text(f"name: mine\ntrack: tensorboard\nstages: {stages}\n")
    run = Run(load_recipe(str(file)), made)
    run.prepare()
    place = run.stage("ensemble")
    place.start()
    row = {"stage": "ensemble.0", "step": 1, "loss": 0.5}
    (made / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    with followed(run, print):
        run.stage("ensemble").finish(1.0, {"members": 2})
    assert fake.told == [
        ("ensemble.0", 1, 0.5), ("figures", {"ensemble/members": 2.0}), ("closed",)
    ]  # fmt: skip


def test_a_package_that_is_missing_is_named_before_anything_trains(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="python -m pip install tensorboard"):
        work(run, 0, 1)
    assert not (run.directory / "metrics.jsonl").exists()
    require([])


def test_every_tracker_of_the_recipe_is_known() -> None:
    for name in TRACKERS:
        assert load_recipe("quickstart", [f"track={name}"]).track == [name]
    assert PACKAGES.keys() == TRACKERS.keys()
    with pytest.raises(UserError, match="track"):
        load_recipe("quickstart", ["track=tensorbord"])
    with pytest.raises(UserError, match="twice"):
        load_recipe("quickstart", ["track=[wandb, wandb]"])


def test_no_stage_takes_the_trackers_folder(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("name: x\nstages: [records, {pretrain: {name: tracking}}]\n")
    load_recipe(str(file))
    with pytest.raises(UserError, match="rename that stage"):
        load_recipe(str(file), ["track=wandb"])


def test_tracking_is_no_part_of_keys_and_off_by_default() -> None:
    plain = load_recipe("quickstart")
    told = load_recipe("quickstart", ["track=[tensorboard, wandb]"])
    assert plain.track == []
    assert stage_keys(plain) == stage_keys(told)


def test_a_run_has_one_id_until_a_setting_that_counts_changes(run: Run) -> None:
    again = Run(run.recipe, run.directory)
    other = Run(run.recipe.model_copy(update={"seed": 1}), run.directory)
    assert about(run).id == about(again).id != about(other).id


def test_figures_are_told_with_their_ends() -> None:
    summary = {
        "a": {"mean": 0.5, "low": None, "high": 1},
        "n": 3,
        "yes": True,
        "rows": [1],
        "s": "",
    }
    assert dict(flat(summary, "reward")) == {"reward/a": 0.5, "reward/a/high": 1.0, "reward/n": 3.0}


def test_hostile_cells_stay_in_their_table() -> None:
    table = as_markdown(["a"], [["x | y\n<script>\\"]])
    assert table.splitlines()[-1] == "| x \\| y<br>&lt;script>\\\\ |"


def test_a_finished_run_can_still_be_told(
    run_copy: Path, tiny_settings: list[str], use: Callable[[Fake], None]
) -> None:
    fake = Fake([])
    use(fake)
    before = {path: path.stat().st_mtime_ns for path in run_copy.glob("*/done.json")}
    recipe = load_recipe("quickstart", [*tiny_settings, "track=tensorboard"])
    carry_out(recipe, run_copy, fresh=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = (run_copy / "metrics.jsonl").read_text().splitlines()
    assert len([each for each in fake.told if each[0] in recipe_stages(recipe)]) == len(rows)
    figures = {name: value for each in fake.told if each[0] == "figures"
               for name, value in each[1].items()}  # fmt: skip
    measures = json.loads((run_copy / "evaluate" / "measures.json").read_text())
    gold = measures["policies"]["ppo"]["gold"]
    assert figures["evaluate/ppo/gold"] == gold["mean"]
    assert figures["evaluate/ppo/gold/low"] == gold["low"]
    texts = {each[1]: each[2] for each in fake.told if each[0] == "text"}
    assert str(run_copy.resolve() / "report.html") in texts["report"]
    assert "gold" in texts["evaluate/measures"]
    assert ("table", "evaluate/samples", len(measures["samples"])) in fake.told


def recipe_stages(recipe: Any) -> list[str]:
    return [stage.name for stage in recipe.stages]


@pytest.mark.slow
def test_a_tracked_run_is_the_same_to_the_bit(
    finished_run: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    for name in ("tensorboard", "wandb"):
        pytest.importorskip(name, reason="the extra `tracking` is not installed")
    recipe = load_recipe("quickstart", [*tiny_settings, "track=[tensorboard, wandb]"])
    carry_out(recipe, tmp_path / "run", fresh=False)
    for name in ("metrics.jsonl", "evaluate/samples-ppo.jsonl", "evaluate/measures.json"):
        assert (tmp_path / "run" / name).read_bytes() == (finished_run / name).read_bytes()
    assert list((tmp_path / "run" / "tracking" / "wandb").glob("offline-run-*/*.wandb"))
