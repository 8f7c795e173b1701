"""What is said to each question, and that nothing is said beyond its intervals."""

from __future__ import annotations

from typing import Any

import pytest
from report.views import DOWN, OPEN, UP, est, gap, part, parting, run, stage

from heed.report.answers import answers, better, cost, next_steps, trust, whom
from heed.report.part import QUESTIONS

WIDE = (0.9, -0.1, 1.9)
"""A large mean that shows nothing."""


def test_every_question_is_answered_in_order_and_unknown_where_nothing_was_measured() -> None:
    found = answers(run(), [])
    assert [each.question for each in found] == list(QUESTIONS)
    assert [each.word for each in found] == ["Unknown"] * 4 + ["Nothing"]
    assert all(1 <= len(each.sentences) <= 2 for each in found)


@pytest.mark.parametrize(
    ("ppo", "dpo", "word", "tone"),
    [
        (UP, UP, "Yes", "good"),
        (UP, OPEN, "Partly", "unsure"),
        (UP, DOWN, "Partly", "unsure"),
        (OPEN, WIDE, "Not shown", "unsure"),
        (OPEN, DOWN, "No", "bad"),
        (DOWN, DOWN, "No", "bad"),
    ],
)
def test_better(ppo: Any, dpo: Any, word: str, tone: str) -> None:
    found = better(run(gap("ppo", found=ppo), gap("dpo", found=dpo)), [])
    assert (found.word, found.tone) == (word, tone)


def test_better_names_who_by_how_much() -> None:
    gaps = [gap("ppo"), gap("dpo", found=DOWN), gap("kto", found=OPEN)]
    correct = gap("ppo", found=(0.08, 0.04, 0.12), measure="correct")
    found = better(run(*gaps, correct, gap("sft", "base")), [])
    assert found.sentences == (
        "In gold reward, better than SFT: PPO by 0.50 [0.40, 0.60]; worse: DPO by −0.50 [−0.60, "
        "−0.40]; not told apart: KTO by 0.10 [−0.20, 0.40].",
        "PPO minus SFT: correct 8.0% [4.0, 12.0].",
    )
    alone = better(run(gap("kto", found=OPEN)), [])
    assert alone.sentences == (
        "In gold reward, not told apart from SFT: KTO by 0.10 [−0.20, 0.40].",
    )


@pytest.mark.parametrize(("found", "word"), [(UP, "Not shown"), (DOWN, "No")])
def test_the_reward_that_trained_them_proves_nothing(found: Any, word: str) -> None:
    stages = [stage("ppo"), stage("evaluate")]
    said = better(run(gap("ppo", found=found, measure="proxy"), stages=stages), [])
    assert said.word == word
    assert said.sentences[0].startswith("Only the reward that the policies learned to please")


@pytest.mark.parametrize(("found", "word"), [(UP, "Probably"), (OPEN, "Not shown"), (DOWN, "No")])
def test_a_reward_that_nobody_learned_to_please_proves_something(found: Any, word: str) -> None:
    """ppo has another reward than the one that judges; dpo has none."""
    stages = [stage("ppo", reward="length"), stage("dpo"), stage("evaluate", reward="reward")]
    means = {"dpo": {"proxy": {"a": 2.0, "b": 1.0, "c": 0.0, "d": 1.0}},
             "sft": {"proxy": {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}}}  # fmt: skip
    found = gap("dpo", found=found, measure="proxy")
    fields = {"stages": stages, "means": means}
    knows, guesses = (est(mean, mean - 0.05, mean + 0.05) for mean in (0.6, 0.52))
    said = better(run(found, reward_model={"accuracy": knows}, **fields), [])
    assert said.word == word
    unsure = better(run(found, reward_model={"accuracy": guesses}, **fields), [])
    assert unsure.word == ("Not shown" if word == "Probably" else word)
    assert said.tone != "good"
    assert "nobody else; DPO scores above SFT on 62% [" in said.sentences[1]


def test_one_family_of_prompts_tells_nobody_apart() -> None:
    before, after = {"facts": {"gold": est(0, 0, 0)}}, {"facts": {"gold": est(*UP)}}
    found = whom(run(gap("ppo"), families={"sft": before, "ppo": after}), [])
    assert found.word == "Not told apart"


def compared(judge: str, *, fooled: bool = False, **wins: tuple[float, float, float]) -> Any:
    table = {name: {"win_rate": est(*found).to_json()} for name, found in wins.items()}
    judges = {judge: {"against_baseline": table, "fooled_by": ["decoy: empty"] * fooled}}
    return [part("compare", [{"baseline": "sft", "judges": judges}], question="better")]


@pytest.mark.parametrize(
    ("ppo", "dpo", "word"),
    [
        ((62, 55, 69), (60, 52, 68), "Yes"),
        ((62, 55, 69), (50, 40, 60), "Partly"),
        ((62, 45, 79), (50, 40, 60), "Not shown"),
        ((40, 35, 45), (50, 40, 60), "No"),
    ],
)
def test_a_blind_comparison_answers_where_only_the_reward_does(
    ppo: Any, dpo: Any, word: str
) -> None:
    blind = compared("judge", ppo=ppo, dpo=dpo)
    for view in (run(gap("ppo", measure="proxy")), run()):
        found = better(view, blind)
        assert found.word == word
        assert found.sentences[0].startswith("In blind pairs with SFT, judged by judge, PPO wins ")
    assert better(run(gap("ppo")), blind).word == "Yes"  # gold knows more


