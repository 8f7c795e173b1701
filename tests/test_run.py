"""A run's directory: keys, markers, rows, provenance, the lock."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.lock import in_use
from heed.metering import METER
from heed.run import Run, derive_seed, fingerprint, seeds_of, stage_keys

STAGES = [
    "records", "pretrain", "sft", "collect", "reward", "ppo", "dpo",
    "evaluate", "compare", "leash_off", "overoptimisation", "report",
]  # fmt: skip
AFTER_PPO = ["ppo", "evaluate", "compare", "overoptimisation", "report"]


def keys(*overrides: str) -> dict[str, str]:
    return stage_keys(load_recipe("quickstart", overrides))


def changed(*overrides: str) -> list[str]:
    before, after = keys(), keys(*overrides)
    return [name for name in before if before[name] != after[name]]


def test_a_key_changes_with_settings_and_with_what_is_read() -> None:
    assert changed() == []
    assert changed("ppo.kl.coef=0.3") == AFTER_PPO
    assert changed("dpo.beta=0.3") == ["dpo", "evaluate", "compare", "report"]
    assert changed("collect.comparisons=7") == STAGES[3:]
    assert changed("seed=1") == STAGES
    assert changed("world.seed=1") == STAGES
    assert changed("device=cpu", "threads=1") == []


def test_a_key_holds_what_a_stage_means_and_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    monkeypatch.setattr("heed.__version__", "9.9")
    assert keys() == before
    assert changed("sft.optim.eps=1e-8", "sft.turns=all") == []
    assert stage_keys(load_recipe("quickstart"), {"dpo": 2})["sft"] == before["sft"]
    monkeypatch.setattr("heed.run.REVISIONS", {"dpo": 2})
    after = keys()
    assert [name for name in before if before[name] != after[name]] == [
        "dpo", "evaluate", "compare", "report",
    ]  # fmt: skip


def test_the_embedded_world_is_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "file").write_text("x")
    assert keys() == before


def test_a_key_follows_the_content_of_files(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("one")

    def hh(*overrides: str) -> dict[str, str]:
        return stage_keys(load_recipe("hh", overrides))

    before = hh(f"data={data}")
    assert hh(f"data={data}") == before
    data.write_text("two")
    assert hh(f"data={data}")["records"] != before["records"]
    assert hh(f"data=[{data}]") == hh(f"data={data}")
    assert keys(f"model={tmp_path}") != keys()


def test_fingerprint_sees_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    first = fingerprint(str(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    assert fingerprint(str(tmp_path)) != first
    assert fingerprint("some/hub-name") == "some/hub-name"


def test_seeds_differ_by_purpose_and_not_by_process() -> None:
    seeds = {derive_seed(0), derive_seed(1), derive_seed(0, "ppo"), derive_seed(0, "ppo", 1)}
    assert len(seeds) == 4
    assert derive_seed(0, "ppo", 1) == 178144978113348011
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(load_recipe("quickstart"), tmp_path / "run")


def rows(run: Run, name: str = "metrics") -> list[dict[str, object]]:
    text = (run.directory / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_stage_is_done_under_its_key_only(run: Run) -> None:
    sft = run.stage("sft")
    assert sft.done() is None
    assert sft.done_summary() == {}
    assert run.pending() == STAGES
    sft.start()
    sft.finish(1.5, {"iterations": 3}, memory=1024)
    done = sft.done()
    assert done is not None
    assert {"commit", "dirty"} == done.pop("git").keys()
    assert done == {
        "key": sft.key, "kind": "sft", "seconds": 1.5, "memory": 1024, "spent": {},
        "summary": {"iterations": 3},
    }  # fmt: skip
    assert sft.done_summary() == {"iterations": 3}
    assert "sft" not in run.pending()
    other = Run(load_recipe("quickstart", ["sft.epochs=9.0"]), run.directory)
    assert other.stage("sft").done() is None


def test_starting_keeps_what_was_begun_under_the_same_key(run: Run) -> None:
    sft = run.stage("sft")
    sft.start()
    (sft.directory / "checkpoint").write_text("kept")
    sft.log(1, {"loss": 1.0}, 0.1)
    sft.start()
    assert (sft.directory / "checkpoint").exists()
    assert len(rows(run)) == 1
    changed = Run(load_recipe("quickstart", ["sft.epochs=9.0"]), run.directory).stage("sft")
    changed.start()
    assert not (sft.directory / "checkpoint").exists()
    assert rows(run) == []


def test_a_finished_stage_under_another_key_is_begun_again(run: Run) -> None:
    sft = run.stage("sft")
    sft.start()
    sft.finish(1.0, {})
    other = Run(load_recipe("quickstart", ["sft.epochs=9.0"]), run.directory).stage("sft")
    other.start()
    assert not (other.directory / "done.json").exists()


def test_rows_past_a_checkpoint_are_cut_for_one_stage_only(run: Run) -> None:
    run.stage("pretrain").start()
    run.stage("pretrain").log(5, {"nll": 2.0}, 0.1)
    sft = run.stage("sft")
    sft.start()
    for step in (1, 2, 3):
        sft.log(step, {"loss": 1.0 / step, "bad": float("nan")}, 0.25)
    with (run.directory / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "sft", "st')  # a row torn by a kill
    sft.keep_rows(until=2)
    assert rows(run) == [
        {"stage": "pretrain", "step": 5, "nll": 2.0},
        {"stage": "sft", "step": 1, "loss": 1.0, "bad": None},
        {"stage": "sft", "step": 2, "loss": 0.5, "bad": None},
    ]
    assert [row["seconds"] for row in rows(run, "timing")] == [0.1, 0.25, 0.25]


def test_a_training_says_how_long_it_will_be(run: Run) -> None:
    stage = run.stage("sft")
    stage.start()
    stage.plan(40)
    assert json.loads((stage.directory / "planned.json").read_text()) == {"iterations": 40}


def test_only_the_writer_touches_the_disk(run: Run) -> None:
    silent = Run(run.recipe, run.directory, writes=False).stage("sft")
    silent.start()
    silent.plan(3)
    silent.log(1, {"loss": 1.0}, 0.1)
    silent.keep_rows(until=0)
    silent.finish(1.0, {})
    assert not run.directory.exists()


def test_prepare_writes_recipe_and_provenance(run: Run) -> None:
    run.directory.mkdir()
    (run.directory / ".timing.jsonl.x1").write_text("{")  # what a kill left half written
    (run.directory / ".gitignore").write_text("*")
    run.prepare()
    assert {path.name for path in run.directory.glob(".*")} == {".gitignore"}
    assert load_recipe(str(run.directory / "recipe.yaml")) == run.recipe
    origin = json.loads((run.directory / "provenance.json").read_text())
    assert origin["versions"]["torch"].startswith("2.")
    assert origin["command"] == sys.argv
    assert {"started", "git", "host"} <= origin.keys()


def test_starting_clears_what_a_kill_left_half_written(run: Run) -> None:
    sft = run.stage("sft")
    sft.start()
    (sft.directory / ".policy.x1").mkdir()
    (sft.directory / ".done.json.x2").write_text("{")
    (sft.directory / ".policy.x1" / ".config.json.x3").write_text("{")
    (sft.directory / "reference").mkdir()
    (sft.directory / "reference" / ".heldout.x4").mkdir()
    sft.start()
    left = sorted(str(path.relative_to(sft.directory)) for path in sft.directory.rglob("*"))
    assert left == ["reference", "started.json"]


def test_seconds_of_all_processes_that_worked_on_a_stage(run: Run) -> None:
    sft = run.stage("sft")
    assert sft.seconds_logged() == 0.0
    sft.start()
    sft.log(1, {"loss": 1.0}, 0.25)
    run.stage("dpo").start()
    run.stage("dpo").log(1, {"loss": 1.0}, 9.0)
    sft.log(2, {"loss": 1.0}, 0.5)
    assert sft.seconds_logged() == 0.75


def test_what_was_spent_outlives_a_kill(run: Run) -> None:
    sft = run.stage("sft")
    sft.start()
    METER.start()
    for step, tokens in enumerate((3, 4), start=1):
        METER.add("trained", tokens)
        sft.log(step, {"loss": 1.0}, 0.1)
    METER.add("trained", 100)  # what no iteration wrote down is lost with the process
    METER.start()
    run.stage("reward").log(1, {}, 0.1)
    assert sft.spent_logged() == {"trained": 7.0}
    sft.finish(1.0, {}, spent=sft.spent_logged())
    done = sft.done()
    assert done is not None
    assert done["spent"] == {"trained": 7.0}


def test_where_people_find_the_page_is_no_part_of_a_key() -> None:
    asked = "collect.source=people"
    plain = keys(asked)["collect"]
    assert keys(asked, "collect.people.serve=false")["collect"] == plain
    assert keys(asked, "collect.people={host: 0.0.0.0, port: 9000}")["collect"] == plain
    assert keys(asked, "collect.people={enough: 0.5, port: 1}")["collect"] != plain
    assert keys()["collect"] != plain


def test_where_servers_stand_is_no_part_of_a_key_but_that_they_draw_is() -> None:
    one = "ppo.servers.addresses=[http://127.0.0.1:1]"
    assert changed(one) == AFTER_PPO
    drawn = keys(one)["ppo"]
    assert keys("ppo.servers.addresses=[http://a:1, http://b:2]")["ppo"] == drawn
    assert keys(one, "ppo.servers.send_every=2")["ppo"] != drawn


def test_only_gates_that_may_end_a_training_are_part_of_a_key() -> None:
    def keys(*overrides: str) -> dict[str, str]:
        return stage_keys(load_recipe("quickstart", overrides))

    plain = keys()
    assert keys("gates.sign.action=off", "gates.kl.budget=3") == plain
    stops = keys("gates.kl.action=stop")
    assert [name for name in plain if plain[name] != stops[name]] == [
        *AFTER_PPO[:3],
        "leash_off",
        *AFTER_PPO[3:],
    ]
    assert keys("gates.kl.action=stop", "gates.kl.budget=3")["ppo"] != stops["ppo"]


def test_notes_are_rows_of_the_stage_and_only_one_process_writes_them(run: Run) -> None:
    stage = run.stage("sft")
    stage.start()
    stage.note("gates.jsonl", [{"step": None, "gate": "a"}, {"step": 4, "gate": "b"}])
    silent = Run(run.recipe, run.directory, writes=False).stage("sft")
    silent.note("gates.jsonl", [{"step": 5, "gate": "c"}])
    silent.forget("gates.jsonl", lambda _: True)
    assert [row["gate"] for row in silent.noted("gates.jsonl")] == ["a", "b"]
    stage.forget("gates.jsonl", lambda row: row["step"] == 4)
    assert [row["gate"] for row in stage.noted("gates.jsonl")] == ["a"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\ud800"])
def test_a_damaged_marker_is_named(run: Run, content: str) -> None:
    sft = run.stage("sft")
    sft.start()
    (sft.directory / "done.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=r"sft/done\.json is damaged"):
        run.pending()


@pytest.mark.parametrize("content", ["{", "3", '{"stage": "sft"}'])
def test_a_damaged_row_is_named_by_its_line(run: Run, content: str) -> None:
    sft = run.stage("sft")
    sft.start()
    sft.log(1, {"loss": 1.0}, 0.1)
    with (run.directory / "metrics.jsonl").open("a") as file:
        file.write(f'{content}\n{{"stage": "sft", "step": 2}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: this is no row"):
        sft.logged()


def test_the_seeds_of_a_directory_by_number(tmp_path: Path) -> None:
    assert seeds_of(tmp_path / "nothing") == []
    for name in ("seed-10", "seed-2", "seed--1", "seed-two", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").touch()
    (tmp_path / "seed-3").mkdir()  # no run
    assert [path.name for path in seeds_of(tmp_path)] == ["seed--1", "seed-2", "seed-10"]
    (tmp_path / "recipe.yaml").touch()
    assert seeds_of(tmp_path) == []


def test_who_follows_a_run_hears_what_its_writer_writes(run: Run) -> None:
    heard: list[tuple[str, str, list[str]]] = []
    run.hear = lambda stage, file, told: heard.append((stage, file, [*told[0]]))
    stage = run.stage("sft")
    stage.start()
    stage.log(1, {"loss": 1.0}, 0.1)
    stage.finish(1.0, {"iterations": 1})
    assert [each[:2] for each in heard] == [("sft", "metrics.jsonl"), ("sft", "done.json")]
    assert "loss" in heard[0][2]
    assert heard[1][2] == ["iterations"]


def test_a_run_is_one_process_s(run: Run) -> None:
    with run.locked():
        assert in_use(run.directory)
    assert not in_use(run.directory)
