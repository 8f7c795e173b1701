"""`import heed`: light, typed, and the ten lines of docs/python.md as they stand there."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docs.blocks import ROOT, blocks
from own_model import pairs, save_model, write_rows
from toy_run import toy_run

import heed
from heed.files import write_records
from heed.types import Comparison, Message, Prompt

PAGE = ROOT / "docs" / "python.md"


def python_blocks() -> list[str]:
    return [block.text for block in blocks(PAGE) if block.language == "python"]


def test_importing_loads_nothing_and_takes_no_time() -> None:
    program = (
        "import sys, time; began = time.perf_counter(); import heed; "
        "took = time.perf_counter() - began; heed.open_run, heed.prepare, heed.UserError; "
        "print(took, 'torch' in sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    took, torch = zip(*(run.stdout.split() for run in runs), strict=True)
    assert set(torch) == {"False"}
    assert min(map(float, took)) < 0.15


def test_every_name_is_there_and_no_other() -> None:
    for name in heed.__all__:
        assert getattr(heed, name) is not None
    assert set(heed.__all__) <= set(dir(heed))
    with pytest.raises(AttributeError, match="no attribute 'sampel'"):
        heed.sampel  # type: ignore[attr-defined]  # noqa: B018


def test_the_page_uses_what_there_is() -> None:
    for text in python_blocks():
        used = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name) and node.value.id == "heed"}  # fmt: skip
        assert used
        assert used <= set(heed.__all__)
    assert sum(bool(line.strip()) for line in python_blocks()[0].splitlines()) <= 11


@pytest.mark.slow
def test_the_pages_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "my-model")
    write_rows(tmp_path / "prefs.jsonl", pairs()[:24])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for text in python_blocks():
            exec(compile(text, str(PAGE), "exec"), {})
    assert "method dpo" in said.getvalue().lower()
    assert "['base', 'dpo', 'sft']" in said.getvalue()
    assert (tmp_path / "runs" / "mine" / "report.html").exists()


@pytest.fixture
def run(tmp_path: Path, toy_lm: Any) -> heed.OpenRun:
    return heed.open_run(toy_run(tmp_path / "run", toy_lm))


def test_a_run_is_asked_and_scored(run: heed.OpenRun) -> None:
    assert (run.policies, run.rewards) == (["base", "sft"], ["reward"])
    policy = run.policy()
    assert policy.name == "sft"
    prompts = ["good ?", [{"role": "system", "content": "one"}, {"role": "user", "content": "?"}],
               Prompt("p", (Message("user", "red ?"),))]  # fmt: skip
    answers = policy.sample(prompts, n=2, seed=4, max_new_tokens=6)
    assert [each.prompt.text for each in answers] == ["good ?"] * 2 + ["?"] * 2 + ["red ?"] * 2
    assert answers[2].prompt.messages[0].role == "system"
    alone = policy.sample(prompts[1], seed=1, max_new_tokens=6)
    stream = policy.stream(prompts[1], seed=1, max_new_tokens=6)
    assert "".join(stream) == alone[0].text
    assert stream.completion == alone[0]
    same = heed.load_policy(f"{run.path}:sft").sample("good ?", n=2, seed=4, max_new_tokens=6)
    assert same == policy.sample("good ?", n=2, seed=4, max_new_tokens=6)
    assert [each.text for each in same] == [each.text for each in answers[:2]]
    reward = run.reward()
    texts = [each.text for each in answers]
    assert reward.score("good ?", texts[:2]) == pytest.approx(reward(answers[:2]), abs=1e-6)
    assert reward.score(prompts, texts[::2]) == pytest.approx(reward(answers[::2]), abs=1e-6)
    assert reward.score([], []) == policy.sample([]) == []


def test_figures_and_preferences(run: heed.OpenRun) -> None:
    assert run.preferences == []
    rows = [Comparison(Prompt.of("good ?"), "yes", "no")]
    (run.path / "collect").mkdir()
    write_records(run.path / "collect" / "comparisons.jsonl", rows)
    assert run.preferences == rows
    assert run.figures()["name"] == "toy"
    (run.path / "report.json").write_text(json.dumps({"name": "kept"}))
    assert run.figures() == {"name": "kept"}


def test_mistakes_are_paragraphs(run: heed.OpenRun, tmp_path: Path) -> None:
    policy = run.policy("base")
    for wrong, message in (
        (lambda: heed.open_run(tmp_path), "holds no recipe.yaml"),
        (lambda: run.policy("dpo"), "has no policy 'dpo'. It has: base, sft"),
        (lambda: run.reward("sft"), "has no reward 'sft'. It has: reward"),
        (lambda: heed.load_policy(tmp_path / "none"), "no run and no model"),
        (lambda: heed.run_recipe("quikstart", tmp_path / "x"), "No recipe is named"),
        (lambda: heed.run_recipe("quickstart", tmp_path / "x", overrides=["seeds=2"]), "2 seeds"),
        (lambda: heed.run_recipe(run.recipe, tmp_path / "x", overrides=["seed=2"]), "made already"),
        (lambda: heed.prepare(tmp_path / "none", "prefs.jsonl"), "no run and no model"),
        (lambda: heed.prepare("http://127.0.0.1:1/v1#x", "prefs.jsonl"), "no weights here"),
        (lambda: policy.sample("good ?", top_p=0.0), "top_p 0.0"),
        (lambda: policy.sample("yes " * 80), "context"),
        (lambda: policy.sample([[{"role": "cat", "content": "x"}]]), "cannot be read"),
        (lambda: run.reward().score(["a", "b"], ["c"]), "2 prompts, but 1 answers"),
    ):
        with pytest.raises(heed.UserError) as caught:
            wrong()
        assert message in str(caught.value)
