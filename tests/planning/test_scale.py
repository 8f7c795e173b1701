"""Plans for hardware that is not here, in numbers that a hand can check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from heed.errors import UserError
from heed.planning.counts import COUNTS
from heed.planning.durations import Work, rounds_of, rows_of
from heed.planning.ground import Ground
from heed.planning.hardware import KINDS, USABLE, Hardware, Kind, Shares, hardware_of
from heed.planning.layout import Layout, layouts, least, room, server_of, smallest
from heed.planning.memory import HOLDS, Holds, Trains, peak
from heed.planning.passes import again
from heed.planning.ranks import WAYS, Way, rank_memory
from heed.planning.roofline import (
    Bound,
    busy,
    decoding_step,
    gathers,
    longest,
    moving,
    reduces,
)
from heed.planning.scale import remedies, scale, shaped
from heed.planning.sizes import Size

Make = Callable[..., Ground]
SIZE = Size(
    hidden=10, layers=2, heads=2, attention=10, kv=5, mlp=20, mlp_matrices=3,
    vocabulary=7, positions=0, tied=True,
)  # fmt: skip
LAYER, ROOT = 900, 70
SHARD, ANEW = Way(shard=True), Way(shard=True, recompute=True)
ALL = Shares(1.0, 1.0, 1.0, 1.0)


def test_a_rank_holds_one_part_in_n_and_what_is_gathered() -> None:
    holds = Holds([Trains(SIZE), Trains(SIZE)], [SIZE, SIZE], roles=["reference", "reward"])
    held = rank_memory(holds, 10, SHARD, width=2)
    weights = 2 * LAYER + ROOT
    assert held.weights == held.gradients == held.reference == held.reward == 4 * weights / 10
    assert held.moments == 8 * weights / 10
    assert held.value == 16 * weights / 10
    # Two roots in float32 and two layers; gradients of the roots and a layer; a layer's in float32.
    assert held.gathered == 2 * 4 * ROOT + 2 * 2 * LAYER + 2 * 4 * ROOT + 2 * LAYER + 4 * LAYER
    alone = rank_memory(Holds([Trains(SIZE)], [SIZE]), 10, SHARD, width=2)
    assert alone.gathered == held.gathered - 2 * 4 * ROOT
    assert held.total == sum(held.to_json().values()) == 4 * weights + held.gathered
    whole = rank_memory(holds, 10, Way(), width=2)
    assert (whole.gathered, whole.value) == (0.0, 16 * weights)


def test_one_rank_holds_what_a_plan_without_hardware_says() -> None:
    holds = Holds([Trains(SIZE), Trains(SIZE, 2)], [SIZE], 8, 8, (3, 50), 0.5)
    here = rank_memory(holds, 1, Way(), width=4)
    assert here.total == peak(holds, width=4, process=0).total


def test_an_adapter_trains_few_weights_and_no_base_has_a_gradient() -> None:
    held = rank_memory(Holds([Trains(SIZE, 3)]), 4, SHARD, width=2)
    assert held.weights == 4 * (SIZE.weights + SIZE.adapter(3)) / 4
    assert held.gradients == 4 * SIZE.adapter(3) / 4
    assert held.gathered == 4 * ROOT + 2 * 2 * LAYER


def test_recomputed_layers_keep_their_inputs_and_one_layers_insides() -> None:
    holds = Holds([Trains(SIZE)], learns=8)
    kept = rank_memory(holds, 2, SHARD, width=4).activations
    anew = rank_memory(holds, 2, ANEW, width=4).activations
    assert anew == 8 * 4 * 2 * 10 + kept / 2


def test_drawing_needs_a_whole_copy_where_there_are_shards() -> None:
    holds = Holds([Trains(SIZE)], draws=(3, 50))
    alone, shards = (rank_memory(holds, 2, way, width=2).drawing for way in (Way(), SHARD))
    assert alone == 3 * (50 * 2 * 2 * 2 * 5 + 7 * 4 * 3) + 2 * SIZE.weights
    assert shards == alone + 4 * SIZE.weights
    served, whole = (
        rank_memory(holds, 2, way, width=2, drawn_here=False) for way in (SHARD, Way())
    )
    assert served.drawing == whole.drawing == whole.others == 0.0
    assert served.others == 4 * SIZE.weights  # the first process has it, for the servers


def test_bytes_that_ranks_send() -> None:
    assert gathers(SIZE, 2, backward=False) == 2 * 2 * LAYER + 4 * ROOT
    assert gathers(SIZE, 2, backward=True) == 2 * gathers(SIZE, 2, backward=False)
    assert reduces(100) == 400
    # Eight ranks of one node: seven eighths come from elsewhere.
    assert moving(800.0, devices=8, nodes=1, link=10.0, network=1.0) == 70.0
    # Two nodes of four: half of all comes over four links to the network; within: 7/8 over one.
    assert moving(800.0, devices=4, nodes=2, link=10.0, network=1.0) == 100.0
    assert moving(800.0, devices=4, nodes=2, link=1.0, network=10.0) == 700.0
    assert moving(800.0, devices=1, nodes=1, link=1.0, network=1.0) == 0.0


def test_a_token_takes_its_reading_or_its_operations() -> None:
    machine = {"width": 2, "devices": 2, "bandwidth": 1e3, "share": 0.5}
    weights = 2 * LAYER + ROOT
    slow = decoding_step(SIZE, 3, 10, flops=1e9, **machine)  # type: ignore[arg-type]
    assert slow == Bound(2 * (weights + 3 * 10 * 2 * 2 * 5) / (2 * 1e3 * 0.5), "memory")
    many = decoding_step(SIZE, 3, 10, flops=1.0, **machine)  # type: ignore[arg-type]
    assert many == Bound(2 * weights * 3 / (2 * 0.5), "compute")
    assert longest(link=0.0, compute=0.0) == Bound()


@pytest.mark.parametrize(
    ("rows", "ranks", "share"), [(8, 8, 1.0), (9, 8, 9 / 16), (2, 8, 0.25), (8, 1, 1.0)]
)
def test_ranks_without_a_row_are_idle(rows: int, ranks: int, share: float) -> None:
    assert busy(rows, ranks) == share


def test_hardware_by_name_and_by_page(tmp_path: Path) -> None:
    assert hardware_of("h200", devices=8, nodes=2, price=3.0).count == 16
    assert hardware_of("h200").usable == USABLE * 141 * 2**30
    page = tmp_path / "mine.yaml"
    page.write_text("kind: h200\ndevices: 4\nmemory: 100\ntflops: 500\ntraining: 0.3\nprice: 2\n")
    mine = hardware_of(str(page), nodes=3)
    assert (mine.name, mine.count, mine.price) == ("mine", 12, 2.0)
    assert mine.kind == replace(
        KINDS["h200"], memory=100 * 2**30, flops=500e12, shares=replace(Shares(), training=0.3)
    )
    for text, said in (
        ("kind: h300\n", "there is no 'h300'"),
        ("kind: h200\nmem: 3\n", "mem: "),
        ("kind: h200\nprice: -1\n", "price: "),
        ("kind: h200\nservers: 1\n", "leave one that trains"),
        ("{", "cannot be read"),
        ("", "the page: "),
    ):
        page.write_text(text)
        with pytest.raises(UserError, match=said):
            hardware_of(str(page))
    with pytest.raises(UserError, match=r"no file.*h200"):
        hardware_of("h201")


def _hardware(memory: float, **more: int) -> Hardware:
    kind = Kind(memory / USABLE, 1e6, 1e9, 1e9, 1e9, 2, ALL)
    return Hardware("mine", kind, **more)  # type: ignore[arg-type]


def test_a_server_is_the_fewest_devices_that_hold_the_policy() -> None:
    holds = Holds([Trains(SIZE)], draws=(3, 50))
    row = 50 * 2 * 2 * 2 * 5 + 7 * 4 * 3
    need = 2 * SIZE.weights + row
    assert server_of([holds], _hardware(need, devices=8)) == 1
    assert server_of([holds], _hardware(need - 1, devices=8)) == 2
    assert server_of([holds], _hardware(need / 2, devices=1)) is None
    assert room(holds, _hardware(need + 2 * row), 1) == 3
    assert Layout(8, 6, 2).servers == 3
    some = layouts([holds], _hardware(need, devices=8))
    assert [(each.trains, each.draws) for each in some] == [(8, 0), (7, 1), (6, 2), (4, 4)]
    (fixed,) = layouts([holds], replace(_hardware(need, devices=8), servers=3))
    assert (fixed.trains, fixed.draws) == (5, 3)


def test_the_first_way_that_fits_is_taken(ground: Make, base: str) -> None:
    made = ground(base)
    stage = made.recipe.stage("sft")
    holds = HOLDS["sft"](made, stage)
    for way in WAYS[:2] + WAYS[3:]:  # on several ranks to shard comes before computing anew
        need = rank_memory(holds, 16, way, width=2).total
        held, found = smallest(stage, holds, 16, _hardware(need), drawn_here=True)
        assert (held.total, found) == (need, way)
    fewest = least(stage, holds, _hardware(rank_memory(holds, 16, ANEW, width=2).total))
    assert fewest == 16
    assert least(stage, holds, _hardware(10.0)) is None


def test_what_the_recipe_asks_for_is_done_where_it_need_not(ground: Make, base: str) -> None:
    made = ground(base)
    stage = made.recipe.stage("sft")
    asked = stage.model_copy(update={"shard": True, "checkpoint_activations": True})
    holds = HOLDS["sft"](made, stage)
    assert smallest(asked, holds, 4, _hardware(1e12), drawn_here=True)[1] == ANEW
    assert smallest(stage, holds, 4, _hardware(1e12), drawn_here=True)[1] == Way()


def test_seconds_of_a_stage_by_hand(ground: Make, base: str) -> None:
    """Two ranks that hold all: 6 N D operations, or the gradient of every step around."""
    made = ground(base)
    plan = scale(made, _hardware(1e12, devices=2))
    stage = next(each for each in plan.stages if each.plan.name == "sft")
    flops = stage.plan.flops["trained"]
    assert stage.bounds["trained"] == Bound(flops / 2e9, "compute")
    assert stage.rate("trained") == pytest.approx(stage.plan.trained / (flops / 2e9))
    assert stage.seconds == pytest.approx(flops / 2e9 + stage.bounds["forwarded"].seconds)
    slow = replace(_hardware(1e12, devices=2), kind=replace(_hardware(1e12).kind, link=1e3))
    bound = next(each for each in scale(made, slow).stages if each.plan.name == "sft")
    weights = made.sizes["pretrain"].weights
    assert bound.plan.counts.steps == 19
    assert bound.bounds["trained"] == Bound(19 * 2 * 4 * weights / 2 / 1e3, "link")


def test_a_recipe_on_hardware(ground: Make, feedback: str) -> None:
    made = ground(feedback + "  - ppo: {iterations: 4, rollouts: 24, minibatches: 2, epochs: 1}\n")
    hardware = replace(_hardware(1e12, devices=4, nodes=2), price=2.0)
    plan = scale(made, hardware)
    told = plan.to_json()
    assert plan.layout.count == told["devices"] == 8
    assert plan.hours == pytest.approx(sum(each.seconds for each in plan.stages) / 3600)
    assert told["totals"]["money"] == pytest.approx(plan.hours * 8 * 2.0)
    assert all(each.fits for each in plan.stages)
    ppo = plan.stages[-1]
    assert ppo.plan.counts.steps == 4 * 2
    assert (rounds_of(made.recipe.stages[-1]), rows_of(made.recipe.stages[-1])) == (4, 12)
    drawn = ppo.bounds["sampled"].seconds
    assert ppo.seconds == pytest.approx(sum(bound.seconds for bound in ppo.bounds.values()))
    ahead = ground(
        feedback + "  - ppo: {iterations: 4, rollouts: 24, minibatches: 2, epochs: 1, ahead: {}}\n"
    )
    beside = scale(ahead, replace(hardware, servers=1)).stages[-1]
    rest = beside.bounds["trained"].seconds + beside.bounds["forwarded"].seconds
    assert beside.seconds == max(rest, beside.bounds["sampled"].seconds)
    assert drawn > 0


def test_what_would_make_a_stage_fit_where_it_is(ground: Make, base: str) -> None:
    """The first of each sort, as on the machine at hand; what `WAYS` try is not repeated."""
    made = ground(base)
    stage = made.recipe.stage("sft")
    optim = stage.optim.model_copy(update={"micro_tokens": 4096})  # type: ignore[attr-defined]
    smaller = HOLDS["sft"](made, stage.model_copy(update={"optim": optim}))
    need = rank_memory(smaller, 2, ANEW, width=2).total
    plan = scale(made, _hardware(need, devices=2))
    (sft,) = [each for each in plan.stages if each.plan.name == "sft"]
    assert not sft.fits
    assert sft.way == ANEW
    assert remedies(made, plan, sft) == ["sft.optim.micro_tokens=4096"]
    tiny = scale(made, _hardware(1.0, devices=2))
    assert remedies(made, tiny, next(each for each in tiny.stages if each.plan.name == "sft")) == []


def test_weights_travel_to_who_draws(ground: Make, feedback: str) -> None:
    ppo = "  - ppo: {iterations: 4, rollouts: 24, minibatches: 2, epochs: 1}\n"
    made = ground(feedback + ppo)
    weights = 4 * made.sizes["pretrain"].weights

    def drawing(layout: Layout, way: Way, **kind: float) -> Bound:
        hardware = _hardware(1e12, devices=4)
        hardware = replace(hardware, kind=replace(hardware.kind, **kind))
        stage = made.recipe.stage("ppo")
        holds = HOLDS["ppo"](made, stage)
        counts = COUNTS["ppo"](made, stage)
        return Work(made, stage, counts, holds, hardware, layout, way).drawing()

    # To each of two servers, every round, from the one process that learns.
    free = drawing(Layout(1, 2), Way(), link=1e15)
    sent = drawing(Layout(1, 2), Way(), link=10.0)
    assert sent.seconds - free.seconds == pytest.approx(4 * 2 * weights / 10.0)
    assert (free.by, sent.by) == ("memory", "link")
    parts = drawing(Layout(2, 2), SHARD, link=10.0)
    assert parts.seconds - free.seconds == pytest.approx(4 * (2 + 1 / 2) * weights / 10.0)
    # Between nodes by the network.
    far = drawing(Layout(1, 4), Way(), link=1e15, network=5.0).seconds
    near = drawing(Layout(1, 4), Way(), link=1e15, network=1e15).seconds
    assert far - near == pytest.approx(4 * 4 * weights / 5.0)
    # Ranks that draw themselves: nothing where the policy is whole, else what others hold.
    whole, parts = (drawing(Layout(4), way, link=10.0).seconds for way in (Way(), SHARD))
    assert parts - whole == pytest.approx(4 * weights * 3 / 4 / 10.0)


def test_learning_sends_and_computes_what_the_way_asks_for(ground: Make, feedback: str) -> None:
    """PPO of 24 answers, two models, four ranks: every micro-batch gathers and sums both."""
    ppo = "  - ppo: {iterations: 4, rollouts: 24, minibatches: 2, epochs: 1}\n"
    made = ground(feedback + ppo)
    stage, size = made.recipe.stage("ppo"), made.sizes["pretrain"]
    holds, counts = HOLDS["ppo"](made, stage), COUNTS["ppo"](made, stage)
    hardware = _hardware(1e12, devices=4)
    slow = replace(hardware, kind=replace(hardware.kind, link=1.0))

    def learning(way: Way, where: Hardware, learns: int = 16384) -> Bound:
        held = replace(holds, learns=learns)
        return Work(made, stage, counts, held, where, Layout(4), way).learning()

    both = 2 * (gathers(size, 2, backward=True) + reduces(size.weights))
    sent = learning(SHARD, slow)
    assert (sent.seconds, sent.by) == (pytest.approx(8 * both * 3 / 4), "link")
    # 24 rows of 15 tokens in each of 4 rounds, on 4 ranks, 10 tokens a pass: 36 passes.
    assert learning(SHARD, slow, 10).seconds == pytest.approx(36 * both * 3 / 4)
    assert learning(Way(), slow).seconds == pytest.approx(8 * 2 * 2 * 4 * size.weights * 3 / 4)
    plain, anew = (learning(way, hardware).seconds for way in (Way(), Way(recompute=True)))
    passes = [each for each in counts.passes if each.how == "trained"]
    more = sum(again(each, size) for each in passes)
    assert anew - plain == pytest.approx(more / (4 * 1e9))


def test_another_shape_is_a_model_that_is_given(ground: Make, base: str) -> None:
    made = shaped(ground(base), "70B", SIZE)
    assert made.sizes["pretrain"] == SIZE
    first, *_ = scale(made, _hardware(1e12)).stages[1:]
    assert (first.plan.kind, first.plan.trained) == ("pretrain", 0.0)


def test_only_policy_gradients_ask_servers_and_shared_adapters_are_whole(
    ground: Make, feedback: str
) -> None:
    lora = feedback.replace("- reward: {", "- reward: {lora: {rank: 2}, ")
    made = ground(lora + "  - ppo: {lora: {rank: 2, share: true}}\n")
    hardware = replace(_hardware(1e12, devices=4), servers=2)
    stages = {each.plan.name: each for each in scale(made, hardware).stages}
    assert stages["ppo"].memory.drawing == 0.0
    assert stages["collect"].memory.drawing > 0.0
    ppo = made.recipe.stage("ppo")
    _, way = smallest(ppo, HOLDS["ppo"](made, ppo), 4, _hardware(10.0), drawn_here=True)
    assert way == Way()  # `share` goes with neither (`heed.recipe.base`)
