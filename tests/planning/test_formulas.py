"""Operations, bytes and money, in numbers that a hand can check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from heed.planning.fitting import remedies, shortest, too_large
from heed.planning.ground import Ground
from heed.planning.memory import (
    HOLDS,
    LARGEST_COPY,
    Holds,
    Memory,
    Trains,
    cache,
    laid_out,
    learning,
    peak,
    seeing,
)
from heed.planning.money import READING, RECORDED, labels
from heed.planning.passes import Pass, again, operations
from heed.planning.plan import SHARES, Machine, make_plan, memory_of
from heed.planning.shapes import shape_of
from heed.planning.sizes import Size

Make = Callable[..., Ground]
SIZE = Size(
    hidden=10, layers=2, heads=2, attention=10, kv=5, mlp=20, mlp_matrices=3,
    vocabulary=7, positions=0, tied=True,
)  # fmt: skip
BACKBONE, HEAD = 2 * (300 + 600), 70


def test_operations_a_token() -> None:
    trained = Pass("trained", 100, 40, "a")
    assert operations(trained, SIZE) == 6 * (100 * BACKBONE + 40 * HEAD)
    for how in ("forwarded", "sampled"):
        assert operations(Pass(how, 100, 40, "a"), SIZE) == 2 * (100 * BACKBONE + 40 * HEAD)
    adapted = operations(replace(trained, rank=1), SIZE)
    assert adapted == 4 * (100 * BACKBONE + 40 * HEAD) + 6 * 100 * SIZE.adapter(1)
    assert again(trained, SIZE) == 2 * 100 * (BACKBONE - 2 * 200)  # not the down projections
    assert again(replace(trained, rank=1), SIZE) == 2 * 100 * (BACKBONE + SIZE.adapter(1))


def test_bytes_of_what_trains_and_what_does_not() -> None:
    weights = SIZE.weights
    held = peak(Holds([Trains(SIZE)], [SIZE]), width=4, process=1000)
    assert held == Memory(process=1000, weights=8 * weights, training=12 * weights)
    assert held.total == 1000 + 20 * weights
    rank = peak(Holds([Trains(SIZE, 2)]), width=4, process=0)
    assert rank.total == 4 * weights + 16 * SIZE.adapter(2)
    beside = peak(Holds([Trains(SIZE, 2), Trains(SIZE, 2, beside=True)]), width=4, process=0)
    assert beside.total == 4 * weights + 2 * 16 * SIZE.adapter(2)


def test_bytes_of_activations_and_of_the_cache() -> None:
    assert learning(SIZE, 4) == 4 * 2 * (80 + 30 + 15 + 80)
    assert learning(SIZE, 2) == learning(SIZE, 4) / 2
    assert seeing(SIZE, 4) == 4 * (40 + 60)
    assert cache(SIZE, 4) == 4 * 2 * 2 * 5
    found = peak(Holds([Trains(SIZE)], learns=8, target=0.5), width=4, process=0)
    assert found.activations == 8 * learning(SIZE, 4) + 8 * 0.5 * 7 * 4 * 3
    found = peak(Holds(kept=[SIZE], draws=(3, 50)), width=4, process=0)
    assert found.cache == 3 * 50 * cache(SIZE, 4) + 3 * 7 * 4 * 3 + 4 * (BACKBONE + HEAD)
    assert found.total == found.weights + found.cache
    both = Memory(activations=5.0, cache=7.0)
    assert both.total == 7.0


def test_a_policy_and_its_critic_keep_their_activations_together() -> None:
    holds = Holds([Trains(SIZE), Trains(SIZE.headless)], learns=8, target=0.0)
    assert peak(holds, width=4, process=0).activations == 2 * 8 * learning(SIZE, 4)
    anew = peak(holds, width=4, process=0, anew=True).activations
    assert anew == 2 * 8 * (4 * 2 * 10 + learning(SIZE, 4) / 2)


def test_half_precision_keeps_the_matrices_that_it_cast() -> None:
    holds = Holds([Trains(SIZE)], learns=8, target=0.0)
    half = peak(holds, width=2, process=0).activations
    assert half == 8 * learning(SIZE, 2) + 2 * BACKBONE
    anew = peak(holds, width=2, process=0, anew=True).activations
    assert anew == 8 * (2 * 2 * 10 + learning(SIZE, 2) / 2) + 2 * BACKBONE / 2
    assert peak(replace(holds, learns=0), width=2, process=0).activations == 0.0


def test_answers_are_drawn_with_a_copy_of_weights_that_are_few_or_cast() -> None:
    assert laid_out(SIZE, 4) == 4 * (BACKBONE + HEAD)
    large = shape_of("1.5B")
    assert 4 * large.weights > LARGEST_COPY
    assert laid_out(large, 4) == 0.0
    assert laid_out(large, 2) == 2 * (large.backbone + large.head)


def test_what_scores_has_no_head(ground: Make, feedback: str) -> None:
    """A head that is not tied is a matrix of its own, which a reward and a critic do without."""
    made = ground(feedback + "  - ppo: {}\n")
    size = replace(made.sizes["pretrain"], tied=False)
    made = replace(made, sizes={"pretrain": size})
    bare = size.weights - size.hidden * size.vocabulary
    assert size.headless.weights == bare
    (trains,) = HOLDS["reward"](made, made.recipe.stage("reward")).trains
    assert trains.trained == bare
    ppo = HOLDS["ppo"](made, made.recipe.stage("ppo"))
    assert [each.trained for each in ppo.trains] == [size.weights, bare]
    assert [each.weights for each in ppo.kept] == [size.weights, bare]


@pytest.mark.parametrize(
    ("settings", "frozen", "trained"),
    [
        ("ppo: {}", 2, 2),  # reference and reward are kept, policy and critic train
        ("rloo: {}", 2, 1),
        ("rloo: {ahead: {}}", 3, 1),  # the other process has the policy, too
        ("rloo: {servers: {addresses: ['http://a']}}", 2, 1),
        ("rloo: {ahead: {}, servers: {addresses: ['http://a']}}", 3, 1),  # what is sent, a copy
        ("ppo: {lora: {rank: 2}, servers: {addresses: ['http://a']}}", 2, 1),  # merged
        ("ppo: {lora: {rank: 2}}", 1, 1),  # the adapter's base is its reference
        ("ppo: {lora: {rank: 2, share: true}}", 0, 0),
    ],
)
def test_what_a_policy_gradient_holds(
    ground: Make, feedback: str, settings: str, frozen: int, trained: int
) -> None:
    lora = feedback.replace("- reward: {", "- reward: {lora: {rank: 2}, ")
    made = ground(lora + f"  - {settings}\n")
    kind = settings.split(":", 1)[0]
    held = HOLDS[kind](made, made.recipe.stage(kind))
    assert len(held.kept) == frozen
    assert sum(each.rank is None for each in held.trains) == trained


def test_labels_take_reading_or_what_was_recorded() -> None:
    read = labels(100, words=119)
    assert (read.seconds, read.how) == (30.0, READING)
    assert (read.minutes, read.money) == (50.0, 0.0)
    told = labels(100, 119, [40.0, 80.0, 0.0], pay_per_hour=12.0)
    assert (told.seconds, told.how) == (60.0, RECORDED)
    assert (told.minutes, told.money) == (100.0, 20.0)


def test_seconds_are_a_share_of_the_machines_speed(ground: Make, base: str) -> None:
    made = make_plan(ground(base), Machine("cpu", None, 1e6))
    stage = next(each for each in made.stages if each.name == "pretrain")
    assert stage.seconds is not None
    low, high = SHARES["trained"]
    assert stage.seconds == pytest.approx(
        (stage.operations / (1e6 * high), stage.operations / (1e6 * low))
    )
    untimed = make_plan(ground(base), Machine("cpu", None, None))
    assert untimed.seconds is None


def test_totals_are_over_all_seeds(ground: Make, base: str) -> None:
    made = make_plan(ground(base, seeds=3), Machine("cpu", None, None))
    assert made.total("trained") == 3 * sum(each.trained for each in made.stages)


def test_what_does_not_fit_is_told_with_what_would(ground: Make, feedback: str) -> None:
    made = ground(feedback + "  - ppo: {optim: {micro_tokens: 16384}}\n")
    roomy = Machine("cpu", 2**40, None)
    assert too_large(make_plan(made, roomy)) == []
    fullest = memory_of(made, made.recipe.stage("ppo"), roomy).total
    tight = replace(roomy, free=int(fullest * 0.4))
    plan = make_plan(made, tight)
    (stage,) = [each for each in too_large(plan) if each.name == "ppo"]
    found = shortest(remedies(made, stage, tight))
    smaller = [words for words in found if words.startswith("ppo.optim.micro_tokens=")]
    assert len(smaller) == 1
    tokens = int(smaller[0].split("=")[1])
    optim = made.recipe.stage("ppo").optim.model_copy(update={"micro_tokens": tokens})  # type: ignore[attr-defined]
    changed = made.recipe.stage("ppo").model_copy(update={"optim": optim})
    assert memory_of(made, changed, tight).total <= tight.free
    twice = optim.model_copy(update={"micro_tokens": 2 * tokens})
    larger = changed.model_copy(update={"optim": twice})
    assert memory_of(made, larger, tight).total > tight.free
    none = replace(tight, free=1)
    (stage,) = [each for each in too_large(make_plan(made, none)) if each.name == "ppo"]
    assert remedies(made, stage, none) == []


def test_layers_computed_anew_are_planned_and_advised(ground: Make, base: str) -> None:
    made, machine = ground(base), Machine("cpu", 2**40, None)
    stage = made.recipe.stage("sft")
    full, anew = (
        memory_of(made, stage.model_copy(update={"checkpoint_activations": on}), machine)
        for on in (False, True)
    )
    tokens = 16384
    saved = tokens * (learning(made.sizes["pretrain"], 4) / 2 - 4 * 2 * 8)
    assert full.total - anew.total == pytest.approx(saved)
    tight = replace(machine, free=int(anew.total))
    (planned,) = [each for each in too_large(make_plan(made, tight)) if each.name == "sft"]
    assert "sft.checkpoint_activations=true" in remedies(made, planned, tight)
    done = ground(base.replace("checkpoint_every: 4", "checkpoint_activations: true"))
    tight = replace(machine, free=int(0.9 * anew.total))
    (planned,) = [each for each in too_large(make_plan(done, tight)) if each.name == "sft"]
    assert planned.held == anew.total
    found = remedies(done, planned, tight)
    assert found
    assert not any("checkpoint_activations" in words for words in found)


@pytest.mark.parametrize(("half", "advised"), [(True, True), (None, True), (False, False)])
def test_half_precision_is_advised_only_where_there_may_be_hardware_for_it(
    ground: Make, base: str, half: bool | None, advised: bool
) -> None:
    made = ground(base)
    roomy = Machine("cpu", 2**40, None, half=half)
    fullest = memory_of(made, made.recipe.stage("sft"), roomy).total
    tight = replace(roomy, free=int(fullest * 0.7))
    (planned,) = [each for each in too_large(make_plan(made, tight)) if each.name == "sft"]
    assert ("dtype=bfloat16" in remedies(made, planned, tight)) is advised


@pytest.mark.parametrize(("width", "half", "told"), [(2, False, 1), (2, None, 0), (4, False, 0)])
def test_half_precision_without_hardware_for_it_is_told(
    ground: Make, base: str, width: int, half: bool | None, told: int
) -> None:
    made = make_plan(ground(base), Machine("cpu", None, None, width=width, half=half))
    assert sum("no bfloat16 in hardware" in each for each in made.assumptions) == told


def test_two_settings_are_named_only_where_one_is_not_enough() -> None:
    halves = ["a.optim.micro_tokens=800", "a.optim.micro_tokens=400"]
    both = ["dtype=bfloat16 and a.optim.micro_tokens=400"]
    lora = ["'a.lora={rank: 16}'", "'a.lora={rank: 16}' and a.optim.micro_tokens=400"]
    assert shortest([*halves, *both, *lora]) == [halves[0], lora[0]]
    assert shortest([*both, lora[1]]) == [*both, lora[1]]
    assert shortest([]) == []
