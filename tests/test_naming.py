"""Who is meant by a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_run import RECIPE, toy_run

from heed.config import load_recipe
from heed.errors import UserError
from heed.naming import REMOTE, Who, last_policy, load, policies_of, who
from heed.recipe import Sampling
from heed.run import Run
from heed.sampling.streaming import stream
from heed.types import Message, Prompt


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "mine"
    for stage in ("base", "sft"):
        (run / stage / "policy").mkdir(parents=True)
    (run / "collect").mkdir()
    marker = {"kind": "collect", "summary": {"source": "simulated"}}
    (run / "collect" / "done.json").write_text(json.dumps(marker))
    (run / "recipe.yaml").write_text(RECIPE)
    return run


def test_a_policy_of_a_run_in_every_form(run: Path) -> None:
    policy = str(run / "sft" / "policy")
    assert who(f"{run}:sft") == Who(f"{run}:sft", "sft", policy, run, "sft")
    assert who(policy) == Who(policy, "sft", policy, run, "sft")
    assert who(str(run)) == Who(str(run), "sft", policy, run, "sft")


def test_the_last_policy_is_the_last_that_is_evaluated(run: Path) -> None:
    assert policies_of(run) == ["base", "sft"]  # "source" of other stages is no model
    (run / "recipe.yaml").write_text(RECIPE.replace("sft: sft}", "sft: sft, again: base}"))
    assert last_policy(run) == "base"
    (run / "recipe.yaml").write_text("name: toy\nstages:\n  - records\n  - pretrain: {name: base}\n"
                                     "  - sft: {policy: base}\n")  # fmt: skip
    assert last_policy(run) == "sft"


def test_a_base_that_is_used_as_it_is(run: Path) -> None:
    (run / "base" / "policy").rmdir()
    marker = {"kind": "pretrain", "summary": {"source": "/models/small"}}
    (run / "base" / "done.json").write_text(json.dumps(marker))
    assert who(f"{run}:base").source == "/models/small"
    assert policies_of(run) == ["base", "sft"]


def test_a_base_that_was_named_from_another_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "base" / "policy").rmdir()
    made, elsewhere = tmp_path / "made", tmp_path / "elsewhere"
    summary = {"source": "small", "directory": str(made / "small")}
    marker = {"kind": "pretrain", "summary": summary}
    (run / "base" / "done.json").write_text(json.dumps(marker))
    (elsewhere / "small").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert who(f"{run}:base").source == "small"  # all was moved
    (made / "small").mkdir(parents=True)
    assert who(f"{run}:base").source == str(made / "small")
    (made / "small").rmdir()
    (elsewhere / "small").rmdir()
    assert who(f"{run}:base").source == str(made / "small")  # no name on the hub


def test_models_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    assert who(str(tmp_path / "small")).name == "small"
    assert who("org/model") == Who("org/model", "model", "org/model")
    served = who("http://127.0.0.1:8000/v1#llama")
    assert (served.name, served.remote) == ("llama", True)
    assert served.source.startswith(REMOTE)


def test_nobody(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = {
        f"{run}:dpo": r"has no policy 'dpo'\. It has: base, sft\.",
        "runs/none": r"no run and no model at runs/none\.",
        "./mime": r"no run and no model at \./mime\. In \. there are: mine\.",
        "mime:sft": r"There is no run at mime",
        "": r"Nobody is named",
        "a b": r"no run and no model at a b",
    }
    for word, message in said.items():
        with pytest.raises(UserError, match=message):
            who(word)
    (tmp_path / "several" / "seed-0").mkdir(parents=True)
    (tmp_path / "several" / "seed-0" / "recipe.yaml").write_text("name: x")
    with pytest.raises(UserError, match="several seeds"):
        who("several")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "recipe.yaml").write_text("name: x")
    with pytest.raises(UserError, match="no policy yet"):
        who("new")


def test_a_stage_that_answers_by_anothers_policy(tmp_path: Path, toy_lm: Any) -> None:
    run = toy_run(tmp_path / "run", toy_lm)
    recipe = run / "recipe.yaml"
    recipe.write_text(f"{recipe.read_text()}  - system_prompt: {{policy: sft, text: red}}\n")
    named = who(f"{run}:system_prompt")
    assert (named.source, named.stage) == ("", "system_prompt")
    with pytest.raises(UserError, match="is not finished under its present settings"):
        load(named)
    key = Run(load_recipe(str(recipe)), run).stage("system_prompt").key
    (run / "system_prompt").mkdir()
    marker = {"key": key, "kind": "system_prompt", "summary": {}}
    (run / "system_prompt" / "done.json").write_text(json.dumps(marker))
    prompt = Prompt.of("good ?")
    asked = Prompt("asked", (Message("system", "red"), *prompt.messages))
    settings = Sampling(max_new_tokens=6)
    (own,) = load(named, device="cpu").ask(settings).sample([prompt], seed=3)
    (plain,) = load(who(f"{run}:sft"), device="cpu").ask(settings).sample([asked], seed=3)
    assert (own.text, own.ids) == (plain.text, plain.ids)
    assert own.prompt == prompt
    sampler = load(named, device="cpu").ask(settings)
    assert "".join(stream(sampler, prompt, seed=3)) == own.text
