"""Policy gradients whose rounds rollout servers draw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rollout_servers import rollout_server

from benchmarks.faults.plants import PLANTS
from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.models.language_model import load_language_model
from heed.recipe import Ppo, Rloo
from heed.run import stage_keys
from heed.sampling.rollouts import RolloutSampler
from heed.stages import elsewhere

SMALL = {"rollouts": 16, "sampling": {"max_new_tokens": 20}, "optim": {"lr": 1e-2}}


@pytest.fixture
def run_servers(run_copy: Path) -> Iterator[list[str]]:
    """Two servers that began with the run's pretrained policy, not with the one that trains."""
    lms = [load_language_model(str(run_copy / "pretrain/policy"), device="cpu") for _ in range(2)]
    with rollout_server(lms[0]) as (one, _), rollout_server(lms[1]) as (other, _):
        yield [one, other]


def run_stage(run: Path, settings: list[str], stage: Any) -> list[dict[str, Any]]:
    """Run one more stage in a finished tiny run; its rows of metrics."""
    recipe = load_recipe("quickstart", settings)
    recipe = recipe.model_copy(update={"stages": (*recipe.stages, stage)})
    carry_out(recipe, run, fresh=False, only=stage.name)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in lines if row["stage"] == stage.name]


def servers(addresses: list[str], **more: Any) -> dict[str, Any]:
    return {"addresses": addresses, "host": "127.0.0.1", "timeout": 20.0, "tries_again": 3, **more}


@pytest.mark.slow
def test_ppo_by_two_servers(
    run_copy: Path, run_servers: list[str], tiny_settings: list[str]
) -> None:
    """Also all gates before the first step ask the servers, and find nothing."""
    stage = Ppo.model_validate(
        {"name": "far", "iterations": 3, "servers": servers(run_servers), **SMALL}
    )
    rows = run_stage(run_copy, tiny_settings, stage)
    assert [row["staleness"] for row in rows] == [0.0] * 3
    assert [row["redrawn"] for row in rows] == [0.0] * 3
    assert all(row["rollout_gap"] < 1e-4 for row in rows)
    assert all(row["importance_weight"] == pytest.approx(1, abs=1e-3) for row in rows)
    assert abs(rows[0]["kl"]) < 1e-3
    found = [json.loads(line) for line in (run_copy / "far/gates.jsonl").read_text().splitlines()]
    asked = {row["gate"]: row for row in found}
    assert asked["logprobs"]["statistic"] < 1e-4
    assert "draws" in asked


@pytest.mark.parametrize(
    ("more", "staleness"),
    [
        ({"servers": {"send_every": 2}}, [0, 1, 0, 1]),
        ({"ahead": {}}, [0, 1, 1, 1]),
        ({"ahead": {}, "lora": {"rank": 2}, "servers": {"send_every": 2}}, [0, 1, 2, 1]),
    ],
)
def test_older_weights_are_counted_and_made_up_for(
    run_copy: Path,
    run_servers: list[str],
    tiny_settings: list[str],
    more: dict[str, Any],
    staleness: list[int],
) -> None:
    quiet = [f"gates.{name}.action=off" for name in ("logprobs", "draws", "step", "leash")]
    settings = {"name": "far", "iterations": 4, **SMALL, **more}
    settings["servers"] = servers(run_servers, **more.get("servers", {}))
    rows = run_stage(run_copy, [*tiny_settings, *quiet], Rloo.model_validate(settings))
    assert [row["staleness"] for row in rows] == staleness
    for row in rows:
        assert (row["rollout_gap"] > 1e-4) == (row["staleness"] > 0)
        assert (row["behaviour_kl"] > 1e-7) == (row["staleness"] > 0)


@pytest.mark.parametrize(("temperature", "found"), [(1.0, False), (2.0, True)])
def test_a_server_of_another_temperature_is_found(
    run_copy: Path,
    tiny_settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
    found: bool,
) -> None:
    """The planted fault of the gate `rollout_gap`, as benchmarks/faults plants it."""
    monkeypatch.setattr(elsewhere, "RolloutSampler", elsewhere.RolloutSampler)  # put back at last
    plant = PLANTS["warm_server"]
    plant.wrap(temperature, 0)
    quiet = [f"gates.{name}.action=off" for name in ("draws", "step", "leash")]
    settings = [*tiny_settings, *quiet, "gates.logprobs.action=warn"]
    stage = Rloo.model_validate(
        {
            "name": "far",
            "iterations": 12,
            **SMALL,
            "optim": {"lr": 1e-4},
            "servers": servers(["http://127.0.0.1:9"]),
        }
    )
    run_stage(run_copy, settings, stage)
    lines = (run_copy / "far/gates.jsonl").read_text().splitlines()
    (row,) = [row for row in map(json.loads, lines) if row["gate"] == "rollout_gap"]
    assert row["tripped"] is found


def test_addresses_may_change_and_what_decides_may_not(tiny_settings: list[str]) -> None:
    recipe = load_recipe("quickstart", tiny_settings)

    def key(**more: Any) -> str:
        stage = Ppo.model_validate({"name": "far", **more})
        return stage_keys(recipe.model_copy(update={"stages": (*recipe.stages, stage)}))["far"]

    one = key(servers={"addresses": ["http://a"]})
    assert one == key(servers={"addresses": ["http://b", "http://c"], "timeout": 3.0})
    assert one != key(servers={"addresses": ["http://a"], "send_every": 2})
    assert one != key()


def test_a_server_that_comes_back_gets_what_the_others_got(
    run_copy: Path,
    run_servers: list[str],
    tiny_settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two sendings: the weights that were published, not those of the moment."""
    made: list[RolloutSampler] = []
    published: list[dict[str, Any]] = []
    publish, draw = RolloutSampler.publish, RolloutSampler.draw

    def noted(self: RolloutSampler) -> None:
        publish(self)
        made.append(self)
        published.append({name: w.clone() for name, w in self.published.weights.items()})

    def checked(self: RolloutSampler, *given: Any, **more: Any) -> Any:
        for name, weight in self.published.weights.items():
            assert torch.equal(weight, published[-1][name])
        return draw(self, *given, **more)

    monkeypatch.setattr(RolloutSampler, "publish", noted)
    monkeypatch.setattr(RolloutSampler, "draw", checked)
    stage = Rloo.model_validate(
        {"name": "far", "iterations": 3, **SMALL, "servers": servers(run_servers, send_every=3)}
    )
    quiet = [f"gates.{name}.action=off" for name in ("logprobs", "draws", "step", "leash")]
    rows = run_stage(run_copy, [*tiny_settings, *quiet], stage)
    assert [row["staleness"] for row in rows] == [0, 1, 2]
    assert len(made) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"servers": {"addresses": []}}, "at least 1"),
        ({"servers": {"addresses": ["localhost:80"]}}, "are like http"),
        ({"servers": {"addresses": ["http://me:pass@a"]}}, "hold a user or a password"),
        ({"servers": {"addresses": ["http://a", "http://a"]}}, "twice"),
        ({"servers": {"addresses": ["http://a"]}, "ahead": {"cap": 3.0}}, "servers.cap"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Ppo.model_validate(settings)
