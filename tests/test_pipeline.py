"""A whole run in miniature: what it leaves, what is done again and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from heed import pipeline
from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.exporting.found import find
from heed.files import read_records
from heed.models import device
from heed.models.language_model import load_language_model
from heed.models.reward_model import load_reward_model
from heed.models.rows import fitted
from heed.pipeline import run_recipe
from heed.rewards.learned import LearnedReward
from heed.run import Run
from heed.sampling.local import LocalSampler
from heed.types import Annotation, Comparison, Completion, Item, Prompt

STAGES = [
    "records", "pretrain", "sft", "collect", "reward", "ppo", "dpo", "evaluate", "compare",
    "leash_off", "overoptimisation", "report",
]  # fmt: skip
POLICIES = ["pretrain", "sft", "ppo", "dpo"]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def rows(run: Path, stage: str) -> list[str]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [line for line in lines if json.loads(line)["stage"] == stage]


def stamps(run: Path) -> dict[str, int]:
    """When each stage was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in run.glob("*/done.json")}


def redone(run: Path, settings: list[str], *more: str, only: str | None = None) -> list[str]:
    before = stamps(run)
    recipe = load_recipe("quickstart", [*settings, *more])
    carry_out(recipe, run, fresh=False, only=only)
    after = stamps(run)
    return [name for name in STAGES if before.get(name) != after.get(name)]


def test_every_stage_is_marked_and_leaves_its_files(finished_run: Path) -> None:
    assert sorted(stamps(finished_run)) == sorted(STAGES)
    for path in ("recipe.yaml", "provenance.json", "metrics.jsonl", "timing.jsonl"):
        assert (finished_run / path).stat().st_size > 0
    for stage in ("pretrain", "sft", "reward", "ppo", "dpo"):
        checkpoints = sorted(p.name for p in (finished_run / stage / "checkpoints").iterdir())
        last = json.loads(rows(finished_run, stage)[-1])["step"]
        best = [] if stage in ("pretrain", "ppo") else [f"best-{last:06d}"]
        assert checkpoints == [*best, f"last-{last:06d}"]
        assert read(finished_run / stage / "done.json")["summary"]["iterations"] == last


def test_comparisons_follow_from_annotations(finished_run: Path) -> None:
    collect = finished_run / "collect"
    items = {item.id: item for item in read_records(collect / "items.jsonl", Item)}
    annotations = read_records(collect / "annotations.jsonl", Annotation)
    decided = [item for item in annotations if item.prefers_left is not None]
    made = [
        *read_records(collect / "comparisons.jsonl", Comparison),
        *read_records(collect / "heldout.jsonl", Comparison),
    ]
    assert len(items) == len(annotations) == 80
    assert len(made) == len(decided)
    for annotation, comparison in zip(decided, made, strict=True):
        left, right = items[annotation.item].answers
        sides = [left, right] if annotation.prefers_left else [right, left]
        assert [comparison.chosen, comparison.rejected] == sides
        assert comparison.source == "simulated"
        assert comparison.prompt.split == annotation.item.split("-")[0]
        assert comparison.annotator == annotation.annotator
    assert len({annotation.annotator for annotation in annotations}) > 8
    ceilings = read(collect / "ceiling.json")
    assert len(ceilings) == len(read_records(collect / "heldout.jsonl", Comparison))
    assert all(0.5 <= ceiling <= 1.0 for ceiling in ceilings)


@pytest.mark.parametrize("stage", POLICIES)
def test_policies_load_in_plain_transformers(finished_run: Path, stage: str) -> None:
    folder = finished_run / stage / "policy"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompts = read_records(finished_run / "records" / "prompts.jsonl", Prompt)[:8]
    lm = load_language_model(folder, device="cpu")
    greedy = LocalSampler(lm, max_new_tokens=8, temperature=0.0).sample(prompts)
    for prompt, answer in zip(prompts, greedy, strict=True):
        messages = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        ids = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        assert tuple(ids[0].tolist()) == answer.prompt_ids
        mask = torch.ones_like(ids)
        output = model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
        assert tuple(output[0, ids.shape[1] :].tolist()) == answer.ids


def test_the_reward_model_loads_in_plain_transformers(finished_run: Path) -> None:
    folder = finished_run / "reward" / "model"
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    loaded = load_reward_model(folder, device="cpu")
    pairs = read_records(finished_run / "collect" / "heldout.jsonl", Comparison)
    completions = [Completion(pair.prompt, pair.chosen) for pair in pairs]
    scores = LearnedReward(loaded, context=128)(completions)
    for completion, score in zip(completions, scores, strict=True):
        prompt_ids, ids = fitted(loaded.chat, completion.prompt, completion.text, 128)
        with torch.no_grad():
            logit = plain(torch.tensor([[*prompt_ids, *ids]])).logits.item()
        assert logit + plain.config.heed_offset == pytest.approx(score, abs=1e-5)
    assert len(set(scores)) > 5


