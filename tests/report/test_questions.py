"""The page around the reader's questions: a full run, one that was cut short, two evaluations."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from report.conftest import estimate, gap, measures, write
from report.test_page import Page, change, report

from heed.report.evidence import by_family
from heed.report.page import parts_of
from heed.report.paper import unbroken
from heed.report.part import QUESTIONS
from heed.report.parts import PARTS
from heed.report.read import read_run

EVIL = '<script>alert(1)</script>" onload="x'


class Headings(Page):
    """The headings of a page: (level, text)."""

    def __init__(self, text: str) -> None:
        self.headings: list[tuple[int, str]] = []
        super().__init__(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if self.headings and self.open and {"h1", "h2", "h3", "h4"} & set(self.open[-2:]):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)


def headings(directory: Path) -> list[tuple[int, str]]:
    report(directory)
    return Headings((directory / "report.html").read_text()).headings


def test_the_questions_are_the_headings_in_their_order(run_directory: Path) -> None:
    found = headings(run_directory)
    (title,) = [text for level, text in found if level == 1]
    assert title == "demo"
    asked = [text for level, text in found if level == 2]
    assert [text.rsplit("? ", 1)[0] + "?" for text in asked[:-1]] == list(QUESTIONS.values())
    assert asked[-1] == "Appendix"
    levels = [level for level, _ in found]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_part_stands_under_its_question(run_directory: Path) -> None:
    found = headings(run_directory)
    under: dict[str, list[str]] = {}
    for level, text in found:
        if level == 2:
            under[text.split("? ")[0].rstrip("?") + "?"] = own = []
        elif level == 3:
            own.append(text)
    questions = {**QUESTIONS, "appendix": "Appendix?"}
    parts = parts_of(run_directory, read_run(run_directory))
    assert {part.name for part in parts} >= {
        "gained", "writes_and_picks", "by_family", "paid", "exposures", "accuracy", "proxy_gold",
        "gain_by_own_reward", "samples", "done", "training", "settings",
    }  # fmt: skip
    for key, question in questions.items():
        assert under[question] == [part.title for part in parts if part.question == key]


def test_the_answers_of_a_full_run(run_directory: Path) -> None:
    page, found = report(run_directory)
    words = {key: answer["word"] for key, answer in found["answers"].items()}
    assert words == {
        "better": "Yes",
        "whom": "Not for all",
        "cost": "Some",
        "trust": "Partly",
        "next": f"{len(found['advice'])} steps",
    }
    for answer in found["answers"].values():
        assert all(says in page.text for says in answer["sentences"])
    assert all(says in page.text for says in found["advice"])
    assert any("ppo_leash_off.kl.coef (now 0.0)" in says for says in found["advice"])


def test_a_run_cut_short_says_what_is_unknown(run_directory: Path) -> None:
    for name in ("evaluate", "dpo", "ppo", "ppo_leash_off", "reward"):
        shutil.rmtree(run_directory / name)
    (run_directory / "metrics.jsonl").unlink()
    page, found = report(run_directory)
    words = {key: answer["word"] for key, answer in found["answers"].items()}
    assert words == dict.fromkeys(("better", "whom", "cost", "trust"), "Unknown") | {
        "next": "1 step"
    }
    assert found["advice"] == [
        "Run it to its end: heed run goes on with reward, ppo, ppo_leash_off and 2 more and keeps "
        "what is done."
    ]
    assert page.open == []
    for question in QUESTIONS.values():
        assert question in page.text
    assert "Nothing was measured by family of prompts." in page.text


def test_answers_and_advice_are_escaped(run_directory: Path) -> None:
    path = run_directory / "evaluate" / "measures.json"
    found = json.loads(path.read_text())
    for table in ("policies", "families", "own_reward", "picking", "hallucination"):
        found[table] = {EVIL if name == "ppo" else name: v for name, v in found[table].items()}
    for each in found["gaps"]:
        each["better"] = EVIL if each["better"] == "ppo" else each["better"]
    found["families"][EVIL][EVIL] = found["families"]["sft"][EVIL] = {"gold": estimate(9.0, 0.1)}
    change(path, **found)
    row = {"gate": EVIL, "tripped": True, "says": EVIL, "step": 3}
    (run_directory / "ppo" / "gates.jsonl").write_text(json.dumps(row) + "\n")
    page, left = report(run_directory)
    assert EVIL in str(left["answers"]["better"]["sentences"]).replace("\\'", "'")
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count("<script>") >= 10


def test_two_evaluations_of_one_policy_stand_side_by_side(run_directory: Path) -> None:
    recipe = yaml.safe_load((run_directory / "recipe.yaml").read_text())
    recipe["stages"].insert(-1, {"evaluate": {"name": "again"}})
    (run_directory / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    second = measures()
    second["policies"] = {"sft": {"gold": estimate(0.2, 0.1)}, "later": {"gold": estimate(2, 0.1)}}
    second["gaps"] = [{**gap("ppo", "sft"), "better": "later"}]
    for name, said, other in (("evaluate", measures(), "ppo"), ("again", second, "later")):
        lengths = {policy: {"length": estimate(9, 1)} for policy in ("sft", other)}
        costs = {"before": "sft", "policies": lengths, "changes": {other: lengths[other]}}
        write(run_directory / name / "measures.json", said)
        write(run_directory / name / "done.json", {"key": "k", "kind": "evaluate", "summary": {}})
        write(run_directory / name / "costs.json", costs)
    page, found = report(run_directory)
    assert list(found["policies"]) == ["base", "sft", "dpo", "ppo", "sft (again)", "later"]
    assert found["policies"]["sft"]["gold"]["mean"] == 0.70
    assert found["policies"]["sft (again)"]["gold"]["mean"] == 0.2
    assert found["gaps"][-1]["worse"] == "sft (again)"
    assert list(found["costs"]["policies"]) == ["sft", "ppo", "sft (again)", "later"]
    assert "SFT (again)" in page.text
    assert "later by 1.15 [1.06, 1.24]" in found["answers"]["better"]["sentences"][0]


def test_families_are_paired_by_what_evaluate_left_of_prompts(run_directory: Path) -> None:
    prompts = {f"p{number}": "facts" for number in range(9)}
    means = {
        policy: {"gold": {at: level + number for number, at in enumerate(prompts)}}
        for policy, level in (("sft", 0.0), ("dpo", 0.5), ("ppo", 0.25))
    }
    means["ppo"]["gold"]["p0"] = None  # type: ignore[assignment]
    left = {"families": prompts, "policies": means}
    write(run_directory / "evaluate" / "by_prompt.json", left)
    page, found = report(run_directory)
    assert "made of those of both sides" not in page.text
    assert any("PPO gained on" in says for says in found["answers"]["whom"]["sentences"])
    view = read_run(run_directory)
    assert len(view.means["ppo"]["gold"]) == 8
    apart = by_family(view)
    assert (apart["ppo"]["facts"].mean, apart["ppo"]["facts"].n) == (0.25, 8)
    assert apart["dpo"]["verse"].n == 344  # nothing to pair it by


def test_the_contents_lead_to_every_part(run_directory: Path) -> None:
    page, _ = report(run_directory)
    parts = parts_of(run_directory, read_run(run_directory))
    wanted = [f"#{part.name}" for part in parts] + [f"#q-{key}" for key in QUESTIONS]
    assert set(wanted) <= set(page.links)
    assert len(PARTS) == len(set(PARTS))


@pytest.mark.parametrize("text", ['{"votes": 3}', '{"votes": 3, "habits": [], "annotators": 1}'])
def test_a_part_that_understands_nothing_costs_no_other(run_directory: Path, text: str) -> None:
    (run_directory / "evaluate" / "values.json").write_text(text)
    page, found = report(run_directory)
    (note,) = [each for each in found["notes"] if "'values'" in each]
    assert "not as this version of Heed writes it" in note
    assert note in page.text
    assert "Proxy against gold" in page.text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("by 0.47 [0.36, 0.58].", "by 0.47~[0.36,~0.58]."),
        ("is −8.8% [−14.9, −2.6] and", "is −8.8%~[−14.9,~−2.6] and"),
        ("1,234 [1,200, 1,300]", "1,234~[1,200,~1,300]"),
        ("[a, b] and [1, x]", "[a, b] and [1, x]"),
    ],
)
def test_intervals_stay_on_one_line(text: str, wanted: str) -> None:
    assert unbroken(text) == wanted.replace("~", "\u00a0")


def test_parts_bring_findings_to_the_head_of_their_question(run_directory: Path) -> None:
    row: dict[str, Any] = {"gate": "kl", "tripped": True, "says": "KL of 12 nats.", "step": 3}
    (run_directory / "ppo" / "gates.jsonl").write_text(json.dumps(row) + "\n")
    page, _ = report(run_directory)
    finding = "PPO, gate kl at iteration 3: KL of 12 nats."
    trust = page.text.rindex("Can the reward be trusted?")
    assert trust < page.text.index(finding) < page.text.index("It orders 74.2%", trust)
