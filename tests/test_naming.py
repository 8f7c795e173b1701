"""Who is meant by a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_run import RECIPE

from heed.errors import UserError
from heed.naming import REMOTE, Who, last_policy, policies_of, who


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
