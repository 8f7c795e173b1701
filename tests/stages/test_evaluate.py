"""What stands in measures.json, recomputed from the samples beside it."""

from __future__ import annotations

import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from heed.files import read_records
from heed.models.language_model import load_language_model
from heed.models.reference import Reference
from heed.ops.batch import Sequences
from heed.types import Completion
from heed.world.world import World


@pytest.fixture
def measures(finished_run: Path) -> dict[str, Any]:
    return json.loads((finished_run / "evaluate" / "measures.json").read_text())


@pytest.fixture
def samples(finished_run: Path) -> dict[str, list[Completion]]:
    return {
        label: read_records(finished_run / "evaluate" / f"samples-{label}.jsonl", Completion)
        for label in ("base", "sft", "dpo", "ppo")
    }


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_figures_follow_from_the_samples(measures: Any, samples: Any, finished_run: Path) -> None:
    world = World(0)
    for label, completions in samples.items():
        table = measures["policies"][label]
        gold = [world.gold(item.prompt, item.text) for item in completions]
        assert table["gold"]["mean"] == pytest.approx(mean([item.total for item in gold]))
        assert table["rude"]["mean"] == pytest.approx(mean([item.rude for item in gold]))
        assert table["harmful"]["mean"] == pytest.approx(mean([item.harmful for item in gold]))
        assert table["correct"]["mean"] == pytest.approx(mean([item.correct for item in gold]))
        words = [len(item.text.split()) for item in completions]
        assert table["length"]["mean"] == pytest.approx(mean(words))
        moved = mean([sum(item.logprobs) for item in completions])
        reference = Reference(load_language_model(finished_run / "sft" / "policy", device="cpu"))
        rows = [(item.prompt_ids, item.ids) for item in completions]
        data = Sequences.of(rows, reference.lm.chat.pad_id)
        back = reference.logprobs(data).sum(1).mean().item()
        assert table["kl"]["mean"] == pytest.approx(moved - back, abs=1e-3)
        cut = [item.finish == "length" for item in completions]
        assert table["unfinished"]["mean"] == pytest.approx(mean(cut))


def test_every_family_is_told_apart(measures: Any, samples: Any) -> None:
    for label, completions in samples.items():
        families = measures["families"][label]
        assert set(families) == set(World(0).families)
        counts = {name: found["gold"]["n"] for name, found in families.items()}
        assert sum(counts.values()) == len(completions)


def test_gaps_between_all_policies(measures: Any) -> None:
    found = {(gap["better"], gap["worse"], gap["measure"]): gap for gap in measures["gaps"]}
    assert len(found) == 6 * 2
    table = measures["policies"]
    difference = table["ppo"]["gold"]["mean"] - table["sft"]["gold"]["mean"]
    assert found["ppo", "sft", "gold"]["difference"]["mean"] == pytest.approx(difference)


def test_answers_side_by_side_from_all_families(measures: Any, samples: Any) -> None:
    rows = measures["samples"]
    assert len(rows) == 18
    assert {row["family"] for row in rows[:6]} == set(World(0).families)
    for row in rows:
        for label, completions in samples.items():
            first = next(item for item in completions if item.prompt.text == row["prompt"])
            assert row["answers"][label] == first.text
            gold = World(0).gold(first.prompt, first.text).total
            assert row["scores"][label] == pytest.approx(gold)


def test_what_each_policy_picks_of_its_own_answers(measures: Any, samples: Any) -> None:
    world = World(0)
    for label, completions in samples.items():
        found = measures["picking"][label]
        assert set(found) == {"all", *world.families}
        picked: dict[str, tuple[float, float]] = {}
        for item in completions:
            likely = mean(list(item.logprobs))
            if likely > picked.get(item.prompt.id, (-math.inf, 0.0))[0]:
                picked[item.prompt.id] = likely, world.gold(item.prompt, item.text).total
        assert found["all"]["picks"]["mean"] == pytest.approx(mean([g for _, g in picked.values()]))
        assert found["all"]["writes"]["mean"] <= found["all"]["best"]["mean"]
        gap = found["all"]["picks"]["mean"] - found["all"]["writes"]["mean"]
        assert found["all"]["gap"]["mean"] == pytest.approx(gap)


