"""Kill -9 in every training stage; what is resumed equals the uninterrupted run.

On one thread, `metrics.jsonl` must be the same to the bit, and so must the policies. Points between
rows, in writes and in stages that do not train are those of `test_kill_anywhere.py`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from killed import KILLED, Killer, rows

STAGES = (
    "pretrain", "sft", "packed", "reward", "confident", "ensemble.1", "ppo", "rloo", "grpo",
    "reinforce", "dpo", "kto", "orpo", "rejection", "adapted", "shared", "chosen",
    "reward_conditioned",
)  # fmt: skip
MODELS = (
    "pretrain/policy", "sft/policy", "packed/policy", "reward/model", "confident/model",
    "ensemble/member-0/model", "ensemble/member-1/model", "ppo/policy", "rloo/policy",
    "grpo/policy", "reinforce/policy", "dpo/policy", "kto/policy", "orpo/policy",
    "rejection/policy", "adapted/model", "shared/policy", "chosen/policy",
    "reward_conditioned/policy",
)  # fmt: skip
POINTS = (1, 5, 10)
"""Rows logged before the kill, by turns; checkpoints come every 4 iterations, so one kill comes
before the first of them, one just after one, and one in between."""
RECIPE = """\
name: kill
threads: 1
device: cpu
stages:
  - records: {corpus: 500, demonstrations: 120}
  - pretrain:
      architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64,
                     num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2,
                     max_position_embeddings: 128, tie_word_embeddings: true}
      batch: 25
      checkpoint_every: 4
      optim: {lr: 3e-3, weight_decay: 0.01, warmup: 0.1}
  - sft: {epochs: 1, batch: 8, checkpoint_every: 4, keep: best}
  - sft: {name: packed, epochs: 1, batch: 8, checkpoint_every: 4, packing: true,
          held_families: [verse]}
  - collect: {comparisons: 130, heldout: 40, sampling: {max_new_tokens: 24}}
  - reward: {epochs: 1, batch: 8, calibration: 64, checkpoint_every: 4, keep: best,
             sampling: {max_new_tokens: 16}}
  - relabel: {reward: reward}
  - reward: {name: confident, comparisons: relabel, confidence: {warmup: 0.9}, epochs: 0.5,
             batch: 8, calibration: 64, checkpoint_every: 4, sampling: {max_new_tokens: 16}}
  - ensemble: {members: 2, epochs: 1, batch: 8, calibration: 64, checkpoint_every: 4,
               sampling: {max_new_tokens: 16}}
  - ppo: {iterations: 12, rollouts: 16, checkpoint_every: 4, sampling: {max_new_tokens: 16},
          kl: {coef: 0.1, target: 2.0, horizon: 100}}
  - rloo: {iterations: 12, rollouts: 16, checkpoint_every: 4, sampling: {max_new_tokens: 16},
           lora: {rank: 4}}
  - grpo: {iterations: 12, rollouts: 16, minibatches: 2, checkpoint_every: 4,
           sampling: {max_new_tokens: 16}, kl: {target: 2.0, horizon: 100}}
  - reinforce: {iterations: 12, rollouts: 16, checkpoint_every: 4, sampling: {max_new_tokens: 16}}
  - dpo: {epochs: 1, batch: 8, checkpoint_every: 4}
  - kto: {epochs: 1, batch: 16, checkpoint_every: 4, keep: best}
  - dpo: {name: orpo, loss: orpo, epochs: 1, batch: 8, checkpoint_every: 4, lora: {rank: 2}}
  - rejection: {rounds: 12, reward: ensemble, prompts: 16, candidates: 3, batch: 4,
                checkpoint_every: 4, sampling: {max_new_tokens: 60}}
  - reward: {name: adapted, epochs: 1, batch: 8, calibration: 64, checkpoint_every: 4, keep: best,
             lora: {rank: 4}, sampling: {max_new_tokens: 16}}
  - ppo: {name: shared, reward: adapted, iterations: 12, rollouts: 16, checkpoint_every: 4,
          sampling: {max_new_tokens: 16}, lora: {rank: 4, share: true}, value_lr_scale: 2.0}
  - sft: {name: chosen, policy: sft, comparisons: collect, epochs: 1, batch: 8,
          checkpoint_every: 4, keep: best}
  - reward_conditioned: {samples: 240, batch: 8, epochs: 2, checkpoint_every: 4,
                         sampling: {max_new_tokens: 60}}
"""


@pytest.mark.slow
def test_resuming_after_kill_9_changes_nothing(tmp_path: Path) -> None:
    recipe = tmp_path / "kill.yaml"
    recipe.write_text(RECIPE)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    with Killer() as killer:
        assert killer.run(recipe, whole) == 0
        for stage, point in zip(STAGES, itertools.cycle(POINTS), strict=False):
            assert len(rows(whole, stage)) > max(POINTS)
            assert killer.run(recipe, torn, rows=(stage, point)) == KILLED
            folder = torn / stage.partition(".")[0]  # an ensemble's members lie within it
            assert not (folder / "done.json").exists(), f"{stage} ended before the kill"
        assert killer.run(recipe, torn) == 0
    assert (torn / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    for policy in MODELS:
        name = f"{policy}/model.safetensors"
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name