def test_the_reward_model_is_calibrated_and_judged(finished_run: Path) -> None:
    summary = read(finished_run / "reward" / "done.json")["summary"]
    assert {"accuracy", "noise_ceiling", "chance_corrected", "baselines"} <= summary.keys()
    heldout = read_records(finished_run / "collect" / "heldout.jsonl", Comparison)
    assert summary["accuracy"]["n"] == summary["noise_ceiling"]["n"] == len(heldout)
    assert set(summary["baselines"]) == {"length", "tfidf"}
    assert summary["calibrated_from"]["std"] > 0


def test_measures_of_every_policy(finished_run: Path) -> None:
    measures = read(finished_run / "evaluate" / "measures.json")
    assert list(measures["policies"]) == ["base", "sft", "dpo", "ppo"]
    for table in measures["policies"].values():
        for name in ("gold", "rude", "harmful", "correct", "length", "distinct", "kl", "proxy"):
            estimate = table[name]
            assert set(estimate) == {"mean", "low", "high", "n"}
            assert estimate["low"] <= estimate["mean"] <= estimate["high"]
    assert abs(measures["policies"]["sft"]["kl"]["mean"]) < 1e-4
    assert set(measures["hallucination"]["ppo"]) == {"seen_often", "seen_once", "never"}
    for label in measures["policies"]:
        samples = read_records(finished_run / "evaluate" / f"samples-{label}.jsonl", Completion)
        assert {sample.prompt.split for sample in samples} == {"heldout"}
        assert len(samples) == measures["policies"][label]["gold"]["n"]


