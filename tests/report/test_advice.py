"""Every rule by itself: what it says, with its figures and its setting, and when it is silent."""

from __future__ import annotations

from typing import Any

import pytest
from report.views import DOWN, OPEN, UP, est, gap, part, parting, run, stage

from heed.report import advice
from heed.report.advice import RULES

LABELS = stage("collect", comparisons=8000, per_item=1)
PPO = stage("ppo", kl={"coef": 0.15})
DPO = stage("dpo", beta=0.1)
HELD = est(0.79, 0.77, 0.81)
ROW = {"stage": "ppo", "gate": "kl", "tripped": True, "says": "KL 12."}


def test_a_run_without_anything_is_advised_nothing() -> None:
    assert advice.advice(run(), []) == []


def test_every_rule_is_silent_where_nothing_was_measured() -> None:
    assert [rule(run(), []) for rule in RULES] == [None] * len(RULES)


def test_finish() -> None:
    view = run(stages=[stage("sft"), stage("dpo", done=False), stage("evaluate", done=False)])
    assert advice.finish(view, []) == (
        "Run it to its end: heed run goes on with dpo and evaluate and keeps what is done."
    )
    assert advice.finish(run(stages=[stage("sft")]), []) is None
    many = run(stages=[stage(name, done=False) for name in "abcdefg"])
    says = advice.finish(many, [])
    assert says is not None
    assert "goes on with a, b, c and 4 more and keeps" in says


def test_gates() -> None:
    calm = {**ROW, "gate": "entropy", "tripped": False}
    new = {**ROW, "gate": "a_new_one", "stage": "sft"}
    says = advice.gates(run(), [part("gates", [ROW, ROW, calm, new])])
    assert says == (
        "See to the gates that tripped (kl in PPO: raise the stage's kl.coef, or let gates.kl stop "
        "it (action: stop); a_new_one in SFT)."
    )
    assert advice.gates(run(), [part("gates", [calm])]) is None
    many = [{**new, "stage": f"s{number}"} for number in range(5)]
    says = advice.gates(run(), [part("gates", many)])
    assert says == (
        "See to the gates that tripped (a_new_one in s0; a_new_one in s1; a_new_one in s2; 2 more)."
    )


def test_gamed() -> None:
    view = run(stages=[stage("ppo", rows=parting(), kl={"coef": 0.0})])
    says = advice.gamed(view, [])
    assert says is not None
    assert says.startswith("PPO gamed its reward (gold −0.8")
    assert "raise ppo.kl.coef (now 0.0), or name a reward" in says
    assert "gates.overoptimisation.reward" in says
    assert advice.gamed(run(stages=[stage("ppo", rows=parting(fall=-1.0))]), []) is None


def test_worse() -> None:
    view = run(gap("ppo", found=DOWN), gap("dpo"), stages=[PPO, DPO])
    assert advice.worse(view, []) == (
        "Do not use PPO, worse than SFT (−0.50 [−0.60, −0.40] in gold reward): raise ppo.kl.coef "
        "(now 0.15)."
    )
    assert advice.worse(run(gap("ppo", found=OPEN)), []) is None


@pytest.mark.parametrize(
    ("kl", "wanted"),
    [
        ((0.2, 0.1, 0.3), "hardly moved (KL 0.20 [0.10, 0.30] nats): lower ppo.kl.coef (now 0.15)"),
        ((3.0, 2.5, 3.5), "collect more: collect.comparisons (now 8000), or measure more closely"),
    ],
)
def test_not_shown(kl: tuple[float, float, float], wanted: str) -> None:
    view = run(gap("ppo", found=OPEN), stages=[LABELS, PPO], policies={"ppo": {"kl": est(*kl)}})
    says = advice.not_shown(view, [])
    assert says is not None
    assert says.startswith("PPO is not shown to be better than SFT ")
    assert "0.10 [−0.20, 0.40] in gold reward" in says
    assert wanted in says
    assert advice.not_shown(run(gap("ppo", found=OPEN), gap("dpo")), []) is None


def distances(kl: tuple[float, float, float]) -> Any:
    policies = {"ppo": {"kl": est(*kl)}, "dpo": {"kl": est(1.0, 0.9, 1.1)}}
    return run(
        gap("ppo"), gap("dpo"), gap("ppo", "dpo", OPEN), policies=policies, stages=[PPO, DPO]
    )


