"""A ground whose every figure is known: prompts of 10 tokens, answers of 5, one size of model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.planning.ground import Ground
from heed.planning.sizes import Size
from heed.planning.texts import Data, Rows, Seen

ROW = Seen(prompt=10, answer=5, prompt_words=8, answer_words=4, family="facts")
SIZE = Size(
    hidden=8, layers=2, heads=2, attention=8, kv=8, mlp=16, mlp_matrices=3,
    vocabulary=50, positions=0, tied=True,
)  # fmt: skip
DATA = Data(
    corpus=Rows(1000, (ROW,)),
    demonstrations=Rows(200, (ROW,)),
    prompts={"facts": 60, "verse": 20},
    heldout_prompts={"facts": 20},
    comparisons=300,
    heldout=30,
    probes=7,
    documents=12.0,
    vocabulary=50,
)


@pytest.fixture
def ground(tmp_path: Path) -> Callable[..., Ground]:
    """From the stages of a recipe, as YAML, to its ground; gates are off."""

    def make(stages: str, *, gates: bool = False, **more: object) -> Ground:
        names = ("logprobs", "draws", "sign", "step", "leash", "exploits", "fooled")
        off = "{" + ", ".join(f"{name}: {{action: 'off'}}" for name in names) + "}"
        page = f"name: mine\ngates: {'{}' if gates else off}\nstages:\n{stages}"
        path = tmp_path / "mine.yaml"
        path.write_text(page)
        recipe = load_recipe(str(path)).model_copy(update=more)
        return Ground(recipe, DATA, {"pretrain": SIZE, "large": SIZE})

    return make


BASE = """\
  - records
  - pretrain: {batch: 10, epochs: 2, context: 12}
  - sft: {batch: 10, epochs: 1, context: 64, checkpoint_every: 4}
"""
"""190 demonstrations to learn from and 10 held out: 19 steps, five looks at what is held out."""
FEEDBACK = (
    BASE
    + "  - collect: {policies: [sft, pretrain], comparisons: 100, heldout: 20}\n"
    + "  - reward: {batch: 10, epochs: 1, calibration: 16}\n"
)


@pytest.fixture
def base() -> str:
    return BASE


@pytest.fixture
def feedback() -> str:
    return FEEDBACK
