"""A loss, a gradient, a weight or a reward that stops being a number: training stops, says where,
and what is kept is good.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from heed.cli.main import app
from heed.config import load_recipe
from heed.errors import UserError
from heed.losses.preference import PREFERENCE_LOSSES
from heed.losses.sft import cross_entropy
from heed.losses.term import Term
from heed.models.chat import ChatFormat
from heed.models.forward import completion_logprobs
from heed.models.language_model import load_language_model, save_language_model
from heed.models.reference import Reference
from heed.models.rows import demonstration_rows, pair_rows
from heed.nonfinite import FILE, worst_rows
from heed.offline import Offline
from heed.ops.batch import Sequences
from heed.ops.order import Order
from heed.policies.dpo import dpo, with_reference
from heed.run import stage_keys
from heed.trainer import Trainer
from heed.types import Comparison, Demonstration, Prompt

runner = CliRunner()


def poisoned(lm: Any, bad: int, when: int = 0) -> tuple[Offline[Sequences], Sequences]:
    """Imitation of eight answers; from its `when`-th call on, the loss of the answer that holds
    the token `bad` is no number.
    """
    chat: ChatFormat = lm.chat
    texts = ["yes", "no", "maybe", "good", "bad", "red", "green", "blue"]
    items = [Demonstration(Prompt.of("one ?"), text) for text in texts]
    data = demonstration_rows(chat, items, 32)
    calls = []

    def loss(batch: Sequences) -> list[Term]:
        logprobs, _ = completion_logprobs(lm.model, batch)
        calls.append(1)
        if len(calls) > when:
            logprobs = torch.where(batch.ids == bad, logprobs * math.nan, logprobs)
        return cross_entropy(logprobs, batch.target)

    return Offline(lm.model, data, Order(len(data), 8, 0), loss), data


def test_the_step_is_not_made_and_the_rows_are_named(toy_lm: Any, place: Any) -> None:
    lm = toy_lm()
    bad = lm.tokenizer.convert_tokens_to_ids("red")
    method, data = poisoned(lm, bad, when=5)
    run = place(checkpoint_every=2, optim={"lr": 1e-3})
    trainer = Trainer(method, run.stage, run, 9, 0, None)
    with pytest.raises(UserError) as caught:
        trainer.train()
    said = str(caught.value)
    assert "at iteration 6, step 1 of it (loss nan, gradient nan)" in said
    assert "the checkpoint of iteration 4 is kept" in said
    assert "Lower optim.lr (it is 0.001) or optim.clip_norm (1)" in said
    assert "\n" not in said
    assert all(weight.isfinite().all() for weight in lm.model.parameters())
    found = json.loads((run.directory / FILE).read_text())
    assert (found["iteration"], found["step"], found["loss"]) == (6, 1, "nan")
    assert found["weights"] == []
    assert "lm_head.weight" in found["gradients"]
    first, second = found["rows"][:2]
    assert first["loss"] == first["gradient_norm"] == "nan"
    assert bad in first["sequences"]["row"]["ids"]
    assert first["sequences"]["row"]["targets"] == 2
    assert isinstance(second["loss"], float)
    assert second["gradient_norm"] >= found["rows"][2]["gradient_norm"]
    again = toy_lm()
    resumed = Trainer(poisoned(again, bad, when=99)[0], run.stage, run, 9, 0, None)
    assert resumed.train().iteration == 9
    assert len(data) == 8


def test_what_it_says_is_done_again_is_done_again(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("{}\n{}\n")
    named = f"data={data}"
    before, slower, exact = (
        stage_keys(load_recipe("hh", [named, *changes]))
        for changes in ([], ["sft.optim.lr=1e-9"], ["dtype=float32"])
    )
    data.write_text("{}\n")
    other = stage_keys(load_recipe("hh", [named]))
    assert [name for name in before if before[name] == slower[name]] == ["records", "pretrain"]
    assert not {*before.values()} & {*exact.values(), *other.values()}


def test_a_row_of_pairs_shows_both_answers(toy_lm: Any, tmp_path: Path) -> None:
    save_language_model(toy_lm(), tmp_path / "lm")
    lm = load_language_model(tmp_path / "lm", device="cpu")  # its directory names its tokenizer
    pairs = [Comparison(Prompt.of("one ?"), "yes", "no"), Comparison(Prompt.of("two ?"), "a", "no")]
    rows = with_reference(pair_rows(lm.chat, pairs, 32), Reference(lm), 100)
    rows.ref_chosen[1] = math.inf
    method = dpo(lm, rows, Order(2, 2, 0), PREFERENCE_LOSSES["dpo"], 0.5)
    worst = worst_rows(lm.model, method.loss, rows)[0]
    assert worst["row"] == 1
    assert worst["sequences"].keys() == {"chosen", "rejected"}
    assert "two ?" in worst["sequences"]["rejected"]["text"]


def test_weights_that_are_no_numbers_are_not_saved(toy_lm: Any, place: Any) -> None:
    lm = toy_lm()
    method, _ = poisoned(lm, 0, when=99)
    run = place(checkpoint_every=2)

    def spoil(iteration: int, metrics: Any) -> None:
        if iteration == 4:
            lm.model.lm_head.weight.data[0, 0] = math.inf

    trainer = Trainer(method, run.stage, run, 9, 0, None, [spoil])
    with pytest.raises(UserError, match=r"weights stopped being numbers by iteration 4 \(lm_head"):
        trainer.train()
    kept = [path.name for path in (run.directory / "checkpoints").iterdir()]
    assert kept == ["last-000002"]


def train(settings: list[str], out: Path, stage: str, *more: str) -> Result:
    words = [word for setting in [*settings, *more] for word in ("--set", setting)]
    return runner.invoke(app, ["train", stage, "--out", str(out), *words])


def test_a_rate_too_high_stops_the_stage_and_a_lower_one_does_it_again(
    run_copy: Path, tiny_settings: list[str]
) -> None:
    too_high = ["dpo.optim.lr=1e30", "dpo.optim.schedule=constant", "dpo.epochs=4"]
    result = train(tiny_settings, run_copy, "dpo", *too_high)
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert "Error: dpo: the loss or its gradient stopped being a number at iteration 2" in said
    assert "Traceback" not in said
    assert not (run_copy / "dpo" / "policy").exists()
    found = json.loads((run_copy / "dpo" / FILE).read_text())
    assert found["rows"][0]["sequences"]["chosen"]["text"]
    assert str(run_copy / "dpo" / FILE) in said
    result = train(tiny_settings, run_copy, "dpo", *too_high)  # the same again, the same answer
    assert result.exit_code == 2
    result = train(tiny_settings, run_copy, "dpo")
    assert result.exit_code == 0, result.output
    assert "sft        done before" in result.stderr
    assert not (run_copy / "dpo" / FILE).exists()


@pytest.mark.parametrize("given", ["float('nan')", "1 / 0"])
def test_a_reward_of_the_user_s_that_is_no_number(
    run_copy: Path, tiny_settings: list[str], tmp_path: Path, given: str
) -> None:
    (tmp_path / "mine.py").write_text(
        f"def score(completions):\n    return [{given} for each in completions]\n"
    )
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        (run_copy / "recipe.yaml").read_text().split("  - reward:")[0].split("  - collect:")[0]
        + f"  - function: {{call: '{tmp_path}/mine.py:score'}}\n"
        + "  - rloo: {reward: function, iterations: 2, rollouts: 8}\n"
    )
    result = runner.invoke(app, ["run", str(recipe), "--out", str(run_copy)])
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert "Error: The reward 'function'" in said
    assert "Mend the reward and run the same command again." in said
    assert "Traceback" not in said
