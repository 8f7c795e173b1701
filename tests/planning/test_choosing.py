"""The rules by which a recipe is chosen: the value where each threshold lies, and what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from heed.config import read_recipe
from heed.errors import UserError
from heed.planning.choosing import amounts, device, lengths, method, rates
from heed.planning.choosing.draft import Outline, draft, imitates
from heed.planning.choosing.facts import Facts, Reason, percentile
from heed.planning.choosing.page import page
from heed.recipe import Lora, SharedLora

FACTS = Facts(
    model="m", weights=25_000_000, positions=2048, templated=False, cuda=False, half=False,
    rows={"comparisons": 7000}, asked=6000,
    prompts=[100] * 100, answers=[*range(1, 101)],
)  # fmt: skip
GPU = replace(FACTS, cuda=True, half=True)


def outline(facts: Facts, wanted: str, *, lora: bool = False) -> Outline:
    load = device.Load(lora, 4096, 64)
    return Outline(Reason("method", wanted, "why"), imitates(facts, wanted, None), load, None)


def recipe(facts: Facts, wanted: str, *, lora: bool = False) -> Any:
    made = draft(facts, outline(facts, wanted, lora=lora), [Reason("name", "x"),
                 Reason("model", "m"), Reason("data", ["d"])], skip=False)  # fmt: skip
    return read_recipe("a test", page(made))


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ({"comparisons": 10}, "dpo"),
        ({"unpaired": 10}, "kto"),
        ({"demonstrations": 10}, "sft"),
        ({"comparisons": 10, "unpaired": 10}, "dpo"),
        ({"comparisons": 9, "unpaired": 10}, "kto"),
        ({"comparisons": 1, "demonstrations": 900}, "dpo"),
    ],
)
def test_the_method_follows_the_data(rows: dict[str, int], chosen: str) -> None:
    assert method.choose(replace(FACTS, rows=rows), None).value == chosen


@pytest.mark.parametrize("name", list(method.NEEDS))
def test_what_the_data_cannot_teach_is_refused_with_what_they_can(name: str) -> None:
    facts = replace(FACTS, rows={"demonstrations": 5})
    if "demonstrations" in method.NEEDS[name]:
        assert method.choose(facts, name).value == name
        return
    with pytest.raises(UserError, match=rf"{name} learns from .* --method sft") as told:
        method.choose(facts, name)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="nothing to learn from"):
        method.choose(replace(FACTS, rows={}), None)


@pytest.mark.parametrize("name", [*method.NEEDS])
@pytest.mark.parametrize("lora", [False, True])
def test_every_method_gives_a_recipe_that_loads(name: str, lora: bool) -> None:
    made = recipe(FACTS, name, lora=lora)
    own = made.stage(method.stage_kind(name))
    assert own.optim.micro_tokens == 4096
    assert isinstance(own.lora, Lora) == lora
    if name in method.ON_POLICY and lora:
        assert isinstance(own.lora, SharedLora)
        assert own.lora.share
    if name not in (own.kind, "sft"):
        assert own.loss == name


def test_an_adapter_trains_ten_times_as_fast_and_both_ends_are_the_sources() -> None:
    assert rates.rate("dpo", 7_000_000_000, lora=False)[0] == 5e-7
    assert rates.rate("dpo", 3_000_000, lora=False)[0] == 1e-4
    assert rates.rate("dpo", 10, lora=False)[0] == 1e-4
    assert rates.rate("dpo", 10**12, lora=False)[0] == 5e-7
    # In the middle of the logarithms: the geometric mean of both ends.
    middle = round((3e6 * 7e9) ** 0.5)
    assert rates.rate("dpo", middle, lora=False)[0] == pytest.approx((1e-4 * 5e-7) ** 0.5, rel=0.02)
    assert rates.rate("dpo", 7_000_000_000, lora=True)[0] == 5e-6
    assert rates.rate("sft", 3_000_000, lora=True)[0] == rates.MOST
    assert "arXiv:2310.16944" in rates.rate("dpo", 25_000_000, lora=False)[1]


@pytest.mark.parametrize("kind", list(rates.RATES))
def test_larger_models_learn_more_slowly(kind: str) -> None:
    found = [rates.rate(kind, 10**power, lora=False)[0] for power in range(5, 12)]
    assert found == sorted(found, reverse=True)


def test_context_keeps_nearly_all_rows_and_says_how_many_it_cuts() -> None:
    # Rows of 101 to 200 tokens: 99% have at most 199, in steps of 64: 256.
    chosen = lengths.context(FACTS)
    assert (chosen.value, "none of those looked at is cut" in chosen.why) == (256, True)
    short = lengths.context(replace(FACTS, positions=150))
    assert short.value == 150
    assert "50.0% of the rows are cut" in short.why
    assert "the model reads no more" in short.why
    long = replace(FACTS, prompts=[9000] * 100)
    assert lengths.context(replace(long, positions=None)).value == lengths.MOST[False]
    assert lengths.context(replace(long, positions=None, cuda=True)).value == lengths.MOST[True]


def test_an_answer_is_as_long_as_most_are() -> None:
    assert lengths.answer(FACTS, 256).value == 96  # 90 in steps of 16
    assert lengths.answer(FACTS, 100).value == 50  # half the context
    assert lengths.answer(replace(FACTS, answers=[5] * 100), 256).value == 16
    stop = lengths.stop(FACTS)
    assert stop is not None
    assert stop.value == ["\n\nHuman:"]
    assert lengths.stop(replace(FACTS, templated=True)) is None


def test_percentile_is_the_smallest_value_that_holds_the_share() -> None:
    assert percentile([*range(1, 101)], 0.99) == 99
    assert percentile([7], 0.5) == 7


def test_enough_is_held_out_to_judge_on() -> None:
    assert amounts.heldout(FACTS).value == 0.05  # 300 of 6,000
    assert amounts.heldout(GPU).value == 0.083
    assert amounts.heldout(replace(FACTS, asked=100)).value == amounts.SHARE
    assert amounts.samples(FACTS, 0.05).value == 300
    assert amounts.samples(replace(FACTS, asked=1000), 0.2).value == 400  # two to each of 200
    assert amounts.samples(replace(FACTS, asked=50), 0.2).value == 40  # four to each, no more


@pytest.mark.parametrize(
    ("rows", "passes", "size"), [(200, 3.0, 8), (1000, 2.0, 32), (7000, 1.0, 64), (40, 3.0, 8)]
)
def test_batches_shrink_to_make_steps(rows: int, passes: float, size: int) -> None:
    assert amounts.epochs("dpo", rows).value == passes
    assert amounts.batch("dpo", rows, passes).value == size
    assert amounts.epochs("reward", rows).value == 1.0


def test_a_policy_gradient_asks_each_prompt_once_within_bounds() -> None:
    rounds = [amounts.iterations(FACTS, n, 64).value for n in (10, 64 * 30, 10**6)]
    assert rounds == [20, 30, 60]


def test_fewer_words_are_tried_on_a_large_reward_model_without_a_gpu() -> None:
    assert recipe(FACTS, "dpo").gates.exploits.words == 10
    assert recipe(GPU, "dpo").gates.exploits.words == 40
    assert recipe(replace(FACTS, weights=9_000_000), "dpo").gates.exploits.words == 40


def test_precision_goes_by_device_and_size() -> None:
    assert device.precision(FACTS).value == "float32"
    assert device.precision(GPU).value == "float32"  # 25M are few
    large = replace(GPU, weights=10**9)
    assert device.precision(large).value == "bfloat16"
    assert device.precision(replace(large, half=False)).value == "float32"
    assert device.precision(replace(FACTS, half=True)).value == "bfloat16"
    assert device.precision(replace(FACTS, half=True, weights=1_000_000)).value == "float32"


def test_loads_go_from_the_fullest_to_the_least_and_end() -> None:
    found = list(device.loads(FACTS, None))
    assert found[0] == device.Load(False, 4096, 64)
    assert found[-1] == device.Load(True, device.FEWEST, device.FEWEST_ROWS)
    assert all(load.lora for load in device.loads(FACTS, "lora"))
    assert not any(load.lora for load in device.loads(FACTS, "full"))


@pytest.mark.parametrize(
    ("change", "wanted", "first"),
    [
        ({}, "dpo", True),
        ({"templated": True}, "dpo", False),
        ({"templated": True, "rows": {"comparisons": 9, "demonstrations": 9}}, "dpo", True),
        ({"rows": {"unpaired": 9}}, "kto", False),
        ({"rows": {"unpaired": 9}, "desirable": 4}, "kto", True),
    ],
)
def test_a_base_model_imitates_first(change: dict[str, Any], wanted: str, first: bool) -> None:
    facts = replace(FACTS, **change)
    assert imitates(facts, wanted, None).value == first
    stages = [stage.name for stage in recipe(facts, wanted).stages]
    assert ("sft" in stages) == first


def test_the_method_that_imitates_cannot_be_had_without() -> None:
    with pytest.raises(UserError, match="--no-sft"):
        imitates(FACTS, "sft", wanted=False)


def test_kto_weighs_the_rare_sort_up_until_both_count_alike() -> None:
    facts = replace(FACTS, rows={"comparisons": 100, "unpaired": 300}, desirable=0)
    made = recipe(facts, "kto").stage("kto")
    assert (made.desirable_coef, made.undesirable_coef) == (4.0, 1.0)  # 100 good, 400 bad
    facts = replace(facts, desirable=300)
    made = recipe(facts, "kto").stage("kto")
    assert (made.desirable_coef, made.undesirable_coef) == (1.0, 3.0)  # 400 good, 100 bad, 4 / 3


def test_settings_of_the_users_stand_in_the_page_and_take_the_place_of_what_was_chosen() -> None:
    made = draft(FACTS, outline(FACTS, "dpo", lora=True), [Reason("name", "x")], skip=True)
    own = made.having(
        [("dpo.beta", 0.3), ("dpo.lora.rank", 4), ("seed", 5), ("dpo.optim", {"lr": 1e-3})]
    )
    found = yaml.safe_load(page(own))
    stages = {next(iter(item)): item for item in found["stages"] if isinstance(item, dict)}
    dpo = stages["dpo"]["dpo"]
    assert (dpo["beta"], dpo["lora"], dpo["optim"], found["seed"]) == (
        0.3, {"rank": 4}, {"lr": 0.001}, 5,
    )  # fmt: skip
    assert stages["records"]["records"]["broken"] == "skip"
    assert "beta: 0.3  # as you set it" in page(own)


def test_a_reason_is_told_once_and_every_chosen_number_has_one() -> None:
    made = draft(FACTS, outline(FACTS, "ppo"), [Reason("name", "x")], skip=False)
    told = [reason.why for reason in made.reasons()]
    assert all(told)
    written = page(made)
    assert written.count(lengths.context(FACTS).why[:40]) == 1
    assert max(map(len, written.splitlines())) <= 100