def test_the_report_holds_what_was_promised(finished_run: Path) -> None:
    report = read(finished_run / "report.json")
    assert list(report["policies"]) == ["base", "sft", "dpo", "ppo"]
    for policy in report["policies"].values():
        assert {"gold", "rude", "harmful", "correct", "length", "distinct", "kl"} <= policy.keys()
        assert all({"mean", "low", "high", "n"} == set(found) for found in policy.values())
    assert {"accuracy", "noise_ceiling"} <= report["reward_model"].keys()
    # So small a reward is fooled by decoys, and four rounds are too few for a fit.
    assert {note.split(":")[0] for note in report["notes"]} == {"compare", "overoptimisation"}
    page = (finished_run / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "Seen often" in page


def test_the_same_run_twice_gives_the_same_bits(
    finished_run: Path, tiny_settings: list[str], tmp_path: Path
) -> None:
    recipe = load_recipe("quickstart", tiny_settings).needed_for("reward")
    carry_out(recipe, tmp_path / "again", fresh=False)
    for stage in ("pretrain", "sft", "reward"):
        assert rows(tmp_path / "again", stage) == rows(finished_run, stage)
    for path in ("sft/policy/model.safetensors", "reward/model/model.safetensors"):
        assert (tmp_path / "again" / path).read_bytes() == (finished_run / path).read_bytes()


def test_a_changed_setting_redoes_only_what_depends_on_it(
    finished_run: Path,
    run_copy: Path,
    tiny_settings: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert redone(run_copy, tiny_settings) == []
    assert "nothing to do" in capsys.readouterr().err
    changed = redone(run_copy, tiny_settings, "ppo.kl.coef=0.5", "ppo.iterations=2")
    assert changed == ["ppo", "evaluate", "compare", "overoptimisation", "report"]
    assert "dpo        done before" in capsys.readouterr().err
    assert len(rows(run_copy, "ppo")) == 2
    assert rows(run_copy, "dpo") == rows(finished_run, "dpo")


def test_the_value_model_has_a_rate_of_its_own(
    finished_run: Path, run_copy: Path, tiny_settings: list[str]
) -> None:
    assert redone(run_copy, tiny_settings, "ppo.value_lr_scale=20.0", only="ppo") == ["ppo"]
    before, after = (json.loads(rows(run, "ppo")[0]) for run in (finished_run, run_copy))
    assert after["proxy"] == before["proxy"]  # sampled before anything is learned
    assert after["value_loss"] != before["value_loss"]


def test_a_stage_that_was_cut_short_goes_on(
    finished_run: Path, run_copy: Path, tiny_settings: list[str]
) -> None:
    """As after kill -9 between a checkpoint and the marker."""
    (run_copy / "dpo" / "done.json").unlink()
    before = (run_copy / "dpo" / "policy" / "model.safetensors").read_bytes()
    with (run_copy / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "dpo", "step": 4, "loss": 0.0}\n{"stage": "dp')
    assert redone(run_copy, tiny_settings, only="dpo") == ["dpo"]
    assert rows(run_copy, "dpo") == rows(finished_run, "dpo")
    assert (run_copy / "dpo" / "policy" / "model.safetensors").read_bytes() == before


def test_fresh_begins_again(finished_run: Path, run_copy: Path, tiny_settings: list[str]) -> None:
    recipe = load_recipe("quickstart", tiny_settings).needed_for("sft")
    before = stamps(run_copy)
    carry_out(recipe, run_copy, fresh=True)
    after = stamps(run_copy)
    assert [name for name in STAGES if before[name] != after[name]] == STAGES[:3]
    assert rows(run_copy, "sft") == rows(finished_run, "sft")


def test_adapters_train_and_are_saved_merged(run_copy: Path, tiny_settings: list[str]) -> None:
    lora = [f"{stage}.lora.rank=2" for stage in ("sft", "ppo", "dpo")]
    assert redone(run_copy, tiny_settings, *lora) == STAGES[2:]
    base = AutoModelForCausalLM.from_pretrained(run_copy / "pretrain" / "policy")
    for stage in ("sft", "ppo", "dpo"):
        folder = run_copy / stage / "policy"
        assert (folder / "adapter" / "adapter_model.safetensors").exists()
        model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
        ids = torch.tensor([[5, 6, 7, 8]])
        assert not torch.equal(model(ids).logits, base(ids).logits)
        embeddings = [m.get_input_embeddings().weight for m in (model, base)]
        assert torch.equal(*embeddings)  # adapters leave them as they are
    ppo = [json.loads(row) for row in rows(run_copy, "ppo")]
    assert abs(ppo[0]["kl"]) < 1e-4
    dpo = json.loads(rows(run_copy, "dpo")[0])
    assert dpo["preference"] == pytest.approx(0.6931472, abs=1e-5)


@pytest.mark.slow
def test_half_precision_runs_the_whole_loop(run_copy: Path, tiny_settings: list[str]) -> None:
    assert redone(run_copy, tiny_settings, "dtype=bfloat16") == STAGES
    for stage in ("sft", "ppo", "dpo"):
        model = AutoModelForCausalLM.from_pretrained(run_copy / stage / "policy")
        assert model.dtype == torch.float32  # what trains stays float32
    ppo = json.loads(rows(run_copy, "ppo")[0])
    assert abs(ppo["kl"]) < 0.05  # sampler and reference round differently, a little
    assert ppo["approx_kl"] < 0.1
    dpo = json.loads(rows(run_copy, "dpo")[0])
    assert dpo["preference"] == pytest.approx(0.6931472, abs=1e-2)


@pytest.mark.parametrize(
    ("dtype", "instructions", "lines"),
    [("bfloat16", ["avx2"], 1), ("bfloat16", None, 0), ("auto", ["avx2"], 0)],
)
def test_half_precision_without_hardware_for_it_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    instructions: list[str] | None,
    lines: int,
) -> None:
    monkeypatch.setattr(device, "instruction_sets", lambda: instructions)
    monkeypatch.setattr(pipeline, "keep_plan", lambda *_: None)  # it would try the machine's speed
    page = tmp_path / "mine.yaml"
    page.write_text(
        f"name: mine\ndevice: cpu\ndtype: {dtype}\nstages:\n"
        "  - records: {corpus: 100, demonstrations: 40}\n"
    )
    said: list[str] = []
    run_recipe(Run(load_recipe(str(page)), tmp_path / "run"), said.append)
    told = [line for line in said if "no bfloat16 in hardware" in line]
    assert len(told) == lines
    assert all(line.startswith("dtype ") for line in told)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ppo.minibatches=40", "ppo: 16 rollouts cannot be cut into 40 minibatches"),
        ("ppo.sampling.temperature=0", "ppo: at sampling.temperature 0"),
        ("ppo.sampling.top_k=5", "ppo: policy gradients need samples of the policy itself"),
    ],
)
def test_settings_that_contradict_each_other(
    run_copy: Path, tiny_settings: list[str], setting: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        redone(run_copy, tiny_settings, setting)


def test_a_given_model_is_found_from_elsewhere(
    finished_run: Path,
    tmp_path: Path,
    tiny_settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, run = finished_run / "pretrain" / "policy", tmp_path / "own"
    monkeypatch.chdir(model.parent)
    redone(run, tiny_settings, "model=policy", only="pretrain")
    summary = read(run / "pretrain" / "done.json")["summary"]
    assert (summary["source"], summary["directory"]) == ("policy", str(model.resolve()))
    monkeypatch.chdir(tmp_path)
    found = find(run, "pretrain")
    assert (found.source, found.begins) == (str(model.resolve()),) * 2


def test_a_given_model_is_not_pretrained(
    finished_run: Path, tmp_path: Path, tiny_settings: list[str]
) -> None:
    model = finished_run / "pretrain" / "policy"
    run = tmp_path / "own"
    assert redone(run, tiny_settings, f"model={model}", only="sft") == STAGES[:3]
    assert read(run / "pretrain" / "done.json")["summary"] == {"source": str(model), "notes": []}
    assert not (run / "pretrain" / "policy").exists()
    assert rows(run, "sft") == rows(finished_run, "sft")  # the same base, the same steps


def test_a_model_that_is_not_there(tmp_path: Path, tiny_settings: list[str]) -> None:
    with pytest.raises(UserError, match="There is no model directory at"):
        redone(tmp_path / "run", tiny_settings, f"model={tmp_path / 'nowhere'}", only="sft")


def test_a_policy_with_nothing_to_compare(tmp_path: Path, tiny_settings: list[str]) -> None:
    settings = [*tiny_settings, "collect.sampling.max_new_tokens=1"]
    with pytest.raises(UserError, match=r"collect: the answers of .* gave 0 annotations"):
        redone(tmp_path / "run", settings, only="collect")
