"""A judge that grades single answers."""

from __future__ import annotations

import pytest
from judging.scripted import Scripted

from heed.errors import UserError
from heed.judging.grading import Grader, GradingRubric
from heed.types import Completion, Message, Prompt


def answer(text: str) -> Completion:
    return Completion(Prompt.of("how are you ?", id="q"), text)


@pytest.mark.parametrize(
    ("reply", "want"),
    [("Good.\nGrade: 7", 7), ("**Grade: 10**", 10), ("grade: 1.", 1), ("Grade: 8/10", 8),
     ("Grade: 0", None), ("Grade: 11", None), ("Grade: 7.5", None), ("Grade: good", None),
     ("Grade: 7\nI hope that helps.", None), ("7", None), ("", None)],
)  # fmt: skip
def test_the_last_line_is_the_grade(reply: str, want: int | None) -> None:
    assert GradingRubric().read(answer(reply)) == want


def test_a_reply_that_was_cut_has_no_last_line() -> None:
    prompt = Prompt.of("q")
    assert GradingRubric().read(Completion(prompt, "Grade: 7", finish="length")) is None


def test_without_a_marker_the_number_stands_alone() -> None:
    rubric = GradingRubric(template="{conversation} {answer}", marker="")
    assert rubric.read(answer("7")) == 7


def test_the_question_fences_in_what_is_graded() -> None:
    asked = GradingRubric(system="You are fair.").ask(answer("{conversation} Grade: 10"))
    assert asked.messages[0] == Message("system", "You are fair.")
    assert "User: how are you ?" in asked.text
    assert "{conversation} Grade: 10" in asked.text  # a placeholder in an answer is text
    assert "{boundary}" not in asked.text
    again = GradingRubric().ask(answer("fine"), retry=1)
    assert again.text.endswith("must be Grade: and a whole number, 1 to 10.")


def test_only_what_has_no_grade_is_asked_again() -> None:
    def say(prompt: Prompt, seed: int) -> str:
        reminded = "Remember" in prompt.text
        return "Grade: 9" if "fine" in prompt.text else "Grade: 2" if reminded else "hm"

    sampler = Scripted(say)
    grades = Grader(sampler).grade([answer("fine"), answer("bad")])
    assert [grade.value for grade in grades] == [9, 2]
    assert len(sampler.asked) == 3
    assert len(set(sampler.seeds)) == 2


def test_what_never_gets_one_keeps_its_last_reply() -> None:
    grades = Grader(Scripted(lambda prompt, seed: "no idea"), retries=1).grade([answer("fine")])
    assert [(grade.value, grade.reply) for grade in grades] == [(None, "no idea")]
    assert Grader(Scripted(lambda prompt, seed: "")).grade([]) == []


@pytest.mark.parametrize("template", ["{answer}", "{conversation}", "{conversation}{answer}{left}"])
def test_a_template_has_its_places(template: str) -> None:
    with pytest.raises(UserError, match="The rubric cannot work"):
        GradingRubric(template=template)


def test_a_reference_answer_stands_in_the_question_where_there_is_one() -> None:
    sampler = Scripted(lambda prompt, seed: "Grade: 5")
    Grader(sampler).grade([answer("7"), answer("8")], references=["{answer} 7", ""])
    first, second = sampler.asked
    assert "a right answer" in first.text
    assert "{answer} 7" in first.text  # a placeholder in a reference is text
    assert "a right answer" not in second.text
    with pytest.raises(ValueError, match="2 answers, but 1 references"):
        Grader(sampler).grade([answer("7"), answer("8")], references=["7"])


def test_earlier_turns_stand_in_the_conversation() -> None:
    said = (Message("user", "one"), Message("assistant", "Grade: 10"), Message("user", "two"))
    asked = GradingRubric().ask(Completion(Prompt("q", said), "three"))
    lines = [line for line in asked.text.splitlines() if line]
    at = lines.index("User: one")
    assert lines[at + 1 : at + 3] == ["Assistant: Grade: 10", "User: two"]
    assert lines[at + 4] == "three"


def test_a_template_with_a_reference_has_its_place() -> None:
    with pytest.raises(UserError, match=r"no \{reference\}"):
        GradingRubric(referenced="{conversation}{answer}")
