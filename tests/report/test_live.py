"""A run looked at while it goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.live_run import Growing

from heed.errors import UserError
from heed.report.live import LATEST, Watch, plain


@pytest.fixture
def run(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "run")


def test_a_run_from_its_beginning_to_its_end(run: Growing) -> None:
    watch = Watch(run.directory)
    assert watch.look().state == "not begun"
    with run.running():
        assert watch.look().state == "not begun", "the recipe is not written yet"
        run.prepare()
        run.begin("records")
        first = watch.look()
        assert (first.state, first.name) == ("running", "demo")
        assert [stage.state for stage in first.stages] == ["running", *["waiting"] * 5]
        run.done("records")
        run.begin("sft", iterations=10)
        for step in range(1, 5):
            run.log("sft", step, seconds=3.0, nll=5.0 - step, lr=0.1)
        frame = watch.look()
        sft = frame.stages[1]
        assert (sft.state, sft.step, sft.of, sft.seconds, sft.left) == ("running", 4, 10, 12.0, 18)
        assert frame.shown == "sft"
        (curve,) = frame.curves
        assert (curve.metric, curve.values, curve.last) == ("nll", [4.0, 3.0, 2.0, 1.0], 1.0)
        run.log("sft", 5, nll=float("nan"))
        assert watch.look().stages[1].step == 5
    assert watch.look().state == "stopped"
    assert watch.look().stages[1].state == "begun"
    assert watch.look().stages[1].left is None
    for name in run.names:
        run.done(name)
    assert watch.look().state == "finished"
    assert watch.look().shown == "sft", "the last that trained"


def test_what_a_resumed_run_cut_is_gone(run: Growing) -> None:
    run.prepare()
    run.begin("ppo", iterations=40)
    for step in range(1, 9):
        run.log("ppo", step, proxy=float(step), kl=0.1, entropy=1.0, length=9.0, other=3.0)
        run.draw("ppo", step)
    watch = Watch(run.directory)
    before = watch.look()
    assert [curve.metric for curve in before.curves] == ["proxy", "kl", "entropy", "length"]
    assert before.curves[0].last == 8.0
    for name in ("metrics.jsonl", "timing.jsonl", "ppo/fresh.jsonl"):
        path = run.directory / name
        lines = path.read_text().splitlines(keepends=True)[:4]
        (run.directory / "new").write_text("".join(lines))
        (run.directory / "new").replace(path)
    after = watch.look()
    assert (after.curves[0].steps, after.stages[3].step) == ([1.0, 2.0, 3.0, 4.0], 4)
    assert [row.step for row in after.drawn] == [4, 3, 2, 1]


def test_under_other_settings_a_stage_waits_again(run: Growing) -> None:
    run.prepare()
    run.done("records")
    run.done("sft")
    keys = run.directory / "keys.json"
    keys.write_text(keys.read_text().replace("key-sft", "key-new"))
    assert [stage.state for stage in Watch(run.directory).look().stages][:2] == ["done", "waiting"]


def test_what_was_taken_up_last_is_what_runs(run: Growing) -> None:
    run.prepare()
    run.begin("sft", iterations=10)
    run.begin("ppo", iterations=40)
    with run.running():
        states = {stage.name: stage.state for stage in Watch(run.directory).look().stages}
        assert (states["sft"], states["ppo"]) == ("begun", "running")


def test_an_ensembles_members_are_told_apart(run: Growing) -> None:
    run.prepare()
    with run.running():
        for member, steps in ((0, 8), (1, 3)):
            run.begin("ensemble", iterations=8, member=member)
            for step in range(1, steps + 1):
                run.log(f"ensemble.{member}", step, bradley_terry=0.7 + member)
        frame = Watch(run.directory).look()
    stage = frame.stages[2]
    assert (stage.step, stage.of, stage.note) == (3, 8, "member 2 of 3")
    assert frame.curves[0].last == 1.7


def test_gates_and_answers_are_found_and_made_harmless(run: Growing) -> None:
    run.prepare()
    run.begin("ppo")
    run.log("ppo", 1, proxy=1.0)
    run.find("ppo", "kl", "It is \x1b[2Jtoo far.", step=7, tripped=True)
    run.append("ppo/gates.jsonl", {"odd": 1})
    run.draw("ppo", 5, "\x1b]0;owned\x07 \u202eabc\ud800\r\nNext", reward=None)
    run.append("ppo/fresh.jsonl", {"step": 6})
    frame = Watch(run.directory).look()
    (found,) = frame.findings
    assert (found.stage, found.gate, found.step, found.tripped) == ("ppo", "kl", 7, True)
    assert found.says == "It is \N{REPLACEMENT CHARACTER}[2Jtoo far."
    (drawn,) = frame.drawn
    assert drawn.answer == "�]0;owned� �abc�\nNext"
    assert (drawn.reward, drawn.kl) == (None, 1.25)
    for step in range(7, 40):
        run.draw("ppo", step)
    assert len(Watch(run.directory).look().drawn) == LATEST


def test_what_does_not_train_leaves_the_last_curves_and_answers_there(run: Growing) -> None:
    run.prepare()
    run.begin("ppo")
    run.log("ppo", 1, proxy=1.0)
    run.draw("ppo", 1)
    with run.running():
        run.begin("evaluate")
        frame = Watch(run.directory).look()
        assert frame.stages[4].state == "running"
        assert (frame.shown, frame.drawn_in) == ("ppo", "ppo")
        run.log("sft", 1, nll=1.0)
        assert Watch(run.directory).look().shown == "ppo", "later in the recipe"


def test_of_several_seeds_the_one_that_runs_is_shown(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    assert watch.look().state == "not begun"
    runs = [Growing(tmp_path / f"seed-{seed}") for seed in range(2)]
    for run in runs:
        run.prepare()
        run.begin("records")
    for name in runs[0].names:
        runs[0].done(name)
    with runs[0].running():
        assert watch.look().directory.name == "seed-0"
    with runs[1].running():
        frame = watch.look()
    assert frame.directory.name == "seed-1"
    assert frame.seeds == {"seed-0": "finished", "seed-1": "running"}


@pytest.mark.parametrize("text", ["[1, 2]", "stages: 3", "stages: [a]", "a: [", "\x00", "7",
                                  "stages: [{sft: {name: ../..}}, {sft: {name: 'a/b'}}]",
                                  'stages: [{sft: {name: "\\e[2J"}}]'])  # fmt: skip
def test_what_no_run_wrote_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(UserError, match="is no recipe as heed run writes it"):
        Watch(tmp_path).look()


def test_spoilt_files_do_not_end_the_watching(run: Growing) -> None:
    run.prepare()
    run.begin("sft", iterations=10)
    run.append("metrics.jsonl", {"stage": 3, "step": "x"})
    run.append("metrics.jsonl", {"stage": "sft", "step": 1, "nll": "high"})
    run.append("timing.jsonl", {"stage": "sft", "step": 1, "seconds": None})
    (run.directory / "sft/planned.json").write_text("{")
    (run.directory / "records").mkdir()
    (run.directory / "records/done.json").write_text("[]")
    frame = Watch(run.directory).look()
    assert [stage.state for stage in frame.stages][:2] == ["waiting", "begun"]
    assert frame.curves == ()


def test_plain_keeps_what_is_only_text() -> None:
    assert plain("Grüße, 你好\n\tשלום 👩\u200d🚀") == "Grüße, 你好\n\tשלום 👩\u200d🚀"
