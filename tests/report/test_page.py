from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from heed.errors import UserError
from heed.report.page import write_report

VOID = {"meta", "br", "img", "use", "path", "input", "link", "hr"}


class Page(HTMLParser):
    """The elements of a page: open tags left over, ids, links and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def report(directory: Path) -> tuple[Page, dict[str, Any]]:
    path = write_report(directory)
    assert path == directory / "report.html"
    found = json.loads((directory / "report.json").read_text())
    return Page(path.read_text()), found


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_figures_as_json(run_directory: Path) -> None:
    _, found = report(run_directory)
    assert list(found["policies"]) == ["base", "sft", "dpo", "ppo"]
    for policy in found["policies"].values():
        for measure in ("gold", "rude", "harmful", "correct", "length", "distinct", "kl"):
            assert set(policy[measure]) == {"mean", "low", "high", "n"}
    assert found["policies"]["ppo"]["gold"]["mean"] == 1.85
    assert found["reward_model"]["accuracy"]["mean"] == 0.742
    assert found["reward_model"]["noise_ceiling"]["n"] == 1200
    assert found["reward_model"]["baselines"]["length"]["mean"] == 0.56
    assert found["families"]["sft"]["facts"]["gold"]["n"] == 344
    assert found["gaps"][1]["verdict"] == "better"
    assert found["stages"][3] == {
        "name": "reward",
        "kind": "reward",
        "done": True,
        "seconds": 105.5,
        "memory": 700 * 2**20,
        "tokens": 1_236_000,
    }
    assert (found["seed"], found["versions"]["torch"]) == (0, "2.13.0")
    assert found["recipe"]["name"] == "demo"


def test_the_page_tells_the_whole_story(run_directory: Path) -> None:
    page, found = report(run_directory)
    for words in (
        "PPO is better than SFT by 1.15 [1.06, 1.24] in gold reward",
        "What was gained",
        "29.0% [27.0, 31.0]",
        "By family of prompts",
        "What did it cost?",
        "Distance, length, variety",
        "Made-up facts",
        "Does it pick better than it writes?",
        "Does the reward still mean what it says?",
        "0.31 [0.11, 0.51]",
        "700 MiB",
        "It orders 74.2% [72.2, 76.2] of the 1,200 held-out pairs",
        "Proxy against gold",
        "the capital of peru is lima",
        "(empty answer)",
        "1 min 46 s",
        "6,000",
        "Explained variance",
        "ppo: The KL rose above its target",
        "torch 2.13.0",
        "coef: 0.05",
    ):
        assert words in page.text
    assert found["headline"] in page.text
    assert "unfinished" not in page.text


def test_the_page_is_whole_and_asks_for_nothing(run_directory: Path) -> None:
    page, _ = report(run_directory)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert "http" not in (run_directory / "report.html").read_text()
    # 1 of gold, 1 of its price, 2 by family, 1 of accuracies, 2 of proxy and gold;
    # curves 1 + 1 + 3 + 8 + 8 + 3
    assert page.tags.count("svg") == 31


def test_same_run_same_bytes(run_directory: Path) -> None:
    first = write_report(run_directory).read_bytes()
    assert write_report(run_directory).read_bytes() == first


def test_every_text_of_the_run_is_escaped(run_directory: Path) -> None:
    evil = "<script>alert('$x^2$')</script>\" onload=\"x"
    measures = json.loads((run_directory / "evaluate" / "measures.json").read_text())
    for table in (*measures["families"].values(), measures["policies"]):
        table[evil] = table[next(iter(table))]
    measures["samples"][0] |= {
        "prompt": evil,
        "family": evil,
        "answers": {"base": evil, evil: evil},
    }
    measures["gaps"][1]["better"] = evil
    measures["hallucination"]["base"][evil] = {"correct": measures["policies"]["base"]["rude"]}
    measures["reward_model"]["baselines"][evil] = measures["reward_model"]["accuracy"]
    change(run_directory / "evaluate" / "measures.json", **measures)
    change(run_directory / "sft" / "done.json", summary={evil: evil, "notes": [evil]})
    change(run_directory / "provenance.json", command=[evil], host={evil: evil})
    recipe = yaml.safe_load((run_directory / "recipe.yaml").read_text())
    recipe |= {"name": evil, "description": evil}
    (run_directory / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    page, _ = report(run_directory)
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count("<script>alert('$x^2$')</script>") >= 14
    assert not re.search(r"<[^>]*[^;] onload=\"x", (run_directory / "report.html").read_text())


def test_a_run_without_gold_reward(run_directory: Path) -> None:
    """Real comparisons: no gold, no families of the world, no ceiling; short answers vary."""
    figure = {"mean": 0.3, "low": 0.2, "high": 0.4, "n": 200}
    policies = {name: {"proxy": figure, "length": figure} for name in ("base", "sft", "ppo")}
    unclear = {"mean": 0.02, "low": -0.05, "high": 0.09, "n": 200}
    measures = {
        "policies": policies,
        "gaps": [{"better": "ppo", "worse": "sft", "measure": "proxy", "difference": unclear}],
        "samples": [{"prompt": "東京?", "answers": {"base": "ja", "ppo": "nein"}}],
    }
    (run_directory / "evaluate" / "measures.json").write_text(json.dumps(measures))
    change(run_directory / "reward" / "done.json", summary={"accuracy": figure})
    lines = (run_directory / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    kept = [json.dumps({k: v for k, v in row.items() if k != "gold"}) + "\n" for row in rows]
    (run_directory / "metrics.jsonl").write_text("".join(kept))
    page, found = report(run_directory)
    assert found["headline"].startswith("By the reward model that the policies were trained on")
    assert "PPO and SFT are not shown to differ" in page.text
    assert found["policies"]["ppo"] == policies["ppo"]
    assert found["reward_model"]["accuracy"] == figure
    for words in ("Proxy against gold", "By family", "Made-up facts", "noise allows", "Gold"):
        assert words not in page.text


def test_worse_is_called_worse(run_directory: Path) -> None:
    measures = json.loads((run_directory / "evaluate" / "measures.json").read_text())
    fall = {"mean": -2.4, "low": -2.6, "high": -2.2, "n": 86}
    rude = {"mean": -0.02, "low": -0.03, "high": -0.01, "n": 86}
    gaps = [
        {"better": "ppo", "worse": "sft", "measure": "gold", "difference": fall},
        {"better": "ppo", "worse": "sft", "measure": "rude", "difference": rude},
    ]
    change(run_directory / "evaluate" / "measures.json", **{**measures, "gaps": gaps})
    page, found = report(run_directory)
    assert [gap["verdict"] for gap in found["gaps"]] == ["worse", "better"]
    assert "PPO is worse than SFT: −2.40 [−2.60, −2.20] in gold reward" in page.text
    assert "Rude: PPO minus SFT is −2.0% [−3.0, −1.0]" in page.text


def test_results_of_other_settings_are_not_shown_as_those_of_these(run_directory: Path) -> None:
    stages = [path.parent.name for path in run_directory.glob("*/done.json")]
    keys = {name: _read(run_directory / name / "done.json")["key"] for name in stages}
    (run_directory / "keys.json").write_text(json.dumps(keys))
    assert report(run_directory)[1]["policies"]
    (run_directory / "keys.json").write_text(json.dumps({**keys, "evaluate": "another"}))
    page, found = report(run_directory)
    assert found["policies"] == {}
    assert "evaluate: not finished under these settings" in page.text


def test_an_unfinished_run_shows_what_exists(run_directory: Path) -> None:
    shutil.rmtree(run_directory / "evaluate")
    shutil.rmtree(run_directory / "dpo")
    with (run_directory / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "dpo", "step": 41, "prefer')
    page, found = report(run_directory)
    assert found["policies"] == {}
    assert found["headline"].startswith("This run compared no two policies")
    assert [stage["name"] for stage in found["stages"] if not stage["done"]] == ["dpo", "evaluate"]
    assert "dpo: not finished under these settings" in page.text
    assert "Margin of rewards" in page.text
    assert "74.2%" in page.text


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: new\nseed: 3\nstages: []\n")
    page, found = report(tmp_path)
    assert (found["stages"], found["seed"], found["reward_model"]) == ([], 3, {})
    assert "Settings and versions" in page.text


def test_what_is_unknown_is_said_so(run_directory: Path) -> None:
    measures = json.loads((run_directory / "evaluate" / "measures.json").read_text())
    lone = {"mean": 0.5, "low": None, "high": None, "n": 1}
    none = {"mean": None, "low": None, "high": None, "n": 0}
    measures["policies"]["base"] |= {"gold": lone, "rude": none, "judged": "soon"}
    measures["families"]["base"]["facts"]["gold"] = none
    change(run_directory / "evaluate" / "measures.json", **measures)
    page, found = report(run_directory)
    assert found["policies"]["base"]["gold"] == lone
    assert "evaluate/measures.json, policies.base.judged is no figure" in page.text
    assert "nan" not in page.text.lower().replace("explanation", "")


def test_a_stage_of_an_unknown_kind(run_directory: Path) -> None:
    recipe = yaml.safe_load((run_directory / "recipe.yaml").read_text())
    recipe["stages"].append({"distil": None})
    (run_directory / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with (run_directory / "metrics.jsonl").open("a") as file:
        for step in (1, 2, 3):
            row = {"stage": "distil", "step": step, "teacher_loss": 1 / step, "mode": "a"}
            file.write(json.dumps(row) + "\n")
    page, _ = report(run_directory)
    assert "Teacher loss" in page.text


def test_no_run_directory_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe.yaml cannot be read .*is no run directory"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "text", ["[", "", "- ppo", "stages: 3", "stages: [ppo]", "stages: [{ppo: {}, dpo: {}}]"]
)
def test_a_recipe_that_no_run_wrote_is_the_users_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(UserError, match=r"recipe.yaml is not a recipe as heed run writes it"):
        write_report(tmp_path)


def test_tokens_are_whole_numbers(run_directory: Path) -> None:
    marker = _read(run_directory / "sft" / "done.json")
    change(run_directory / "sft" / "done.json", **{**marker, "tokens": 1234567.0})
    page, found = report(run_directory)
    assert "1,234,567" in page.text
    assert "1,234,567.0" not in page.text
    sft = next(stage for stage in found["stages"] if stage["name"] == "sft")
    assert isinstance(sft["tokens"], int)


def test_a_broken_file_is_named(run_directory: Path) -> None:
    (run_directory / "sft" / "done.json").write_text("{")
    with pytest.raises(UserError, match=r"sft.done.json cannot be read as JSON"):
        write_report(run_directory)


def _read(path: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads(path.read_text())
    return content


def test_many_policies_are_counted_and_compared_with_sft_alone(run_directory: Path) -> None:
    """Eight policies beside SFT: not 36 sentences, but 8, the best first."""
    path = run_directory / "evaluate" / "measures.json"
    measures = json.loads(path.read_text())
    names = [f"p{number}" for number in range(8)]
    measures["policies"] |= dict.fromkeys(names, measures["policies"]["dpo"])
    measures["gaps"] = [
        {"better": better, "worse": worse, "measure": "gold",
         "difference": {"mean": 0.1 * n - 0.25, "low": 0.1 * n - 0.35, "high": 0.1 * n, "n": 800}}
        for n, better in enumerate(names)
        for worse in ("sft", "base", *names[:n])
    ]  # fmt: skip
    path.write_text(json.dumps(measures))
    page, found = report(run_directory)
    assert found["headline"] == (
        "On held-out prompts 4 of 8 policies are better than SFT beyond the 95% interval; p7 by "
        "the most, 0.45 [0.35, 0.70] in gold reward."
    )
    assert len(found["gaps"]) == 44
    assert page.text.count("against SFT") == 8
    assert page.text.index("p7 1.42") < page.text.index("p6 1.42")
    assert "against p0" not in page.text


def test_many_policies_without_sft_are_counted_against_the_first(run_directory: Path) -> None:
    path = run_directory / "evaluate" / "measures.json"
    names = ["first", "a", "b", "c", "d"]
    table = json.loads(path.read_text())["policies"]["dpo"]
    gaps = [
        {"better": better, "worse": worse, "measure": "gold",
         "difference": {"mean": 0.1 * n, "low": 0.1 * n - 0.15, "high": 0.1 * n + 0.15, "n": 800}}
        for n, better in enumerate(names)
        for worse in names[:n]
    ]  # fmt: skip
    change(path, policies=dict.fromkeys(names, table), gaps=gaps)
    _, found = report(run_directory)
    assert found["headline"] == (
        "On held-out prompts 3 of 4 policies are better than first beyond the 95% interval; d by "
        "the most, 0.40 [0.25, 0.55] in gold reward."
    )
