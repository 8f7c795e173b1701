"""A score a step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from heed.errors import UserError
from heed.models.language_model import save_language_model
from heed.models.reward_model import RewardModel, new_reward_model, save_reward_model
from heed.ops.order import Order
from heed.rewards.process import (
    ProcessReward,
    Solution,
    read_solutions,
    step_ids,
    step_modelling,
    step_rows,
)
from heed.trainer import Monitor, Trainer
from heed.types import Completion

FILLERS = ["red", "green two", "one", "blue blue", "two one red", "green"]


@pytest.fixture
def reward_model(toy_lm: Any, tmp_path: Path) -> RewardModel:
    save_language_model(toy_lm(), tmp_path / "policy")
    return new_reward_model(tmp_path / "policy", device="cpu", dtype="float32", seed=1)


def solutions(prompts: Any) -> list[Solution]:
    """A step is right where it says yes, wherever it stands."""
    found = []
    for i in range(48):
        right = (bool(i & 1), bool(i & 2), bool(i & 4))
        words = ["yes" if label else "no" for label in right]
        said = [f"{FILLERS[(i + k) % 6]} {word}" if i & 8 else f"{word} {FILLERS[(i * k) % 6]}"
                for k, word in enumerate(words)]  # fmt: skip
        found.append(Solution(prompts[i % 6], tuple(said), right))
    return found


def reward(model: RewardModel, aggregate: str = "product", context: int = 64) -> ProcessReward:
    return ProcessReward(model, separator="\n", aggregate=aggregate, context=context)


def test_a_steps_score_is_a_plain_classifiers_of_the_answer_up_to_there(
    reward_model: RewardModel, toy_prompts: Any, tmp_path: Path
) -> None:
    save_reward_model(reward_model, tmp_path / "model")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    (chances,) = reward(reward_model).steps([Completion(toy_prompts[0], "yes one\n\nno\nred yes")])
    steps = ["yes one", "no", "red yes"]
    assert len(chances) == 3
    for place, chance in enumerate(chances):
        prompt, ids, _ = step_ids(reward_model.chat, toy_prompts[0], steps[: place + 1], "\n", 64)
        with torch.no_grad():
            logit = plain(torch.tensor([[*prompt, *ids]])).logits.item()
        assert chance == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)


def test_the_chances_are_multiplied_or_the_least_of_them(
    reward_model: RewardModel, toy_prompts: Any
) -> None:
    answers = [Completion(toy_prompts[i], text) for i, text in enumerate(["yes\nno", "red", " \n"])]
    chances = reward(reward_model).steps(answers)
    assert [len(each) for each in chances] == [2, 1, 0]
    assert reward(reward_model)(answers) == pytest.approx([math.prod(chances[0]), *chances[1], 0.0])
    assert reward(reward_model, "minimum")(answers)[0] == pytest.approx(min(chances[0]))


def test_late_steps_that_do_not_fit_are_cut(reward_model: RewardModel, toy_prompts: Any) -> None:
    long = Completion(toy_prompts[0], "\n".join(["yes one two"] * 9))
    assert len(reward(reward_model, context=16).steps([long])[0]) < 9
    labelled = Solution(long.prompt, ("yes one two",) * 9, (True,) * 9)
    rows = step_rows(reward_model.chat, [labelled], "\n", 16)
    assert rows.ids.shape[1] <= 16
    assert 0 < rows.counts()["steps"] < 9


def test_it_learns_which_steps_are_right(
    reward_model: RewardModel, toy_prompts: Any, place: Any
) -> None:
    data = step_rows(reward_model.chat, solutions(toy_prompts), "\n", 64)
    run = place(optim={"lr": 0.01})
    method = step_modelling(reward_model, data, Order(len(data), 12, 0))
    Trainer(
        method=method, settings=run.stage, run=run, iterations=150, seed=0, monitor=Monitor("none")
    ).train()
    rows = [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step_correctness"] > 0.4
    assert sum(row["accuracy"] for row in rows[-10:]) / 10 > 0.97
    known = solutions(toy_prompts)
    answers = [Completion(each.prompt, "\n".join(each.steps)) for each in known]
    chances = reward(reward_model).steps(answers)
    agreed = [
        (chance > 0.5) == label
        for each, found in zip(known, chances, strict=True)
        for chance, label in zip(found, each.right, strict=True)
    ]
    assert sum(agreed) / len(agreed) > 0.97
    for answer, found in zip(answers, chances, strict=True):  # later steps change nothing
        first = Completion(answer.prompt, answer.text.partition("\n")[0])
        assert reward(reward_model)([first]) == pytest.approx([found[0]], abs=1e-4)


def test_a_file_of_labelled_steps(tmp_path: Path) -> None:
    file = tmp_path / "steps.jsonl"
    file.write_text('{"prompt": "a ?", "steps": ["b", "c"], "right": [true, false]}\n\n')
    (found,) = read_solutions(file)
    assert (found.prompt.text, found.steps, found.right) == ("a ?", ("b", "c"), (True, False))


@pytest.mark.parametrize(
    "row",
    ['{"prompt": "a", "steps": ["b"], "right": []}', '{"prompt": "a", "steps": [], "right": []}',
     '{"prompt": "a", "steps": ["b"], "right": [1]}', '{"steps": ["b"], "right": [true]}',
     '{"prompt": "a", "steps": [" "], "right": [true]}', '{"prompt": "a", "right": [true]}',
     '{"prompt": "a", "steps": 3, "right": [true]}', "no JSON"],
)  # fmt: skip
def test_what_is_no_labelled_answer(tmp_path: Path, row: str) -> None:
    file = tmp_path / "steps.jsonl"
    file.write_text(f"\n{row}\n")
    with pytest.raises(UserError, match="line 2: not an answer with labelled steps"):
        read_solutions(file)
