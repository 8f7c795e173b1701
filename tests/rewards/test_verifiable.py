"""Rewards that need no judgement."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from answered import said

from heed.errors import UserError
from heed.rewards.answers import read_answers
from heed.rewards.verifiable import Verifier, correct, exact, form, length, regex
from heed.types import Completion
from heed.world.world import World

ANSWERS = {"how much ?": "Five", "id of which ?": "red"}


@pytest.mark.parametrize(
    ("text", "ignore_case", "want"),
    [("Five", True, 1.0), (" five\n", True, 1.0), ("five", False, 0.0), ("Five", False, 1.0),
     ("five of them", True, 0.0), ("", True, 0.0)],
)  # fmt: skip
def test_to_the_letter(text: str, ignore_case: bool, want: float) -> None:
    assert exact(ANSWERS, extract=None, ignore_case=ignore_case)(said(text)) == want


@pytest.mark.parametrize(
    ("pattern", "text", "want"),
    [(r"is (\w+)", "it is four, no, it is five", 1.0), (r"is (\w+)", "it is five, or is four", 0.0),
     (r"\w+$", "say five", 1.0), (r"is (\w+)", "five", 0.0), (r"(\d)?five", "five", 0.0)],
)  # fmt: skip
def test_the_last_match_is_what_counts(pattern: str, text: str, want: float) -> None:
    assert exact(ANSWERS, extract=pattern, ignore_case=True)(said(text)) == want


def test_answers_are_known_by_text_or_id() -> None:
    check = exact(ANSWERS, extract=None, ignore_case=True)
    assert check(said("red", "which ?")) == 1.0
    with pytest.raises(UserError, match=r"No right answer is known to the prompt 'who \?'"):
        check(said("red", "who ?"))


def test_a_pattern_anywhere_or_everywhere() -> None:
    assert [regex(r"\d+")(said(text)) for text in ("it is 5", "it is five")] == [1.0, 0.0]
    whole = form(r"<think>.*</think> \d+")
    texts = ("<think>two\nlines</think> 5 ", "so: <think></think> 5", "<think></think> 5 or 6")
    assert [whole(said(text)) for text in texts] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("words", "want"), [(0, -1.0), (1, -0.5), (2, 0.0), (4, 0.0), (5, -0.5), (9, -2.5)]
)
def test_words_beyond_the_bounds(words: int, want: float) -> None:
    assert length(2, 4, 0.5)(said("word " * words)) == want
    assert str(length(2, 4, 0.5)(said("word word"))) == "0.0"
    assert length(2, None, 0.5)(said("word " * (words + 2))) == 0.0


def test_other_families_are_not_looked_at() -> None:
    asked = [said("5", family="arithmetic"), said("no", family="arithmetic"), said("5")]
    digits = regex(r"\d")
    assert Verifier(digits, ("arithmetic",), -0.5)(asked) == [1.0, 0.0, -0.5]
    assert Verifier(digits)(asked) == [1.0, 0.0, 1.0]


def test_the_world_knows_what_is_right() -> None:
    world = World(0)
    check, rng = correct(world), random.Random(0)
    for prompt in [p for p in world.prompts if p.family in ("arithmetic", "verse")]:
        right = Completion(prompt, world.answer(prompt, "good", rng))
        wrong = Completion(prompt, world.answer(prompt, "wrong", rng))
        assert (check(right), check(wrong)) == (1.0, 0.0), (right.text, wrong.text)


def test_a_file_of_answers(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    rows = [{"prompt": "a ", "answer": 5}, {"question": "b", "answer": "so\n#### 7", "more": 1}]
    file.write_text("\n\n".join(map(json.dumps, [*rows, rows[0]])))
    assert read_answers(file) == {"a": "5", "b": "so\n#### 7"}


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"prompt": "a"}', "line 1: not a row of right answers"),
     ('{"answer": "a"}', "line 1: not a row"),
     ('\n["a", "b"]', "line 2: not a row"),
     ("a,b", "line 1: not a row"),
     ('{"prompt": "a", "answer": "b"}\n{"prompt": "a", "answer": "c"}', "line 2: a second answer"),
     ("\n", "holds no right answers")],
)  # fmt: skip
def test_what_is_no_file_of_answers(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_answers(file)
