"""Reward stages on encoders, each with a tokenizer of its own, and what is trained by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ARCHITECTURE, TOY
from encoders import save_encoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from heed.cli.main import app
from heed.config import load_recipe
from heed.feedback.people import nobody
from heed.models.language_model import new_language_model, save_language_model
from heed.models.pair_format import asked
from heed.pipeline import run_recipe
from heed.run import Run
from heed.stages.workplace import Workplace
from heed.types import Completion

SHORT = "sampling: {max_new_tokens: 12}"
LEARNED = f"batch: 16, calibration: 24, context: 80, optim: {{lr: 0.01}}, {SHORT}"
RECIPE = f"""\
name: encoders
threads: 1
device: cpu
stages:
  - records: {{corpus: 400, demonstrations: 64}}
  - pretrain: {{architecture: {ARCHITECTURE}, batch: 32, epochs: 3, optim: {{lr: 0.01}}}}
  - sft: {{epochs: 1}}
  - collect: {{comparisons: 40, heldout: 24, answers: 3, {SHORT}}}
  - reward: {{backbone: <bert>, {LEARNED}}}
  - ensemble: {{members: 2, backbone: <roberta>, lora: {{rank: 2}}, loss: plackett_luce, {LEARNED}}}
  - reward: {{name: other, backbone: <decoder>, confidence: {{}}, keep: best, {LEARNED}}}
  - ppo: {{iterations: 2, rollouts: 8, {SHORT}}}
  - best_of_n: {{reward: ensemble, n: 2}}
  - evaluate: {{policies: {{sft: sft, ppo: ppo, best_of_n: best_of_n}}, samples: 12, {SHORT}}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, toy_tokenizer: Any) -> Run:
    folder = tmp_path_factory.mktemp("encoders")
    decoder = new_language_model(toy_tokenizer, {**TOY, "max_position_embeddings": 96}, 0)
    save_language_model(decoder, folder / "decoder")
    places = {
        "<bert>": save_encoder("bert", folder / "bert"),
        "<roberta>": save_encoder("roberta", folder / "roberta"),
        "<decoder>": folder / "decoder",
    }
    page = RECIPE
    for name, place in places.items():
        page = page.replace(name, str(place))
    recipe = folder / "encoders.yaml"
    recipe.write_text(page)
    run = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(run, say=lambda line: None)
    return run


def test_a_saved_reward_model_is_transformers_own(finished: Run) -> None:
    work = Workplace(finished, print, lambda _: nobody)
    (prompt, *_) = work.prompts("records", "heldout")
    completions = [Completion(prompt, text) for text in ("paris .", "no", "i do not know")]
    folder = finished.directory / "reward" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = tokenizer(
        [asked(prompt)] * 3, [c.text for c in completions], padding=True, return_tensors="pt"
    )
    plain = model(**batch).logits[:, 0] + model.config.heed_offset
    assert work.reward("reward")(completions) == pytest.approx(plain.tolist(), abs=1e-4)
    assert len(set(work.reward("ensemble")(completions))) == 3
    assert len(tokenizer) != len(work.policy("sft").tokenizer)


@pytest.mark.parametrize("reward", ["reward", "other"])
def test_a_critic_starts_from_the_policy_whose_tokens_it_reads(finished: Run, reward: str) -> None:
    work = Workplace(finished, print, lambda _: nobody)
    critic = work.value_model(reward, "sft")
    tokens = critic.backbone.get_input_embeddings().num_embeddings
    assert tokens == len(work.policy("sft").tokenizer)


def test_scores_are_calibrated_on_the_policys_samples(finished: Run) -> None:
    for stage, folder in (("reward", "reward"), ("ensemble", "ensemble/member-1")):
        config = json.loads((finished.directory / folder / "model" / "config.json").read_text())
        assert config["heed_offset"] != 0
        marker = json.loads((finished.directory / stage / "done.json").read_text())
        assert {"length", "tfidf"} <= marker["summary"]["baselines"].keys()


def test_what_was_trained_by_it_is_measured(finished: Run) -> None:
    found = json.loads((finished.directory / "evaluate" / "measures.json").read_text())
    assert all(found["policies"][name]["proxy"]["n"] > 0 for name in ("ppo", "best_of_n"))


def test_an_export_is_read_by_transformers(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = CliRunner().invoke(app, ["export", f"{finished.directory}:reward", str(out)])
    assert said.exit_code == 0, said.output
    made, kept = (
        AutoModelForSequenceClassification.from_pretrained(path).classifier.weight
        for path in (out, finished.directory / "reward" / "model")
    )
    assert torch.equal(made, kept)
