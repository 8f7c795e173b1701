"""`heed align` and `heed init`, as somebody with a model and preferences uses them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from own_model import ANIMALS, PLACES, pairs, save_model, write_rows
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from heed.cli.choosing import wish_of
from heed.cli.main import app
from heed.config import load_recipe
from heed.files import write_json

runner = CliRunner()
FEW = ["--set", "threads=1", "--set", "device=cpu", "--set", "evaluate.seen=0",
       "--set", "reward.calibration=16"]  # fmt: skip


@pytest.fixture(scope="module")
def prefs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("prefs") / "mine.jsonl", pairs())


def words(method: str, *, stages: tuple[str, ...] = ("sft", "reward")) -> list[str]:
    """Options that keep a run short."""
    short = [f"{name}.epochs=1.0" for name in stages]
    short += [f"{name}.sampling.max_new_tokens=8" for name in ("reward", "evaluate")]
    if method in ("ppo", "rloo", "grpo"):
        short += [f"{method}.iterations=2", f"{method}.rollouts=8"]
        short += [f"{method}.sampling.max_new_tokens=8"]
    else:
        short += [f"{method}.epochs=1.0"]
    return [*FEW, *(word for setting in short for word in ("--set", setting))]


def test_one_command_leaves_weights_a_report_and_what_to_do_next(
    prefs: Path, tmp_path: Path
) -> None:
    model, out = save_model(tmp_path / "model"), tmp_path / "run"
    command = ["align", str(model), str(prefs), "--out", str(out), *words("dpo")]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    for told in ("64 comparisons", "method: dpo", "sft first: true", "free", "Better?",
                 f"heed chat {out}:dpo", f"heed export {out}:dpo"):  # fmt: skip
        assert told in done.output, told
    assert "gate leakage" not in done.output, "held-out answers are measured on, not imitated"
    AutoModelForCausalLM.from_pretrained(out / "dpo" / "policy")
    assert (out / "report.html").exists()
    page = (out / "align.yaml").read_text()
    assert "# Chosen by heed" in page
    assert load_recipe(str(out / "align.yaml")) == load_recipe(str(out / "recipe.yaml"))

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = runner.invoke(app, command)
    assert again.exit_code == 0
    assert "as before" in again.stderr
    assert "nothing to do" in again.stderr
    assert "Better?" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    other = runner.invoke(app, [*command, "--seed", "1", "--dry-run"])
    assert other.exit_code == 0
    assert "seed was 0 and is 1" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    (out / "align.yaml").write_text(page.replace("seed: 0", "seed: 3"))
    edited = runner.invoke(app, [*command, "--seed", "1"])
    assert edited.exit_code == 2
    assert "was edited" in edited.stderr

    (out / "align.json").unlink()
    unknown = runner.invoke(app, [*command, "--seed", "1"])
    assert unknown.exit_code == 2
    assert f"heed run {out / 'align.yaml'}" in unknown.stderr


def test_where_one_prompt_judges_no_interval_is_told(tmp_path: Path) -> None:
    model, out = save_model(tmp_path / "model"), tmp_path / "run"
    few = write_rows(tmp_path / "few.jsonl", pairs()[:5])
    done = runner.invoke(app, ["align", str(model), str(few), "--out", str(out), *words("dpo")])
    assert done.exit_code == 0, done.output
    assert "of 1 held-out prompts." in done.stdout
    assert "That model prefers what people preferred in" in done.stdout
    assert "nan" not in done.stdout
    assert "[nan" not in (out / "report.html").read_text()


def test_a_single_demonstration_is_too_little(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    one = write_rows(tmp_path / "one.jsonl", [{"prompt": "a", "completion": "b"}])
    done = runner.invoke(app, ["align", str(model), str(one), "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "1 usable demonstration is too little to train and to judge on" in done.stderr


def test_init_writes_a_recipe_that_loads_and_never_over_a_file(prefs: Path, tmp_path: Path) -> None:
    model, out = save_model(tmp_path / "model", template=True), tmp_path / "mine.yaml"
    shown = runner.invoke(app, ["init", str(model), str(prefs), "--method", "ppo", "--lora"])
    assert shown.exit_code == 0, shown.output
    kinds = [item if isinstance(item, str) else next(iter(item))
             for item in yaml.safe_load(shown.stdout)["stages"]]  # fmt: skip
    assert kinds == ["records", "pretrain", "reward", "ppo", "evaluate", "report"]

    written = runner.invoke(app, ["init", str(model), str(prefs), "--out", str(out)])
    assert written.exit_code == 0
    assert f"heed run {out}" in written.output
    recipe = load_recipe(str(out))
    assert recipe.name == "mine"
    assert recipe.stage("dpo").policy == "base"  # type: ignore[attr-defined]
    kept = out.read_bytes()
    refused = runner.invoke(app, ["init", str(model), str(prefs), "--out", str(out)])
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert out.read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--method", "sarsa"], "no method 'sarsa'"),
        (["--set", "dpo.betta=1"], "unknown key 'betta'"),
        (["--set", "nonsense"], "key.key=value"),
    ],
)
def test_a_mistake_is_one_paragraph_and_nothing_is_written(
    prefs: Path, tmp_path: Path, change: list[str], says: str
) -> None:
    model, out = save_model(tmp_path / "model"), tmp_path / "run"
    done = runner.invoke(app, ["align", str(model), str(prefs), "--out", str(out), *change])
    assert done.exit_code == 2
    assert says in done.output
    assert not out.exists()


def test_a_run_of_another_recipe_is_left_alone(prefs: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: other\n")
    done = runner.invoke(app, ["align", "model", str(prefs), "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "did not make" in done.output


def test_a_dry_run_of_a_recipe_that_is_there_says_what_it_costs(
    prefs: Path, tmp_path: Path
) -> None:
    model, out = save_model(tmp_path / "model"), tmp_path / "run"
    written = runner.invoke(app, ["init", str(model), str(prefs), "--out", str(out / "align.yaml")])
    assert written.exit_code == 0, written.output
    wish = wish_of(str(model), [str(prefs)], None, None, None, None, 0, False)
    mark = hashlib.sha256((out / "align.yaml").read_bytes()).hexdigest()
    write_json(out / "align.json", {"wish": asdict(wish), "written": mark})
    done = runner.invoke(app, ["align", str(model), str(prefs), "--out", str(out), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "as before" in done.stderr
    assert "Memory is the most that is held at once" in done.stdout
    assert {path.name for path in out.iterdir()} == {"align.yaml", "align.json"}


def test_several_processes_are_sent_to_init(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = runner.invoke(app, ["align", "model", "prefs.jsonl"])
    assert done.exit_code == 2
    assert "torchrun" in done.output


def test_a_model_without_a_tokenizer_is_refused(prefs: Path, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).unlink()
    done = runner.invoke(app, ["init", str(model), str(prefs)])
    assert done.exit_code == 2
    assert "tokenizer" in done.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "method", "adapter"),
    [
        ("llama", "ppo", "--lora"),
        ("llama", "kto", "--full"),
        ("gpt2", "dpo", "--lora"),
        ("gpt2", "ppo", "--full"),
        ("qwen2", "kto", "--lora"),
        ("qwen2", "dpo", "--full"),
    ],
)
def test_every_architecture_whole_or_by_adapter(
    kind: str, adapter: str, method: str, prefs: Path, tmp_path: Path
) -> None:
    model, out = save_model(tmp_path / "model", kind), tmp_path / "run"
    command = ["align", str(model), str(prefs), "--out", str(out), "--method", method, adapter]
    done = runner.invoke(app, [*command, *words(method)])
    assert done.exit_code == 0, done.output
    loaded = AutoModelForCausalLM.from_pretrained(out / method / "policy")
    assert loaded.config.model_type == kind
    assert (out / method / "policy" / "adapter").exists() == (adapter == "--lora")
    measured = json.loads((out / "evaluate" / "measures.json").read_text())["policies"]
    assert {"base", "sft", method} == set(measured)


def test_broken_rows_are_named_and_the_good_ones_kept(tmp_path: Path) -> None:
    model, out = save_model(tmp_path / "model"), tmp_path / "run"
    rows = [*pairs()[:20], {"chosen": 5, "rejected": "no text"}]
    prefs = write_rows(tmp_path / "some.jsonl", rows)
    command = [str(model), str(prefs), "--out", str(out)]
    done = runner.invoke(app, ["align", *command])
    assert done.exit_code == 2
    told = " ".join(done.stderr.split())
    assert f"{prefs}, line 21: the column 'chosen'" in told
    assert "--skip-broken" in told
    kept = (out / "records.aside" / "good" / "some.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == rows[:20]
    assert not (out / "align.yaml").exists()

    page = tmp_path / "mine.yaml"
    skipped = runner.invoke(app, ["init", *command[:2], "--out", str(page), "--skip-broken"])
    assert skipped.exit_code == 0, skipped.output
    assert load_recipe(str(page)).stage("records").broken == "skip"  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kto", "sft"])
def test_data_without_comparisons_train_and_nothing_pretends_to_judge(
    method: str, tmp_path: Path
) -> None:
    asked = [f"Does the {animal} live in the {place}?" for animal in ANIMALS for place in PLACES]
    rows: list[dict[str, object]] = (
        [{"prompt": each, "completion": "Yes, I think.", "label": at % 2 == 0}
         for at, each in enumerate(asked)]
        if method == "kto"
        else [{"prompt": each, "completion": "Yes, I think."} for each in asked]
    )  # fmt: skip
    prefs = write_rows(tmp_path / "own.jsonl", rows)
    model, out = save_model(tmp_path / "model"), tmp_path / "run"
    done = runner.invoke(app, ["align", str(model), str(prefs), "--out", str(out), *FEW[:6]])
    assert done.exit_code == 0, done.output
    assert "Nothing judged" in done.output
    AutoModelForCausalLM.from_pretrained(out / method / "policy")
    assert "Nothing judged the answers" in (out / "report.html").read_text()
