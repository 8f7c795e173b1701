"""A run of toy policies, as far as whoever asks it looks: written by hand, trained by nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heed.config import dump_recipe, load_recipe

RECIPE = """\
name: toy
stages:
  - records
  - pretrain: {name: base}
  - sft: {policy: base}
  - collect: {policies: [sft, base]}
  - reward: {policy: sft}
  - evaluate: {policies: {base: base, sft: sft}}
"""


def toy_run(run: Path, make: Any, **settings: Any) -> Path:
    """A run whose stages base and sft left policies of `make` (the fixture `toy_lm`), and whose
    stage reward a reward model.
    """
    from heed.models.language_model import save_language_model
    from heed.models.reward_model import new_reward_model, save_reward_model

    for seed, stage in enumerate(("base", "sft")):
        save_language_model(make(seed, **settings), run / stage / "policy")
    save_reward_model(new_reward_model(run / "sft" / "policy"), run / "reward" / "model")
    for stage in ("base", "sft", "reward"):
        (run / stage / "done.json").write_text(json.dumps({"key": "old", "summary": {}}))
    recipe = run / "recipe.yaml"
    recipe.write_text(RECIPE)
    recipe.write_text(dump_recipe(load_recipe(str(recipe))))
    return run
