"""Rounds one step off policy: which weights draw what, and that nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stand_in import StandIn

from heed.policies.ahead import Ahead
from heed.recipe import Ppo, Rloo
from heed.run import StageRun
from heed.trainer import Trainer

ROUNDS = 5


class KilledError(Exception):
    """What ends a run between two checkpoints."""


def wordy(completions: Any) -> list[float]:
    return [len(item.text.split()) / 6 for item in completions]


@pytest.fixture
def make(toy_lm: Any, toy_ppo: Any) -> Callable[..., Any]:
    """PPO on a toy policy, its rounds drawn ahead."""

    def build(*, ahead: bool = True, cap: float = 2.0, **more: Any) -> Any:
        method = toy_ppo(toy_lm(ends=1.0), reward=wordy, **more)
        if ahead:
            method.ahead = Ahead(StandIn(method.sampler), iterations=ROUNDS, cap=cap)  # type: ignore[arg-type]
        return method

    return build


def train(method: Any, run: StageRun, *callbacks: Any) -> list[dict[str, Any]]:
    Trainer(
        method=method,
        settings=run.stage,
        run=run,
        iterations=ROUNDS,
        seed=0,
        monitor=None,
        callbacks=callbacks,
    ).train()
    return [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]


def test_every_round_but_the_first_is_drawn_by_the_policy_of_one_step_before(
    make: Any, place: Any
) -> None:
    """Against the toy's own weights, written down after every step."""
    method = make()

    def now() -> float:
        return float(next(method.policy.model.parameters()).detach().sum())

    weights, drew = [now()], []
    begin = method.ahead.sampler.begin

    def noted(*given: Any, **more: Any) -> None:
        drew.append(now())
        begin(*given, **more)

    def after(*_: Any) -> None:
        weights.append(now())

    method.ahead.sampler.begin = noted
    rows = train(method, place(optim={"lr": 1e-2}), after)
    assert len(set(weights)) == ROUNDS + 1
    assert drew == [weights[0], *weights[: ROUNDS - 1]]
    assert [row["staleness"] for row in rows] == [0.0] + [1.0] * (ROUNDS - 1)
    assert rows[0]["behaviour_kl"] == 0.0
    assert rows[0]["importance_weight"] == 1.0
    assert all(row["behaviour_kl"] > 1e-6 for row in rows[1:])
    assert all(0.5 < row["importance_weight"] < 1.5 for row in rows[1:])


def test_a_policy_that_hardly_moves_makes_the_plain_run(make: Any, place: Any) -> None:
    settings = {"optim": {"lr": 1e-9}}
    plain = train(make(ahead=False), place("plain", **settings))
    ahead = train(make(), place("ahead", **settings))
    assert {"staleness", "importance_weight", "importance_capped", "behaviour_kl"} == set(
        ahead[0]
    ) - set(plain[0])
    for one, other in zip(plain, ahead, strict=True):
        for name, value in one.items():
            assert other[name] == pytest.approx(value, abs=5e-5), name


def test_the_weights_act(make: Any) -> None:
    """The advantages of tokens that became likelier are larger, up to the cap."""
    method = make(cap=1.2)
    list(method.batches(0))
    with torch.no_grad():
        for weight in method.policy.model.parameters():
            weight.mul_(1.2)
    seen: list[Any] = []
    weigh = method.weigh
    method.weigh = lambda each: seen.append(weigh(each)) or seen[-1]
    batch = next(method.batches(1))
    assert 0.0 < method.measured["importance_capped"] < 1.0
    plain = {tuple(row.tolist()): at for at, row in enumerate(seen[0].ids)}
    width = batch.ids.shape[1]
    factors = []
    for ids, weighed, marks in zip(batch.ids, batch.advantages, batch.target, strict=True):
        at = next(at for row, at in plain.items() if row[:width] == tuple(ids.tolist()))
        factors += (weighed[marks] / seen[0].advantages[at][:width][marks]).tolist()
    assert max(factors) == pytest.approx(1.2, rel=1e-4)
    assert 0.0 < min(factors) < 1.0


@pytest.mark.parametrize("killed", [1, 3])
def test_what_is_resumed_is_the_same_to_the_bit(make: Any, place: Any, killed: int) -> None:
    """With a checkpoint every two steps; the round that was being drawn is in it."""
    settings = {"optim": {"lr": 1e-2}, "checkpoint_every": 2}

    def kill(done: int, _: Any) -> None:
        if done == killed:
            raise KilledError

    whole = train(make(), place("whole", **settings))
    torn = place("torn", **settings)
    with pytest.raises(KilledError):
        train(make(), torn, kill)
    assert train(make(), torn) == whole


def test_a_single_round_has_no_next_one() -> None:
    for kind in (Ppo, Rloo):
        with pytest.raises(ValueError, match="ahead does nothing"):
            kind.model_validate({"iterations": 1, "ahead": {}})
        assert kind.model_validate({"ahead": {}}).ahead is not None
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Ppo.model_validate({"ahead": {"cap": 0.5}})
