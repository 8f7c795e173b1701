"""The stages of policy gradients without a critic, in the miniature run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.ranks import Ranks
from heed.recipe import Grpo, Kl, OnPolicy, Reinforce, Rloo, Sampling, SharedLora
from heed.recipe.policy_gradient import Ahead, GrpoKl

SHARED: dict[str, Any] = {"iterations": 2, "rollouts": 16, "sampling": Sampling(max_new_tokens=20)}
STAGES = {
    "rloo": Rloo(name="rloo", kl=Kl(coef=0.1, target=2.0), **SHARED),
    "rloo_lora": Rloo(name="rloo_lora", lora=SharedLora(rank=2), minibatches=2, **SHARED),
    "grpo": Grpo(name="grpo", clip_high=0.28, minibatches=2, **SHARED),
    "dr_grpo": Grpo(name="dr_grpo", std=False, aggregation="constant", **SHARED),
    "gspo": Grpo(
        name="gspo", ratio="sequence", clip_low=3e-4, clip_high=4e-4, epochs=2,
        lora=SharedLora(rank=2), kl=GrpoKl(loss="k2_sequence"), **SHARED,
    ),
    "reinforce": Reinforce(name="reinforce", kl=Kl(loss="k3_sequence"), **SHARED),
    "reinforce_baseline": Reinforce(name="reinforce_baseline", group=4, **SHARED),
}  # fmt: skip


def run_stage(run: Path, settings: list[str], stage: OnPolicy, *more: str) -> list[dict[str, Any]]:
    """Add the stage to the run's recipe and run it; returns its rows of metrics."""
    recipe = load_recipe("quickstart", [*settings, *more])
    recipe = recipe.model_copy(update={"stages": (*recipe.stages, stage)})
    carry_out(recipe, run, fresh=False, only=stage.name)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in lines if row["stage"] == stage.name]


@pytest.mark.parametrize("name", STAGES)
def test_every_variant_runs_and_leaves_its_policy(
    run_copy: Path, tiny_settings: list[str], name: str
) -> None:
    stage = STAGES[name]
    rows = run_stage(run_copy, tiny_settings, stage)
    assert [row["step"] for row in rows] == [1, 2]
    assert abs(rows[0]["kl"]) < 1e-4  # the reference is the policy as it stood
    assert ("kl_loss" in rows[0]) == (stage.kl.loss is not None)
    assert ("flat_groups" in rows[0]) == (name != "reinforce")
    assert "value_loss" not in rows[0]
    if stage.epochs * stage.minibatches == 1:
        assert all(row["clip_fraction"] == 0 for row in rows)
        assert all(row["approx_kl"] < 1e-6 for row in rows)
    summary = json.loads((run_copy / name / "done.json").read_text())["summary"]
    assert (summary["kl_coef"] != stage.kl.coef) == (stage.kl.target is not None)
    folder = run_copy / name / "policy"
    assert (folder / "adapter").exists() == (stage.lora is not None)
    before, after = (
        AutoModelForCausalLM.from_pretrained(path) for path in (run_copy / "sft/policy", folder)
    )
    ids = torch.tensor([[5, 6, 7, 8]])
    assert not torch.equal(before(ids).logits, after(ids).logits)


@pytest.mark.slow
def test_rounds_drawn_ahead(run_copy: Path, tiny_settings: list[str]) -> None:
    """By a process that has the run's policy and adapter; the first round is that of every run."""
    kinds = {"iterations": 3, "rollouts": 16, "sampling": Sampling(max_new_tokens=20)}
    kinds |= {"kl": Kl(coef=0.1), "lora": SharedLora(rank=2)}
    threads = torch.get_num_threads()
    ahead = run_stage(run_copy, tiny_settings, Rloo(name="beside", ahead=Ahead(cap=1.5), **kinds))
    assert torch.get_num_threads() == threads
    assert [row["staleness"] for row in ahead] == [0.0, 1.0, 1.0]
    assert all(0 < row["behaviour_kl"] < 1 for row in ahead[1:])
    plain = Rloo(name="beside", **kinds)
    rows = run_stage(run_copy, tiny_settings, plain)
    assert {**ahead[0], **rows[0]} == ahead[0]  # nothing moved: the seeds are those of every run
    assert rows[1]["proxy"] != ahead[1]["proxy"]


def test_ahead_is_for_one_process_that_learns(
    run_copy: Path, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heed.stages.ahead.Ranks", lambda: None)
    monkeypatch.setattr("heed.stages.ahead.Ranks.here", lambda: Ranks(0, 2), raising=False)
    stage = Rloo(name="torn", ahead=Ahead(), **SHARED)
    with pytest.raises(UserError, match="torchrun started 2"):
        run_stage(run_copy, tiny_settings, stage)