def test_a_judge_that_was_trained_on_or_fooled_answers_nothing() -> None:
    view = run(gap("ppo", measure="proxy"), stages=[stage("ppo", reward="reward")])
    for blind in (
        compared("reward", ppo=(90, 80, 99)),
        compared("j", fooled=True, ppo=(90, 80, 99)),
    ):
        assert better(view, blind).word == "Not shown"


def families(facts: Any, verse: Any) -> Any:
    before = {"facts": {"gold": est(0, 0, 0)}, "verse": {"gold": est(0, 0, 0)}}
    after = {"facts": {"gold": est(*facts)}, "verse": {"gold": est(*verse)}}
    return run(gap("ppo"), families={"sft": before, "ppo": after})


@pytest.mark.parametrize(
    ("facts", "verse", "word"),
    [
        (UP, UP, "For all"),
        (UP, OPEN, "For some"),
        (UP, DOWN, "Not for all"),
        (WIDE, OPEN, "Not shown"),
        ((0.1, 0.005, 0.195), OPEN, "Not shown"),  # one of two looks: sure alone, not among two
    ],
)
def test_whom(facts: Any, verse: Any, word: str) -> None:
    assert whom(families(facts, verse), []).word == word


def test_whom_says_where_and_what_parts_found() -> None:
    people = part("values", question="whom", findings=("People differ.",))
    found = whom(families(UP, DOWN), [people])
    assert found.sentences == (
        "PPO gained on 1 of 2 families, most on facts (0.50 [0.39, 0.61]); lost on verse (−0.50 "
        "[−0.61, −0.39]).",
        "People differ.",
    )


@pytest.mark.parametrize(
    ("length", "word"),
    [
        ((10.0, 9.9, 10.1), "None shown"),
        ((11.0, 10.8, 11.2), "Some"),
        ((20.0, 12.0, 28.0), "Some"),  # twice as long, but not surely by a third
        ((16.0, 15.0, 17.0), "Much"),
        ((8.0, 7.8, 8.2), "None shown"),  # shorter is no cost
    ],
)
def test_cost(length: Any, word: str) -> None:
    policies = {"sft": {"length": est(10.0, 9.9, 10.1)}, "ppo": {"length": est(*length)}}
    assert cost(run(gap("ppo"), policies=policies), []).word == word


@pytest.mark.parametrize(
    ("kl", "word"),
    [((1.7, 1.6, 1.8), "Some"), ((40.0, 30.0, 50.0), "Much"), ((0.1, -0.1, 0.3), "None shown")],
)
def test_cost_of_distance(kl: Any, word: str) -> None:
    found = cost(run(gap("ppo"), policies={"ppo": {"kl": est(*kl)}}), [])
    assert found.word == word


def test_cost_goes_by_what_is_paired_where_that_is_known() -> None:
    left = {
        "policies": {"sft": {"entropy": est(0.42, 0.39, 0.45).to_json()}},
        "changes": {"ppo": {"entropy": est(-0.17, -0.19, -0.15).to_json()}},
    }
    found = cost(run(gap("ppo")), [part("costs", left)])
    assert (found.word, found.tone) == ("Much", "bad")
    assert found.sentences == ("PPO: 0.17 [0.15, 0.19] nats a token less entropy.",)


def own(proxy: Any, gold: Any, apart: Any) -> Any:
    return ("reward", {"proxy_gain": est(*proxy), "gold_gain": est(*gold), "gap": est(*apart)})


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ({"ppo": own(UP, UP, OPEN)}, "Yes"),
        ({"ppo": own(UP, UP, UP)}, "Partly"),
        ({"ppo": own(UP, DOWN, UP)}, "No"),
        ({"ppo": own(UP, UP, OPEN), "off": own(UP, DOWN, UP)}, "Partly"),
        ({"ppo": own(UP, OPEN, OPEN)}, "Not shown"),
    ],
)
def test_trust_by_what_was_gained(found: Any, word: str) -> None:
    assert trust(run(own_reward=found), []).word == word


@pytest.mark.parametrize(
    ("accuracy", "word"),
    [((0.75, 0.7, 0.8), "Not shown"), ((0.52, 0.45, 0.59), "Not shown"), ((0.3, 0.25, 0.35), "No")],
)
def test_trust_by_accuracy_alone_is_never_a_yes(accuracy: Any, word: str) -> None:
    assert trust(run(reward_model={"accuracy": est(*accuracy)}), []).word == word


def test_trust_says_the_worst_first() -> None:
    rows = [
        {"stage": "ppo", "gate": "kl", "tripped": True, "says": "KL 12."},
        {"stage": "reward", "gate": "sign", "tripped": True, "says": "Chosen below rejected."},
    ]
    view = run(own_reward={"ppo": own(UP, UP, OPEN)})
    found = trust(view, [part("gates", rows)])
    assert (found.word, found.sentences[0]) == (
        "No", "Gate sign tripped in Reward model: Chosen below rejected.",
    )  # fmt: skip
    assert trust(view, [part("gates", rows[:1])]).word == "Partly"


def test_trust_where_gold_fell_while_the_proxy_rose() -> None:
    off, on = stage("off", "ppo", rows=parting()), stage("ppo", rows=parting(fall=-1.0))
    assert trust(run(stages=[off]), []).word == "No"
    found = trust(run(stages=[off, on]), [])
    assert found.word == "Partly"  # of one of two trainings
    assert found.sentences[0].startswith("In the training of off gold fell by −0.8")


def test_next() -> None:
    found = next_steps(run(stages=[stage("sft", done=False)]), [])
    assert (found.word, found.tone) == ("1 step", "unsure")
    assert found.sentences[0].startswith("Run it to its end")
