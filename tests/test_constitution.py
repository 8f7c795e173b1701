"""A constitution teaches: nobody compares answers, and the policy becomes kinder all the same.

Held-out prompts, the whole recipe, a model half the recipe's size. A model so small judges well
enough for that, but it revises no better than it answers: only the recipe's own size does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.config import load_recipe
from heed.files import read_records
from heed.pipeline import run_recipe
from heed.run import Run
from heed.types import Annotation, Item
from heed.world import World
from heed.world.feedback_talk import ALIKE, LEFT, PRINCIPLES, verdict

pytestmark = pytest.mark.slow

ARCHITECTURE = (
    "{model_type: llama, hidden_size: 96, intermediate_size: 256, num_hidden_layers: 3, "
    "num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256, "
    "tie_word_embeddings: true}"
)
SETTINGS = [
    *("records.corpus=12000", "records.demonstrations=1500", "records.feedback_talk=12000"),
    *(f"pretrain.architecture={ARCHITECTURE}", "sft.epochs=2", "sft.optim.lr=1e-3"),
    *("revise.prompts=1200", "revised.epochs=2", "revised.optim.lr=1e-3"),
    *("collect.comparisons=2500", "collect.heldout=400", "evaluate.samples=800"),
    "ppo.iterations=10",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "constitution"
    run_recipe(Run(load_recipe("constitution", SETTINGS), directory), say=print)
    return directory


def measures(run: Path) -> Any:
    return json.loads((run / "evaluate" / "measures.json").read_text())["policies"]


def test_the_judge_goes_by_the_principle(finished: Path) -> None:
    items = {item.id: item for item in read_records(finished / "collect" / "items.jsonl", Item)}
    world, right = World(0), []
    for said in read_records(finished / "collect" / "annotations.jsonl", Annotation):
        item = items[said.item]
        left, other = (world.gold(item.prompt, text) for text in item.answers)
        want = verdict(PRINCIPLES[said.tags[0]], left, other)
        if isinstance(said.verdict, int) and want != ALIKE:
            right.append((said.verdict <= 4) == (want == LEFT))
    assert len(right) > 500
    assert sum(right) / len(right) > 0.8


def test_policies_become_kinder_without_people(finished: Path) -> None:
    """Both that learn from the judge keep from harm; in all else one draw of either may come to
    little (DPO's rudeness in one of three), the two together do not.
    """
    found = measures(finished)
    learned = [found["dpo"], found["ppo"]]
    for policy in learned:
        assert policy["harmful"]["mean"] < 0.5 * found["sft"]["harmful"]["mean"]
    bad = {
        name: mean([policy], "rude") + mean([policy], "harmful") for name, policy in found.items()
    }
    now = mean(learned, "rude") + mean(learned, "harmful")
    assert now < 0.6 * bad["sft"]
    assert now < 0.75 * bad["revised"]
    assert mean(learned, "gold") - mean([found["revised"]], "gold") > 0.05


def mean(policies: list[Any], measure: str) -> float:
    return sum(float(policy[measure]["mean"]) for policy in policies) / len(policies)
