"""The league: hand-made runs of three seeds, ranked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from heed.config import dump_recipe, load_recipe
from heed.errors import UserError
from heed.recipe import Recipe
from heed.report.league import read_league, why_not
from heed.report.league_page import write_league
from heed.run import Run, seeds_of
from heed.stats.intervals import Estimate

GOLD = {
    "base": (-1.4, -1.2, -1.3),
    "sft": (0.3, 0.4, 0.2),
    "dpo": (0.9, 1.0, 0.8),  # +.6 in every seed
    "ppo": (0.4, 0.3, 0.4),  # +.1, -.1, +.2: mean .0667, t interval [-.313, .446]
}
PROXY = {"base": -2.0, "sft": 0.0, "dpo": 0.8, "ppo": 1.5}
KL = {"base": 1.0, "sft": 0.0, "dpo": 1.2, "ppo": 4.0}
SECONDS = {
    "pretrain": 60.0, "sft": 20.0, "collect": 10.0, "reward": 30.0, "ppo": 50.0, "dpo": 40.0,
    "compare": 5.0, "leash_off": 15.0, "overoptimisation": 25.0,
}  # fmt: skip


def estimate(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 900}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """What `heed run quickstart --set seeds=3` leaves, with made-up figures."""
    for number, recipe in enumerate(load_recipe("quickstart", ["seeds=3"]).by_seed()):
        run = Run(recipe, tmp_path / f"seed-{recipe.seed}")
        run.prepare()
        for name, seconds in SECONDS.items():
            run.stage(name).finish(seconds + number, {}, memory=(100 + number) * 2**20)
        place = run.stage("evaluate")
        place.finish(5.0, {})
        table = {
            policy: {
                "gold": estimate(gold[number]),
                "proxy": estimate(PROXY[policy]),
                "kl": estimate(KL[policy]),
            }
            for policy, gold in GOLD.items()
        }
        (place.directory / "measures.json").write_text(json.dumps({"policies": table}))
    return tmp_path


def copy_of(run: Path, to: Path, recipe: Recipe) -> None:
    """The same figures, as if another recipe had made them."""
    shutil.copytree(run, to)
    copied = Run(recipe, to)
    copied.prepare()
    for marker in to.glob("*/done.json"):
        done = json.loads(marker.read_text())
        marker.write_text(json.dumps({**done, "key": copied.keys[marker.parent.name]}))


def begun_in(run: Path, year: int) -> None:
    provenance = json.loads((run / "provenance.json").read_text())
    at = {"started": f"{year}-01-01T00:00:00+0100"}
    (run / "provenance.json").write_text(json.dumps({**provenance, **at}))


def test_by_seed_gives_runs_that_differ_by_their_seeds_alone() -> None:
    recipe = load_recipe("quickstart", ["seeds=3", "seed=4", "world.seed=7"])
    runs = recipe.by_seed()
    assert [(run.seed, run.world.seed, run.seeds) for run in runs] == [
        (4, 7, 1), (5, 8, 1), (6, 9, 1),
    ]  # fmt: skip
    assert dump_recipe(runs[0]) == dump_recipe(
        load_recipe("quickstart", ["seed=4", "world.seed=7"])
    )


def test_seeds_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("seed-10", "seed-9", "seed--1", "seed-9.bak", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text("name: x\n")
    assert [path.name for path in seeds_of(tmp_path)] == ["seed--1", "seed-9", "seed-10"]
    assert seeds_of(tmp_path / "seed-9") == []


def test_differences_are_paired_by_seed(runs: Path) -> None:
    league = read_league(runs)
    assert league.baseline == "sft"
    assert league.seeds == [0, 1, 2]
    assert [each.policy for each in league.standings] == ["dpo", "ppo"]
    assert [each.policy for each in league.before] == ["base"]
    dpo, ppo = league.standings
    assert dpo.above["gold"].mean == pytest.approx(0.6)
    assert dpo.above["gold"].low == pytest.approx(0.6)
    assert (dpo.verdict, dpo.why) == ("better", "")
    # Of .1, -.1, .2: mean .0667, deviation .1528, Student's t(2) at 97.5% 4.3027.
    half = 4.302653 * 0.1527525 / 3**0.5
    assert ppo.above["gold"].low == pytest.approx(0.0666667 - half, abs=1e-5)
    assert ppo.by_seed == pytest.approx([0.1, -0.1, 0.2])
    assert ppo.verdict == "unclear"
    assert "may have been gamed" in ppo.why


def test_time_counts_what_a_method_needs_beyond_the_baseline(runs: Path) -> None:
    dpo, ppo = read_league(runs).standings
    assert (dpo.seconds, ppo.seconds) == (41.0, 51.0)
    assert dpo.whole == pytest.approx(41 + 11)  # and the comparisons
    assert ppo.whole == pytest.approx(51 + 11 + 31)  # and the reward model
    assert dpo.memory == 102 * 2**20


def test_the_page_and_its_figures(runs: Path) -> None:
    page = write_league(runs).read_text()
    found = json.loads((runs / "league.json").read_text())
    assert found["headline"] == (
        "Over 3 seeds, 1 of 2 trained policies are better than SFT in gold reward beyond the 95% "
        "interval; DPO leads, by 0.60 [0.60, 0.60]."
    )
    assert found["headline"] in page
    assert found["standings"][0]["figures"]["kl"]["mean"] == pytest.approx(1.2)
    assert "PPO: 0.07 [−0.31, 0.45]." in page
    assert page.count("<svg") == 2
    assert not re.search(r"\{\{|\{%|undefined", page)
    assert "102 MiB" in page


def test_a_seed_that_is_not_evaluated_is_named_and_left_out(runs: Path) -> None:
    (runs / "seed-1" / "evaluate" / "done.json").unlink()
    league = read_league(runs)
    assert league.seeds == [0, 2]
    assert league.notes == ["seed-1 is not evaluated yet."]


def test_one_seed_gives_an_order_and_no_verdict(runs: Path) -> None:
    for number in (1, 2):
        (runs / f"seed-{number}" / "evaluate" / "done.json").unlink()
    page = write_league(runs).read_text()
    assert "One seed alone says nothing of the next; in it DPO leads, 0.60 above SFT" in page
    assert "Not shown to be better" not in page


def test_what_an_evaluation_notes_stands_in_the_league(runs: Path) -> None:
    for number in range(3):
        place = Run(load_recipe(str(runs / f"seed-{number}" / "recipe.yaml")),
                    runs / f"seed-{number}").stage("evaluate")  # fmt: skip
        place.finish(5.0, {"notes": ["The KL of dpo is an upper bound."]})
    assert read_league(runs).notes == ["evaluate: The KL of dpo is an upper bound."]


def test_what_one_run_notes_is_told_with_its_name(runs: Path) -> None:
    place = Run(load_recipe(str(runs / "seed-1" / "recipe.yaml")), runs / "seed-1").stage("ppo")
    place.finish(50.0, {"notes": ["Stopped after iteration 9: the gate closed."]})
    assert read_league(runs).notes == [
        "seed-1, ppo: Stopped after iteration 9: the gate closed."
    ]  # fmt: skip


def test_runs_of_another_recipe_are_named_and_left_out(runs: Path) -> None:
    older = load_recipe("quickstart", ["seed=3", "world.seed=3", "ppo.kl.coef=0.3"])
    copy_of(runs / "seed-2", runs / "seed-3", older)
    begun_in(runs / "seed-3", 2001)
    for league in (read_league(runs), read_league(runs, load_recipe("quickstart", ["seeds=3"]))):
        assert league.seeds == [0, 1, 2]
        assert league.notes == ["seed-3 is a run of another recipe and is left out."]
    begun_in(runs / "seed-3", 2999)
    assert read_league(runs).seeds == [3]
    assert read_league(runs, load_recipe("quickstart", ["seeds=3"])).seeds == [0, 1, 2]


def test_a_world_that_did_not_move_with_the_seed_is_another_recipe(runs: Path) -> None:
    copy_of(runs / "seed-2", runs / "seed-3", load_recipe("quickstart", ["seed=3"]))
    begun_in(runs / "seed-3", 2001)
    assert read_league(runs).seeds == [0, 1, 2]


def test_the_same_seed_is_no_further_evidence(runs: Path) -> None:
    shutil.copytree(runs / "seed-0", runs / "seed-3")
    shutil.copytree(runs / "seed-0", runs / "seed-0-as-it-was")
    league = read_league(runs)
    assert league.seeds == [0, 1, 2]
    assert league.notes == ["seed-3 has the seed of a run before it and is left out."]


def test_the_policies_of_every_evaluation_stand_in_the_league(tmp_path: Path) -> None:
    text = dump_recipe(load_recipe("quickstart"))
    more = "  - evaluate: {name: again, policies: {late: ppo}}\n  - report:"
    (tmp_path / "two.yaml").write_text(text.replace("  - report:", more))
    for recipe in load_recipe(str(tmp_path / "two.yaml"), ["seeds=2"]).by_seed():
        run = Run(recipe, tmp_path / f"seed-{recipe.seed}")
        run.prepare()
        for stage, policies in (("evaluate", ("sft", "dpo")), ("again", ("late",))):
            run.stage(stage).finish(5.0, {})
            table = {name: {"gold": estimate(recipe.seed)} for name in policies}
            measures = json.dumps({"policies": table})
            (run.directory / stage / "measures.json").write_text(measures)
    assert {each.policy for each in read_league(tmp_path).standings} == {"dpo", "late"}


def test_nothing_to_rank_is_told(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no evaluated run"):
        read_league(tmp_path / "nowhere")
    for number in range(3):
        (runs / f"seed-{number}" / "evaluate" / "done.json").unlink()
    with pytest.raises(UserError, match="nothing to rank"):
        read_league(runs)


def test_without_its_baseline_there_is_nothing_to_stand_above(runs: Path) -> None:
    lone = "evaluate.policies={dpo: dpo, ppo: ppo}"
    for seed in range(3):
        recipe = load_recipe("quickstart", [f"seed={seed}", f"world.seed={seed}", lone])
        run = Run(recipe, runs / f"seed-{seed}")
        run.prepare()
        run.stage("evaluate").finish(5.0, {})
    with pytest.raises(UserError, match="do not include 'sft'"):
        read_league(runs)


@pytest.mark.parametrize(
    ("kl", "proxy", "gold", "says"),
    [
        ((0.05, 0.0, 0.1), (0.2, 0.1, 0.3), (0.0, -0.1, 0.1), "hardly moved: KL 0.05"),
        ((4.0, 3.0, 5.0), (1.0, 0.9, 1.1), (-0.5, -0.6, -0.4), "the true reward fell"),
        ((4.0, 3.0, 5.0), (1.0, 0.9, 1.1), (0.0, -0.6, 0.6), "is not shown to follow"),
        ((4.0, 3.0, 5.0), (-1.0, -1.1, -0.9), (-0.5, -0.6, -0.4), "the reward model says so too"),
        ((4.0, 3.0, 5.0), (0.1, -0.1, 0.3), (0.1, -0.1, 0.3), "less than the seeds differ"),
        ((4.0, 3.0, 5.0), (0.1, -0.1, 0.3), (-0.1, -0.3, 0.1), "did not rise, nor fall"),
        ((4.0, 3.0, 5.0), (0.1, float("nan"), float("nan")), (0.1, float("nan"), float("nan")),
         "One seed alone"),
    ],
)  # fmt: skip
def test_why_a_policy_is_not_above(
    kl: Sequence[float], proxy: Sequence[float], gold: Sequence[float], says: str
) -> None:
    above = {
        name: Estimate(*values, n=3)
        for name, values in (("kl", kl), ("proxy", proxy), ("gold", gold))
    }
    assert says in why_not(above, "gold")