def test_facts_by_how_often_they_were_told(measures: Any, samples: Any) -> None:
    world = World(0)
    for label, completions in samples.items():
        for name, how in (("seen_often", "often"), ("seen_once", "once"), ("never", "never")):
            chosen = [c for c in completions if world.key(c.prompt.id).get("seen") == how]
            outcomes = measures["hallucination"][label][name]
            assert sum(found["mean"] for found in outcomes.values()) == pytest.approx(1.0)
            assert outcomes["correct"]["n"] == len(chosen) > 0


def test_what_a_policy_gained_by_its_own_reward_model(
    measures: Any, samples: Any, finished_run: Path
) -> None:
    """The quickstart's PPO learns from `reward`; DPO, SFT and the base learn from none."""
    assert set(measures["own_reward"]) == {"ppo"}
    found = measures["own_reward"]["ppo"]
    assert found["reward"] == "reward"
    table, world = measures["policies"], World(0)
    gold = [world.gold(item.prompt, item.text).total for item in samples["sft"]]
    rise = table["ppo"]["gold"]["mean"] - table["sft"]["gold"]["mean"]
    assert found["gold_gain"]["mean"] == pytest.approx(rise / statistics.pstdev(gold))
    assert (found["proxy_gain"]["mean"] > 0) == (
        table["ppo"]["proxy"]["mean"] > table["sft"]["proxy"]["mean"]
    )
    gap = found["proxy_gain"]["mean"] - found["gold_gain"]["mean"]
    assert found["gap"]["mean"] == pytest.approx(gap)


def test_costs_follow_from_the_samples(samples: Any, finished_run: Path) -> None:
    found = json.loads((finished_run / "evaluate" / "costs.json").read_text())
    assert found["before"] == "sft"
    assert set(found["changes"]) == {"base", "dpo", "ppo"}
    for label, completions in samples.items():
        surprise = sum(-sum(item.logprobs) for item in completions)
        tokens = sum(len(item.logprobs) for item in completions)
        paid = found["policies"][label]
        assert paid["entropy"]["mean"] == pytest.approx(surprise / tokens)
        assert set(found["families"][label]) == set(World(0).families)
        assert set(found["sycophancy"][label]) == {"all", "facts", "arithmetic"}
        assert found["generalisation"][label]["gold"]["seen"]["n"] > 0
    change = found["changes"]["ppo"]["length"]["mean"]
    lengths = [found["policies"][label]["length"]["mean"] for label in ("ppo", "sft")]
    assert change == pytest.approx(lengths[0] - lengths[1])


def test_by_prompt_lies_what_another_run_is_paired_with(
    measures: Any, samples: Any, finished_run: Path
) -> None:
    kept = json.loads((finished_run / "evaluate" / "by_prompt.json").read_text())
    assert kept["policies"].keys() == samples.keys()
    for label, completions in samples.items():
        prompts = {item.prompt.id for item in completions}
        assert kept["prompts"].keys() == prompts
        table = kept["policies"][label]
        assert table.keys() == measures["policies"][label].keys()
        words: dict[str, list[int]] = {}
        for item in completions:
            words.setdefault(item.prompt.id, []).append(len(item.text.split()))
        assert table["length"] == {at: pytest.approx(mean(each)) for at, each in words.items()}
    families = {item.prompt.id: item.prompt.family for item in completions}
    assert kept["families"] == families
    assert all(re.fullmatch("[0-9a-f]{16}", said) for said in kept["prompts"].values())
    assert len(set(kept["prompts"].values())) > 1
