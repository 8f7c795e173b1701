"""The pipeline on human comparisons, in miniature, from transcripts to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.files import read_records
from heed.models.reward_model import load_reward_model
from heed.types import Comparison, Prompt

runner = CliRunner()
SIZES = (
    "{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, "
    "num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 160, "
    "tie_word_embeddings: true}"
)
SETTINGS = [
    "threads=1",
    "records.heldout=0.2",
    *(f"pretrain.architecture={SIZES}", "pretrain.vocabulary=300", "pretrain.epochs=4"),
    *("pretrain.context=160", "sft.context=160", "reward.context=160", "dpo.context=160"),
    *("reward.calibration=16", "reward.sampling.max_new_tokens=8", "reward.batch=8"),
    *("ppo.iterations=2", "ppo.rollouts=8", "ppo.sampling.max_new_tokens=8", "dpo.batch=8"),
    *("evaluate.samples=16", "evaluate.sampling.max_new_tokens=8"),
]


def run_hh(out: Path, data: Path, *more: str) -> Any:
    words = [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]
    return runner.invoke(app, ["run", "hh", "--out", str(out), "--set", f"data={data}", *words])


def side(question: str, answer: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


def test_from_transcripts_to_a_report(hh_file: Any, tmp_path: Path) -> None:
    long = "And then? " * 60
    extra = [
        {"chosen": side("Equal?", "Yes."), "rejected": side("Equal?", "Yes.")},
        {"chosen": side("One?", "Yes."), "rejected": side("Two?", "No.")},
        *(
            {"chosen": side(f"{n} {long}", "Fine."), "rejected": side(f"{n} {long}", "No.")}
            for n in range(12)
        ),
    ]
    run = tmp_path / "run"
    result = run_hh(run, hh_file(*extra))
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "52 comparisons read; 2 rows set aside: 1 equal answers, 1 unlike prompts." in said
    prompts = read_records(run / "records" / "prompts.jsonl", Prompt)
    heldout = read_records(run / "records" / "heldout.jsonl", Comparison)
    train = read_records(run / "records" / "comparisons.jsonl", Comparison)
    assert len(prompts) == len(heldout) + len(train) == 52
    long_ones = sum(len(item.prompt.text) > 300 for item in heldout)
    assert long_ones > 0
    assert f"{long_ones} heldout prompts are too long for the model's context" in said
    report = json.loads((run / "report.json").read_text())
    assert list(report["policies"]) == ["base", "sft", "dpo", "ppo"]
    for policy in report["policies"].values():
        assert {"length", "kl", "proxy", "distinct"} <= policy.keys()
        assert "gold" not in policy
    assert report["reward_model"]["accuracy"]["n"] == len(heldout)
    assert set(report["reward_model"]["baselines"]) == {"length", "tfidf"}
    assert "noise_ceiling" not in report["reward_model"]
    assert load_reward_model(run / "reward" / "model", device="cpu").offset != 0.0
    assert (run / "report.html").exists()


def test_prompts_without_room_for_an_answer(hh_file: Any, tmp_path: Path) -> None:
    result = run_hh(tmp_path / "run", hh_file(), "reward.sampling.max_new_tokens=155")
    assert result.exit_code == 2
    assert "train prompts of 'records' leaves room for an answer" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "kitchen.jsonl, line 1: this is not JSON"),
        ('{"chosen": "a"}', "kitchen.jsonl, line 1: the row has no text 'rejected'"),
        ('{"chosen": "a", "rejected": "b"}', "not one row can be used"),
        (
            json.dumps({"chosen": side("What?", "A."), "rejected": side("What?", "B.")}),
            "1 usable comparisons are too few",
        ),
    ],
)
def test_broken_transcripts_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "kitchen.jsonl"
    file.write_text(content + "\n")
    result = run_hh(tmp_path / "run", file)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert "\n\n" not in result.stderr


def test_no_transcripts(tmp_path: Path) -> None:
    result = run_hh(tmp_path / "run", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "does not exist" in " ".join(result.stderr.split())


def test_simulated_annotators_need_the_world(hh_file: Any, tmp_path: Path) -> None:
    words = ["train", "collect", "--out", str(tmp_path / "run"), "--set", f"data={hh_file()}"]
    settings = [s for s in SETTINGS if s.startswith(("threads", "records", "pretrain", "sft"))]
    result = runner.invoke(app, [*words, *(w for s in settings for w in ("--set", s))])
    assert result.exit_code == 2
    assert "'collect' asks simulated annotators" in " ".join(result.stderr.split())
