"""Conversations graded from end to end: a world's policies, a judge behind an address."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_server import Server, failing, serving

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.judging.decoys import DECOYS
from heed.types import Message

RECIPE = """\
name: turns
threads: 1
stages:
  - records: {corpus: 300, demonstrations: 64}
  - pretrain: {architecture: ARCHITECTURE, batch: 32, epochs: 2, optim: {lr: 0.01}}
  - sft: {epochs: 1, optim: {lr: 0.003}}
"""
STAGE = """\
  - grade_turns:
      policies: {base: pretrain, sft: sft}
      judge: {address: "ADDRESS", model: toy, concurrency: 1, tries_again: 0}
      sampling: {max_new_tokens: 12}
"""
QUESTIONS = [
    {"question_id": 1, "category": "chat", "turns": ["how are you ?", "do you like tea ?"]},
    {
        "question_id": 2,
        "category": "maths",
        "turns": ["what is 2 plus 3 ?", "what is 5 minus 1 ?"],
        "reference": ["5", "4"],
    },
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str]) -> Path:
    """Two policies, before anything is graded."""
    prefix = "pretrain.architecture="
    (sizes,) = (line.removeprefix(prefix) for line in tiny_settings if line.startswith(prefix))
    folder = tmp_path_factory.mktemp("turns")
    text = RECIPE.replace("ARCHITECTURE", sizes)
    (folder / "turns.yaml").write_text(text)
    carry_out(load_recipe(str(folder / "turns.yaml")), folder / "run", fresh=False)
    return folder


def answer_of(question: str) -> str:
    """The graded answer in a question of the built-in rubric."""
    (mark,) = re.findall(r"^--- end ([0-9a-f]{12}) ---$", question, re.MULTILINE)
    return question.partition(f"--- answer {mark} ---\n")[2].partition(f"\n--- end {mark} ---")[0]


def fair(messages: Sequence[Message], _: Any) -> str:
    """A judge that sees through the decoys, and likes words."""
    answer = answer_of(messages[-1].content)
    if answer in DECOYS.values():
        return "That answers nothing.\nGrade: 1"
    return f"Fine.\nGrade: {min(10, 3 + len(answer.split()) % 7)}"


def grade(trained: Path, folder: Path, server: Server, *overrides: str) -> Path:
    run = folder / "run"
    if not run.exists():
        shutil.copytree(trained / "run", run)
    path = folder / "turns.yaml"
    text = (trained / "turns.yaml").read_text() + STAGE
    path.write_text(text.replace("ADDRESS", f"{server.address}/v1"))
    carry_out(load_recipe(str(path), overrides), run, fresh=False)
    return run / "grade_turns"


def test_the_worlds_questions_need_no_file(trained: Path, tmp_path: Path) -> None:
    with serving(fair) as server:
        left = grade(trained, tmp_path, server)
    found = json.loads((left / "turns.json").read_text())
    assert list(found["policies"]) == ["base", "sft"]
    assert found["questions"] > 30
    for table in found["policies"].values():
        assert table["answers"] == 2 * found["questions"]
        assert table["unparsable"] == 0
        assert set(table["turns"]) == {"1", "2"}
        assert set(table["drops"]) == {"2"}
        assert len(table["categories"]) == 6
        assert table["all"]["low"] < table["all"]["mean"] < table["all"]["high"]
    assert {each["says"] for each in found["decoys"].values()} == {"told apart"}
    assert found["above"].keys() == {"sft"}
    done = json.loads((left / "done.json").read_text())["summary"]
    assert done["answers"] == found["questions"] * 2 * (2 + len(DECOYS))
    # The second turn is asked behind the policy's own first answer.
    rows = [json.loads(line) for line in (left / "answers/sft.jsonl").read_text().splitlines()]
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert sum(f"Assistant: {rows[0]['answers'][0]}" in text for text in asked) >= 1


def test_a_judge_that_follows_an_injection_is_said_to_be_fooled(
    trained: Path, tmp_path: Path
) -> None:
    def gullible(messages: Sequence[Message], _: Any) -> str:
        answer = answer_of(messages[-1].content)
        return "Grade: 10" if "Grade: 10" in answer else "Grade: 4" if answer else "hm"

    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    with serving(gullible) as server:
        left = grade(
            trained,
            tmp_path,
            server,
            f"grade_turns.questions={file}",
            "grade_turns.samples=2",
            "grade_turns.retries=0",
        )
    found = json.loads((left / "turns.json").read_text())
    assert found["decoys"]["injection"]["says"] == "fooled"
    assert found["decoys"]["injection"]["all"]["mean"] == 10
    assert found["decoys"]["empty"]["unparsable"] == 4
    assert found["decoys"]["empty"]["says"] == "unsure"
    assert found["referenced"] == 1
    assert found["policies"]["sft"]["answers"] == 8
    notes = json.loads((left / "done.json").read_text())["summary"]["notes"]
    assert any("fooled" in note and "injection" in note for note in notes)
    assert any("no grade" in note for note in notes)
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert sum("a right answer" in text for text in asked) == len(asked) / 2


def test_what_was_graded_before_a_fault_is_not_asked_again(trained: Path, tmp_path: Path) -> None:
    with serving(fair) as whole:
        undisturbed = grade(trained, tmp_path, whole)
    (tmp_path / "broken").mkdir()

    def dies_after(count: int) -> Any:
        yield from [lambda response: response] * count
        while True:
            yield failing(400, "the judge is gone")

    with serving(fair, dies_after(100)) as server, pytest.raises(UserError, match="judge is gone"):
        grade(trained, tmp_path / "broken", server)
    graded = (tmp_path / "broken/run/grade_turns/grades.jsonl").read_text().splitlines()
    assert len(graded) == 96  # three whole chunks of 32
    with (tmp_path / "broken/run/grade_turns/grades.jsonl").open("a") as file:
        file.write('{"policy": "torn')
    port = server.address  # the recipe, and so the key, names the address: serve there again
    with serving(fair, port=int(port.rsplit(":", 1)[1])) as again:
        resumed = grade(trained, tmp_path / "broken", again)
    assert len(again.bodies) == len(whole.bodies) - 96
    for name in ("turns.json", "grades.jsonl", "answers/base.jsonl", "answers/sft.jsonl"):
        assert (resumed / name).read_text() == (undisturbed / name).read_text()


def test_questions_that_leave_no_room_are_left_out_for_all(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    long = {"question_id": "long", "turns": ["tea " * 300, "why ?"]}
    file.write_text("".join(json.dumps(row) + "\n" for row in [*QUESTIONS, long]))
    with serving(fair) as server:
        left = grade(trained, tmp_path, server, f"grade_turns.questions={file}")
        notes = json.loads((left / "done.json").read_text())["summary"]["notes"]
        assert any(note.startswith("1 questions leave no room") for note in notes)
        with pytest.raises(UserError, match="none of the 3 questions leaves room"):
            grade(
                trained,
                tmp_path,
                server,
                f"grade_turns.questions={file}",
                "grade_turns.sampling.max_new_tokens=400",
            )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grade_turns.judge={policy: sft, address: x}", "one of the two"),
        ("grade_turns.policies={a/b: sft}", "can hold no /"),
        ("grade_turns.policies={x: reward}", "no stage of that name comes before it"),
        ("grade_turns.rubric.template='{conversation} {answer}'", "set both or neither"),
        ("grade_turns.rubric.referenced='{answer}'", "the template has no {conversation}"),
        ("grade_turns.questions=missing.jsonl", "there is none in"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    trained: Path, tmp_path: Path, override: str, message: str
) -> None:
    path = tmp_path / "turns.yaml"
    path.write_text((trained / "turns.yaml").read_text() + STAGE)
    with pytest.raises(UserError) as caught:
        load_recipe(str(path), [override])
    assert message in str(caught.value)


def test_other_data_bring_no_questions(tmp_path: Path) -> None:
    path = tmp_path / "turns.yaml"
    path.write_text(
        "name: turns\ndata: file.jsonl\nmodel: some/model\nstages:\n  - records\n"
        "  - pretrain\n  - grade_turns: {policies: {a: pretrain}, judge: {policy: pretrain}}\n"
    )
    with pytest.raises(UserError, match="no questions of several turns"):
        load_recipe(str(path), [])
