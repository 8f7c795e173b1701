"""What stands in overoptimisation.json, recomputed from the world and the metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heed.files import read_records
from heed.models.language_model import load_language_model
from heed.models.reward_model import load_reward_model
from heed.ops.order import Order
from heed.rewards.learned import LearnedReward
from heed.run import derive_seed
from heed.sampling.local import LocalSampler
from heed.stages.overoptimisation import CHUNK, STARTS, Scores
from heed.stats.best_of_n import best_of_n
from heed.types import Completion, Prompt
from heed.world.world import World


@pytest.fixture
def found(finished_run: Path) -> dict[str, Any]:
    return json.loads((finished_run / "overoptimisation" / "overoptimisation.json").read_text())


@pytest.fixture
def answers(finished_run: Path) -> list[Completion]:
    prompts = read_records(finished_run / "records" / "prompts.jsonl", Prompt)
    heldout = [prompt for prompt in prompts if prompt.split == "heldout"]
    policy = load_language_model(finished_run / "sft" / "policy", device="cpu")
    sampler = LocalSampler(policy, max_new_tokens=20)
    drawn: list[Completion] = []
    for start in range(0, len(heldout), CHUNK):
        seed = derive_seed(0, "overoptimisation", start)
        drawn += sampler.sample(heldout[start : start + CHUNK], n=4, seed=seed)
    return drawn


def test_best_of_n_follows_from_the_answers(
    found: Any, answers: list[Completion], finished_run: Path
) -> None:
    world = World(0)
    model = LearnedReward(
        load_reward_model(finished_run / "reward" / "model", device="cpu"), context=256
    )
    proxy = np.array(model(answers)).reshape(-1, 4)
    gold = np.array([world.gold(item.prompt, item.text).total for item in answers]).reshape(-1, 4)
    assert found["gold"] == pytest.approx({"mean": gold.mean(), "sd": gold.std()})
    assert found["prompts"] == len(gold)
    best = found["best_of_n"]["reward"]
    curve = best_of_n(proxy, gold)
    for n in range(1, 5):
        gain = (curve[:, n - 1] - curve[:, 0]).mean() / gold.std()
        assert best["gold"][n - 1]["mean"] == pytest.approx(gain, abs=1e-6)
        assert best["distance"][n - 1] == pytest.approx(math.sqrt(math.log(n) - (n - 1) / n))
    rise = (proxy.max(1) - proxy.mean(1)).mean() / proxy.std()
    assert best["proxy"][-1]["mean"] == pytest.approx(rise, abs=1e-4)
    assert best["fit"]["form"] == "best_of_n"


def test_trainings_are_read_from_their_rounds(found: Any, finished_run: Path) -> None:
    lines = (finished_run / "metrics.jsonl").read_text().splitlines()
    rows = [row for line in lines if (row := json.loads(line))["stage"] == "leash_off"]
    run = found["runs"]["off the leash"]
    assert run["distance"] == [math.sqrt(max(0.0, row["kl"])) for row in rows]
    start, scale = run["fit"]["start"], run["fit"]["scale"]
    assert scale == found["gold"]["sd"]
    gains = [(row["gold"] - start) / scale for row in rows]
    assert run["gold"] == pytest.approx(gains)
    assert (run["kl_coef"], run["proxy_label"]) == (0.0, "reward")


def test_the_start_is_drawn_from_the_prompts_that_trainings_ask(
    found: Any, finished_run: Path
) -> None:
    prompts = read_records(finished_run / "records" / "prompts.jsonl", Prompt)
    train = [prompt for prompt in prompts if prompt.split == "train"]
    policy = load_language_model(finished_run / "sft" / "policy", device="cpu")
    order = Order(len(train), STARTS, derive_seed(0, "overoptimisation", "prompts"))
    asked = [train[i] for i in order.indices(0).tolist()]
    seed = derive_seed(0, "overoptimisation", "start")
    answers = LocalSampler(policy, max_new_tokens=20).sample(asked, seed=seed)
    world = World(0)
    gold = [world.gold(item.prompt, item.text).total for item in answers]
    assert found["runs"]["off the leash"]["fit"]["start"] == pytest.approx(np.mean(gold))


def test_too_short_a_training_is_shown_and_not_fitted(found: Any, finished_run: Path) -> None:
    run = found["runs"]["on the leash"]
    assert len(run["gold"]) == 4
    assert run["fit"] is None
    done = json.loads((finished_run / "overoptimisation" / "done.json").read_text())
    assert done["summary"]["notes"][-1].startswith("on the leash: fewer than 8 rounds")


def test_what_the_reward_was_made_of(found: Any, finished_run: Path) -> None:
    done = json.loads((finished_run / "reward" / "done.json").read_text())["summary"]
    made = found["proxies"]["reward"]
    assert made["comparisons"] == done["comparisons"]
    assert made["accuracy"] == done["accuracy"]
    assert made["parameters"] > 1000


def test_an_answer_that_comes_twice_is_scored_once() -> None:
    prompts = [Prompt.of("one?"), Prompt.of("two?")]
    texts = ["a", "b", "a", "a", "a", "c"]
    answers = [Completion(prompts[i // 3], text) for i, text in enumerate(texts)]
    scores, asked = Scores(answers, 3), []

    def reward(completions: Any) -> list[float]:
        asked.extend(completions)
        return [float(ord(item.text)) for item in completions]

    assert scores.of(reward).tolist() == [[97, 98, 97], [97, 97, 99]]
    assert len(asked) == scores.distinct == 4
