"""Kill -9 at 50 random points of a whole pipeline; what comes of it equals the uninterrupted run.

`test_kill.py` kills every way of training at chosen rows. Here a seed chooses, and not only
between rows: by the clock, before a file is opened, moved or removed, in an atomic write, in the
middle of a row, in stages that do not train and between stages. One run is killed again and again
until it ends; then another begins, until fifty kills have struck.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from killed import KILLED, Killer, random_point

KILLS = 50
RECIPE = """\
name: points
threads: 1
device: cpu
stages:
  - records: {corpus: 600, demonstrations: 64}
  - pretrain:
      architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64,
                     num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2,
                     max_position_embeddings: 128, tie_word_embeddings: true}
      batch: 32
      epochs: 4
      checkpoint_every: 4
      optim: {lr: 1e-2, weight_decay: 0.01, warmup: 0.1}
  - sft: {epochs: 1, batch: 8, optim: {lr: 3e-3}, checkpoint_every: 4, keep: best}
  - collect: {comparisons: 48, heldout: 32, sampling: {max_new_tokens: 16}}
  - reward: {epochs: 1, batch: 16, calibration: 32, checkpoint_every: 2, keep: best,
             lora: {rank: 4}, sampling: {max_new_tokens: 16}}
  - ensemble: {members: 2, epochs: 0.5, batch: 16, calibration: 32, checkpoint_every: 2,
               sampling: {max_new_tokens: 16}}
  - ppo: {iterations: 6, rollouts: 16, checkpoint_every: 2, sampling: {max_new_tokens: 16},
          lora: {rank: 4, share: true}}
  - grpo: {iterations: 6, rollouts: 16, reward: ensemble, checkpoint_every: 2,
           sampling: {max_new_tokens: 16}}
  - dpo: {epochs: 1, batch: 8, checkpoint_every: 2}
  - kto: {epochs: 1, batch: 32, checkpoint_every: 2, keep: best}
  - evaluate: {policies: {base: pretrain, ppo: ppo, dpo: dpo}, samples: 24, seen: 4, opinions: 0,
               shown: 4, sampling: {max_new_tokens: 16}}
  - compare: {}
  - report: {}
"""
LEFT_OUT = (".lock", "timing.jsonl", "provenance.json", "plan.json", "report.html", "report.json")
"""Files that hold clocks. What a report shows is read from the others."""


def content(run: Path) -> dict[str, Any]:
    """Everything that a run left, less its clocks."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if not path.is_file() or path.name in LEFT_OUT:
            continue
        if path.name == "done.json":
            marker = json.loads(path.read_text())
            found[name] = (marker["key"], marker["summary"])
        else:
            found[name] = path.read_bytes().replace(str(run).encode(), b"")  # adapters say where
    return found


def unlike(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def pending(run: Path) -> list[str]:
    """The stages that are not finished, in their order."""
    stages = [re.split(r"[:{ ]+", line)[2] for line in RECIPE.splitlines() if line[:4] == "  - "]
    return [name for name in stages if not (run / name / "done.json").exists()]


def standing(run: Path) -> str:
    """The stage that was under way, by its marker, or the one that was to begin."""
    first = next(iter(pending(run)), "the end")
    return first if (run / first / "started.json").exists() else f"before {first}"


@pytest.mark.slow
def test_fifty_kills_anywhere_change_nothing(tmp_path: Path) -> None:
    recipe = tmp_path / "points.yaml"
    recipe.write_text(RECIPE)
    whole = tmp_path / "whole"
    draw = random.Random(20)
    struck: list[tuple[str, str]] = []
    with Killer() as killer:
        assert killer.run(recipe, whole) == 0
        expected = content(whole)
        for number in itertools.count(1):
            torn = tmp_path / f"torn-{number}"
            while pending(torn) and len(struck) < KILLS:
                point = random_point(draw, pending(torn))
                if killer.run(recipe, torn, **point) == KILLED:
                    struck.append((next(iter(point)), standing(torn)))
            assert killer.run(recipe, torn) == 0
            assert unlike(content(torn), expected) == [], struck
            if len(struck) == KILLS:
                break
    places = Counter(place.removeprefix("before ") for _, place in struck)
    print(f"{number} runs; {places}; {Counter(kind for kind, _ in struck)}")
    assert {kind for kind, _ in struck} == {"seconds", "write", "sync", "torn"}
    assert len(places) >= 8  # where the clock strikes depends on the machine
