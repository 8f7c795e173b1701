"""Runs one more stage of a finished tiny run, on one process or on several.

    torchrun --standalone --nproc-per-node 2 tests/distributed/stages_on_ranks.py RUN SETTINGS STAGE

SETTINGS is a JSON list of what `--set` is given, STAGE a recipe's entry, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.recipe import Dpo, Ppo, Rloo, Sft

KINDS = {"dpo": Dpo, "ppo": Ppo, "rloo": Rloo, "sft": Sft}


def main(run: Path, settings: list[str], entry: dict[str, dict[str, object]]) -> None:
    ((kind, own),) = entry.items()
    stage = KINDS[kind].model_validate(own)
    recipe = load_recipe("quickstart", settings)
    recipe = recipe.model_copy(update={"stages": (*recipe.stages, stage)})
    carry_out(recipe, run, fresh=False, only=stage.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]))