def test_distance() -> None:
    assert advice.distance(distances((4.0, 3.8, 4.2)), []) == (
        "PPO went further than DPO (KL 4.00 [3.80, 4.20] against 1.00 [0.90, 1.10] nats) and is "
        "not shown to be better for it: raise ppo.kl.coef (now 0.15)."
    )
    assert advice.distance(distances((4.0, 0.5, 7.5)), []) is None  # not surely further
    assert advice.distance(distances((1.5, 1.4, 1.6)), []) is None  # not much further


@pytest.mark.parametrize("between", [gap("ppo", "dpo", OPEN), gap("dpo", "ppo", UP)])
def test_simpler(between: Any) -> None:
    stages = [PPO, DPO]
    says = advice.simpler(run(gap("ppo"), gap("dpo"), between, stages=stages), [])
    assert says is not None
    assert says.startswith("DPO is not shown to be worse than PPO")
    better = run(gap("ppo"), gap("dpo"), gap("ppo", "dpo", UP), stages=stages)
    assert advice.simpler(better, []) is None
    unsure = run(gap("ppo"), gap("dpo", found=OPEN), between, stages=stages)
    assert advice.simpler(unsure, []) is None  # what is simple but not better is no advice


def test_simpler_knows_policies_by_their_stages() -> None:
    labels = {"policies": {"rl": "ppo", "best": "best_of_8"}}
    stages = [PPO, stage("best_of_8", "best_of_n"), stage("evaluate", **labels)]
    view = run(gap("rl"), gap("best"), gap("best", "rl", OPEN), stages=stages)
    says = advice.simpler(view, [])
    assert says is not None
    assert says.startswith("best is not shown to be worse than rl")


def test_family_lost() -> None:
    families = {
        "sft": {"facts": {"gold": est(0.5, 0.4, 0.6)}, "verse": {"gold": est(0.5, 0.4, 0.6)}},
        "ppo": {"facts": {"gold": est(-0.5, -0.6, -0.4)}, "verse": {"gold": est(0.4, 0.3, 0.5)}},
    }
    says = advice.family_lost(run(gap("ppo"), families=families), [])
    assert says is not None
    assert says.startswith("PPO lost on facts (−1.00 [−1.16, −0.84]): collect comparisons of such")
    assert advice.family_lost(run(gap("ppo")), []) is None


@pytest.mark.parametrize(
    ("ceiling", "wanted"),
    [
        (est(0.80, 0.79, 0.81), "the labels are the limit; raise collect.per_item (now 1)"),
        (est(0.95, 0.94, 0.96), "more to be learnt from such labels; raise collect.comparisons"),
    ],
)
def test_labels_or_model(ceiling: Any, wanted: str) -> None:
    view = run(reward_model={"accuracy": HELD, "noise_ceiling": ceiling}, stages=[LABELS])
    says = advice.labels_or_model(view, [])
    assert says is not None
    assert wanted in says
    assert "79.0% [77.0, 81.0]" in says


def test_a_model_that_knows_no_more_than_words_wants_no_labels() -> None:
    reward = {"accuracy": HELD, "noise_ceiling": est(0.95, 0.94, 0.96)}
    view = run(reward_model=reward, baselines={"tfidf": est(0.78, 0.76, 0.80)}, stages=[LABELS])
    assert advice.labels_or_model(view, []) is None
    says = advice.words_alone(view, [])
    assert says is not None
    assert "than the words alone (TF-IDF) (78.0% [76.0, 80.0])" in says
    view.baselines["tfidf"] = est(0.6, 0.58, 0.62)
    assert advice.words_alone(view, []) is None
    assert advice.labels_or_model(view, []) is not None


def test_own_mistakes() -> None:
    own = {"ppo": ("reward", {"gap": est(*UP)}), "dpo": ("reward", {"gap": est(*OPEN)})}
    says = advice.own_mistakes(run(own_reward=own), [])
    assert says is not None
    assert says.startswith("PPO gained 0.50 [0.40, 0.60] standard deviations by its reward's")
    del own["ppo"]
    assert advice.own_mistakes(run(own_reward=own), []) is None


def test_seeds() -> None:
    assert advice.seeds(run(gap("ppo")), []) is not None
    assert advice.seeds(run(gap("ppo", found=OPEN)), []) is None
    assert advice.seeds(run(gap("ppo"), folder="seed-0"), []) is None


def test_what_parts_advise_comes_last_and_once() -> None:
    parts = [part("a", advice=("Do this.",)), part("b", advice=("Do this.", "And that."))]
    *_, this, that = advice.advice(run(gap("ppo")), parts)
    assert (this, that) == ("Do this.", "And that.")
    assert len(advice.advice(run(gap("ppo")), parts)) == 3
