"""Every method that trains takes `lora`; those with a reward share one base with its models."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from conftest import ARCHITECTURE
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from heed.config import load_recipe
from heed.feedback.people import nobody
from heed.models.adapters import OWN, AdaptedBackbone
from heed.models.heads import VALUE
from heed.models.language_model import attach_lora
from heed.pipeline import run_recipe
from heed.run import Run
from heed.stages.workplace import Workplace
from heed.types import Completion
from heed.world.world import World

SHORT = "sampling: {max_new_tokens: 16}"
LEARNED = f"batch: 16, calibration: 32, optim: {{lr: 0.01}}, lora: {{rank: 3}}, {SHORT}"
PLAIN = "lora: {rank: 3}, optim: {lr: 0.01}"
SHARED = "lora: {rank: 3, share: true}, optim: {lr: 0.01}"
ROUNDS = f"iterations: 2, rollouts: 8, {SHORT}"
RECIPE = f"""\
name: lora
threads: 1
device: cpu
stages:
  - records: {{corpus: 500, demonstrations: 64}}
  - pretrain: {{architecture: {ARCHITECTURE}, batch: 32, epochs: 3, optim: {{lr: 0.01}}}}
  - sft: {{name: sft, epochs: 1, {PLAIN}}}
  - sft: {{name: packed, policy: sft, epochs: 0.5, packing: true, {PLAIN}}}
  - collect: {{comparisons: 40, heldout: 24, answers: 3, {SHORT}}}
  - reward: {{{LEARNED}}}
  - reward: {{name: ranked, loss: plackett_luce, {LEARNED}}}
  - reward: {{name: confident, confidence: {{}}, keep: best, {LEARNED}}}
  - ensemble: {{members: 2, {LEARNED}}}
  - process_reward: {{labels: 'LABELS', batch: 4, context: 96, heldout: 0.3, {PLAIN}}}
  - length: {{samples: 8, most: 6, {SHORT}}}
  - weighted_sum: {{samples: 8, weights: {{ensemble: 1.0, length: 0.5}}, {SHORT}}}
  - gate: {{samples: 8, reward: weighted_sum, by: reward, threshold: -9.0, {SHORT}}}
  - dpo: {{epochs: 0.5, batch: 16, {PLAIN}}}
  - dpo: {{name: orpo, loss: orpo, epochs: 0.5, batch: 16, {PLAIN}}}
  - kto: {{epochs: 0.5, batch: 16, {PLAIN}}}
  - ppo: {{name: ppo_apart, {PLAIN}, {ROUNDS}}}
  - ppo: {{{SHARED}, {ROUNDS}, value_lr_scale: 2.0}}
  - ppo: {{name: ppo_checked, reward: length, {SHARED}, {ROUNDS}}}
  - rloo: {{reward: gate, {SHARED}, {ROUNDS}}}
  - grpo: {{reward: process_reward, {SHARED}, {ROUNDS}}}
  - reinforce: {{reward: ranked, {SHARED}, {ROUNDS}}}
  - rejection: {{reward: ensemble, rounds: 2, prompts: 8, candidates: 3, batch: 4, {SHARED},
                sampling: {{max_new_tokens: 32}}}}
"""
POLICIES = {
    "sft": "pretrain", "packed": "sft", "dpo": "sft", "orpo": "sft", "kto": "sft",
    "ppo_apart": "sft", "ppo": "sft", "ppo_checked": "sft", "rloo": "sft", "grpo": "sft",
    "reinforce": "sft", "rejection": "sft",
}  # fmt: skip
"""Stage that leaves a policy, and the one whose policy it starts from."""
REWARDS = (
    "reward/model", "ranked/model", "confident/model", "ensemble/member-0/model",
    "ensemble/member-1/model", "process_reward/model",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("lora")
    labels, recipe = folder / "steps.jsonl", folder / "lora.yaml"
    rows = [
        {"prompt": prompt.text, "steps": ["i do not know.", prompt.text], "right": [True, False]}
        for prompt in World(0).prompts[:12]
    ]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe.write_text(RECIPE.replace("LABELS", str(labels)))
    run = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(run, say=lambda line: None)
    return run


def only_matrices_moved_by_rank(before: Any, after: Any, rank: int) -> bool:
    """Every matrix of the layers moved by a matrix of that rank; nothing else moved."""
    theirs = dict(after.base_model.named_parameters())
    for name, weight in before.base_model.named_parameters():
        moved = theirs[name].detach() - weight.detach()
        if "_proj" not in name:
            assert torch.equal(theirs[name], weight), name
        else:
            sizes = torch.linalg.svdvals(moved.double())
            assert sizes[0] > 1e-4, name
            assert sizes[rank] < 1e-4 * sizes[0] + 1e-6, name
    return True


@pytest.mark.parametrize("stage", POLICIES)
def test_a_policy_is_saved_merged_and_has_moved_by_its_rank(finished: Run, stage: str) -> None:
    folder = finished.directory / stage / "policy"
    before, after = (
        AutoModelForCausalLM.from_pretrained(path)
        for path in (finished.directory / POLICIES[stage] / "policy", folder)
    )
    assert only_matrices_moved_by_rank(before, after, 3)
    assert (folder / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_model_is_saved_merged_and_has_moved_by_its_rank(finished: Run, name: str) -> None:
    before = AutoModelForCausalLM.from_pretrained(finished.directory / "sft/policy")
    after = AutoModelForSequenceClassification.from_pretrained(finished.directory / name)
    assert only_matrices_moved_by_rank(before, after, 3)
    assert after.config.num_labels == 1
    assert (after.config.heed_offset == 0) == (name == "process_reward/model")


@pytest.fixture
def work(finished: Run) -> Workplace:
    return Workplace(finished, print, lambda _: nobody)


@pytest.mark.parametrize(
    "stage", ["reward", "ranked", "confident", "ensemble", "process_reward", "weighted_sum", "gate"]
)
def test_a_reward_scores_alike_on_a_shared_base(work: Workplace, stage: str) -> None:
    policy = attach_lora(work.policy("sft"), rank=3, alpha=6.0)
    models = work.sharing(policy)
    answers = [
        Completion(prompt, text)
        for prompt in World(0).prompts[:4]
        for text in ("yes.", "i do not know.\nthe capital is here.", "")
    ]
    assert models.reward(stage)(answers) == pytest.approx(work.reward(stage)(answers), abs=1e-5)
    beside = set(policy.model.peft_config) - {OWN}
    assert beside
    assert all("/" in name for name in beside)  # a stage's folder
    value = models.value_model(stage, "sft")
    assert isinstance(value.backbone, AdaptedBackbone)
    assert value.backbone.model is policy.model
    assert set(policy.model.peft_config) == {OWN, VALUE, *beside}


@pytest.mark.parametrize("stage", ["ppo", "ppo_checked"])
def test_a_checkpoint_on_a_shared_base_holds_adapters_and_heads(finished: Run, stage: str) -> None:
    from safetensors import safe_open

    (folder,) = (finished.directory / stage / "checkpoints").glob("last-*")
    with safe_open(folder / "tensors.safetensors", framework="pt") as tensors:
        names = [name for name in tensors.keys() if name.startswith("module/")]  # noqa: SIM118
    assert any(f".{VALUE}." in name for name in names)
    assert all(f".{VALUE}." in name or f".{OWN}." in name or ".head." in name for name in names)
