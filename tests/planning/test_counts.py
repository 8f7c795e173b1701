"""What each kind of stage will do, in numbers that a hand can check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from encoders import save_encoder

from heed.config import load_recipe, recipe_names
from heed.evaluation import dialogues
from heed.gates import exploits
from heed.planning import counts, gates, measuring, memory
from heed.planning.counts import COUNTS
from heed.planning.ground import Ground
from heed.planning.hardware import hardware_of
from heed.planning.look import look
from heed.planning.memory import HOLDS
from heed.planning.passes import Counts, Pass, together
from heed.planning.plan import Machine, make_plan
from heed.planning.scale import scale
from heed.recipe import STAGES
from heed.sampling import weights
from heed.stages import overoptimisation, sft

Make = Callable[..., Ground]


def test_every_kind_of_stage_is_counted_and_holds_something_known() -> None:
    assert COUNTS.keys() == STAGES.keys()
    assert HOLDS.keys() == STAGES.keys()


def counted(ground: Ground, name: str) -> Counts:
    stage = ground.recipe.stage(name)
    return COUNTS[stage.kind](ground, stage)


def tokens(found: Counts) -> tuple[float, float, float]:
    return found.tokens("trained"), found.tokens("forwarded"), found.tokens("sampled")


def test_passes_of_one_kind_are_one() -> None:
    some = [Pass("sampled", 2, 1, "a"), Pass("sampled", 3, 1, "a"), Pass("sampled", 0, 0, "b")]
    assert together(some) == (Pass("sampled", 5, 2, "a"),)


def test_pretraining_reads_the_corpus_so_often(ground: Make, base: str) -> None:
    found = counted(ground(base), "pretrain")
    assert tokens(found) == (2 * 1000 * 12, 0, 0)  # rows of 15 are cut to 12
    assert found.passes[0].head == 2 * 1000 * 11
    given = ground(base, model="a/model")
    assert counted(given, "pretrain") == Counts()


def test_sft_learns_from_all_but_each_twentieth(ground: Make, base: str) -> None:
    found = counted(ground(base), "sft")
    assert tokens(found) == (19 * 10 * 15, 5 * 10 * 15, 0)
    assert found.passes[0].head == 19 * 10 * 5


def test_sft_on_chosen_answers(ground: Make, feedback: str) -> None:
    stages = feedback + "  - sft: {name: chosen, comparisons: collect, batch: 10, epochs: 1}\n"
    assert tokens(counted(ground(stages), "chosen")) == (100 * 15, 20 * 15, 0)


def test_collecting_draws_every_answer_by_itself(ground: Make, feedback: str) -> None:
    found = counted(ground(feedback), "collect")
    assert (found.prompts, found.answers, found.labels) == (120, 240, 120)
    assert tokens(found) == (0, 240 * 10, 240 * 5)
    assert found.words == 8 + 2 * 4
    several = feedback.replace("comparisons: 100", "comparisons: 100, per_item: 3, answers: 4")
    found = counted(ground(several), "collect")
    assert (found.prompts, found.labels) == (34 + 7, 3 * (34 + 7))
    assert found.answers == 4 * (34 + 7)


def test_a_judge_of_this_run_is_asked_in_both_orders(ground: Make, feedback: str) -> None:
    judge = "source: judge, judge: {policy: sft, max_new_tokens: 7}, comparisons: 100"
    found = counted(ground(feedback.replace("comparisons: 100", judge)), "collect")
    assert found.tokens("sampled") == 240 * 5 + 120 * 2 * 7


def test_a_reward_reads_pairs_and_what_it_is_calibrated_on(ground: Make, feedback: str) -> None:
    found = counted(ground(feedback), "reward")
    looks, heldout = 1, 20 * 2 * 15  # 10 steps, one look at the end; one account after
    calibration = 16 * 15
    assert tokens(found) == (100 * 2 * 15, (looks + 1) * heldout + calibration + 16 * 10, 16 * 5)
    ensemble = feedback.replace("- reward: {", "- ensemble: {members: 3, ")
    assert counted(ground(ensemble), "ensemble").tokens("trained") == 3 * 100 * 2 * 15


def test_a_reward_is_tried_with_words(ground: Make, feedback: str) -> None:
    plain, gated = (counted(ground(feedback, gates=on), "reward") for on in (False, True))
    gate = ground(feedback).recipe.gates.exploits
    rows = 4 * gate.words * 16 + 2 * (20 - 16)  # of 20 held-out prompts
    more = gated.tokens("forwarded") - plain.tokens("forwarded")
    assert more == (rows + 2 * 20) * 15  # and both answers of the pairs, for the sign


def test_ppo_trains_two_models_and_asks_two_more(ground: Make, feedback: str) -> None:
    ppo = "  - ppo: {iterations: 3, rollouts: 8, epochs: 2, minibatches: 2}\n"
    found = counted(ground(feedback + ppo), "ppo")
    answers = 3 * 8
    assert (found.prompts, found.answers) == (24, 24)
    # Prompts; then reward, reference and critic on the whole rows.
    wanted = (2 * 2 * answers * 15, answers * 10 + 3 * answers * 15, answers * 5)
    assert tokens(found) == wanted
    gated = counted(ground(feedback + ppo, gates=True), "ppo")
    checked = 2 * 80  # logprobs and draws ask 80 prompts each
    tried = 20 * 2  # step: both answers to each held-out prompt
    moved = 64  # leash: draws from the policy at rest, and once it was moved
    assert gated.answers - found.answers == checked + 2 * moved
    assert gated.tokens("sampled") - found.tokens("sampled") == (checked + 2 * moved) * 5
    assert gated.tokens("trained") - found.tokens("trained") == (tried + moved) * 15
    asked = (checked + 2 * moved) * 10
    read = checked + (7 + 2 + 1) * tried + (6 + 3 + 2) * moved
    assert gated.tokens("forwarded") - found.tokens("forwarded") == asked + read * 15


def test_a_critic_trains_whole_unless_it_is_an_adapter_on_the_shared_base(
    ground: Make, feedback: str
) -> None:
    lora = feedback.replace("- reward: {", "- reward: {lora: {rank: 2}, ")
    ppo = "  - ppo: {iterations: 3, rollouts: 8, epochs: 2, minibatches: 2, lora: {rank: 2%s}}\n"

    def trained(more: str) -> dict[int | None, float]:
        passes = counted(ground(lora + ppo % more), "ppo").passes
        return {each.rank: each.tokens for each in passes if each.how == "trained"}

    assert trained("") == {2: 2 * 24 * 15, None: 2 * 24 * 15}
    assert trained(", share: true") == {2: 2 * 2 * 24 * 15}


def test_what_is_repeated_of_higher_floors_is_what_they_say() -> None:
    assert len(exploits.FORMS) == gates.FORMS
    assert counts.EVERY == sft.EVERY
    assert measuring.STARTS == overoptimisation.STARTS
    assert measuring.A_FAMILY == dialogues.MOST
    assert memory.LARGEST_COPY == weights.LARGEST_COPY


def test_groups_fill_a_prompt_in_once_and_need_no_critic(ground: Make, feedback: str) -> None:
    rloo = "  - rloo: {iterations: 3, rollouts: 8, group: 4}\n"
    found = counted(ground(feedback + rloo), "rloo")
    assert found.prompts == 6
    assert tokens(found) == (24 * 15, 24 / 4 * 10 + 2 * 24 * 15, 24 * 5)
    ahead = counted(ground(feedback + rloo.replace("group: 4", "group: 4, ahead: {}")), "rloo")
    assert ahead.tokens("forwarded") - found.tokens("forwarded") == (24 - 8) * 15
    servers = "group: 4, servers: {addresses: ['http://a']}"
    far = counted(ground(feedback + rloo.replace("group: 4", servers)), "rloo")
    assert far.tokens("forwarded") - found.tokens("forwarded") == 24 * 15


def test_dpo_asks_its_reference_once(ground: Make, feedback: str) -> None:
    found = counted(ground(feedback + "  - dpo: {batch: 10}\n"), "dpo")
    assert tokens(found) == (2 * 100 * 15, 2 * 15 * (120 + 20), 0)
    without = counted(ground(feedback + "  - dpo: {batch: 10, loss: simpo}\n"), "dpo")
    assert without.tokens("forwarded") == 2 * 15 * 20


def test_kto_reads_an_answer_under_another_prompt_too(ground: Make, feedback: str) -> None:
    found = counted(ground(feedback + "  - kto: {batch: 10}\n"), "kto")
    assert tokens(found) == (200 * 15, 15 * (2 * 240 + 200 + 2 * 40), 0)


def test_an_adapter_is_marked_as_one(ground: Make, feedback: str) -> None:
    found = counted(ground(feedback + "  - dpo: {batch: 10, lora: {rank: 4}}\n"), "dpo")
    assert [each.rank for each in found.passes] == [4, None]


def test_an_evaluation_asks_every_policy_alike(ground: Make, feedback: str) -> None:
    stages = feedback + (
        "  - best_of_n: {n: 3}\n  - evaluate: {policies: {sft: sft, best: best_of_n}, "
        "samples: 30, seen: 8, opinions: 2}\n"
    )
    found = counted(ground(stages), "evaluate")
    answers = 40 + 8 + 2 * 7  # 20 prompts twice, seen ones, probes twice
    assert found.answers == 2 * answers
    assert found.tokens("sampled") == (1 + 3) * answers * 5


def test_a_comparison_shows_every_two_and_the_decoys(ground: Make, feedback: str) -> None:
    stages = feedback + (
        "  - evaluate: {policies: {base: pretrain, sft: sft}, reference: sft, samples: 20}\n"
        "  - compare: {judges: {rewards: [reward], people: {per_item: 2}}, answers: 1}\n"
    )
    found = counted(ground(stages), "compare")
    pairs = 20 * (1 + 2 * 3)
    assert (found.answers, found.labels) == (0, 2 * pairs)
    assert tokens(found) == (0, 20 * (2 + 3) * 15, 0)


def test_turns_are_asked_and_graded(ground: Make, feedback: str) -> None:
    turns = "  - grade_turns: {policies: {sft: sft}, judge: {policy: sft}, max_new_tokens: 9}\n"
    found = counted(ground(feedback + turns), "grade_turns")
    questions = 12  # of the one family
    assert found.answers == 2 * questions
    assert found.tokens("sampled") == 2 * questions * 5 + 2 * questions * (1 + 3) * 9


def test_best_of_many_is_drawn_once_for_all_proxies(ground: Make, feedback: str) -> None:
    found = counted(ground(feedback + "  - overoptimisation: {samples: 8}\n"), "overoptimisation")
    assert tokens(found) == (0, 20 * 10 + 20 * 8 * 15, 20 * 8 * 5)


def test_what_stands_before_a_prompt_is_read_with_it(ground: Make, feedback: str) -> None:
    shots = "  - retrieval: {name: shots, demonstrations: records, k: 2}\n"
    evaluate = "  - evaluate: {policies: {%s}, samples: 20, seen: 0, opinions: 0}\n"
    with_, without = (
        counted(ground(feedback + shots + evaluate % who), "evaluate")
        for who in ("shots: shots", "sft: sft")
    )
    assert with_.tokens("forwarded") - without.tokens("forwarded") == 20 * 2 * 15


def test_revision_reads_what_came_before(ground: Make, base: str) -> None:
    found = counted(ground(base + "  - revise: {prompts: 4, rounds: 1}\n"), "revise")
    assert found.answers == 4 * 3
    assert found.tokens("sampled") == 12 * 5


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_can_be_planned(name: str, tmp_path: Path) -> None:
    overrides = [f"data={_transcripts(tmp_path)}"] if name.startswith("hh") else []
    recipe = load_recipe(name, overrides)
    made = make_plan(look(recipe), Machine("cpu", 2**34, 1e11))
    assert [each.name for each in made.stages] == [each.name for each in recipe.stages]
    for stage in made.stages:
        trains = recipe.stage(stage.name).trains
        assert (stage.trained > 0) == (stage.counts.steps > 0) == trains, stage.name
        assert (stage.operations > 0) == (stage.seconds is not None and stage.seconds[1] > 0)
    assert made.total("flops") > 0
    assert made.to_json()["totals"]["memory"] > 0
    elsewhere = scale(look(recipe), hardware_of("h200", devices=8))
    assert elsewhere.hours > 0
    assert all(each.fits for each in elsewhere.stages)


def _transcripts(folder: Path) -> Path:
    path = folder / "some.jsonl"
    rows: list[dict[str, Any]] = [
        {
            "chosen": f"\n\nHuman: Question {at}?\n\nAssistant: A good answer.",
            "rejected": f"\n\nHuman: Question {at}?\n\nAssistant: No.",
        }
        for at in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_backbone_of_its_own_is_counted_in_its_own_tokens(tmp_path: Path) -> None:
    source = save_encoder("bert", tmp_path / "bert")
    page = tmp_path / "mine.yaml"
    page.write_text(
        "name: mine\nstages:\n  - records: {corpus: 200, demonstrations: 50}\n  - pretrain\n"
        "  - sft\n"
        "  - collect: {comparisons: 100, heldout: 20}\n"
        f"  - reward: {{backbone: '{source}', context: 64}}\n  - reward: {{name: small}}\n"
        "  - ppo: {reward: reward}\n"
    )
    recipe = load_recipe(str(page))
    ground = look(recipe)
    counts = counted(ground, "reward")
    roots = {(each.how, each.root) for each in counts.passes}
    assert roots == {
        ("trained", "reward"), ("forwarded", "reward"), ("forwarded", "pretrain"),
        ("sampled", "pretrain"),
    }  # fmt: skip
    own = ground.read_by("reward").data.corpus
    assert own.answer() > ground.data.corpus.answer()  # words fall apart in its small vocabulary
    assert counts.tokens("trained") != counted(ground, "small").tokens("trained")
    assert {each.root for each in ground.score("reward", 1, 10)} == {"reward"}
    held = HOLDS["ppo"](ground, recipe.stage("ppo"))
    assert [each.size for each in held.trains] == [ground.sizes["pretrain"]] * 2
    assert ground.sizes["reward"] in held.kept
