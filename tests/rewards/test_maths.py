"""Mathematics by math-verify, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import needs
import pytest
from answered import said

from heed.errors import UserError
from heed.rewards.answers import read_answers
from heed.rewards.maths import MathsScore, final

GSM8K = [
    {"question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many "
                 "clips in May. How many clips did Natalia sell altogether in April and May?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = "
               "<<48+24=72>>72 clips altogether in April and May.\n#### 72"},
    {"question": "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of "
                 "babysitting. How much did she earn?",
     "answer": "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\nWorking 50 minutes, she earned "
               "0.2 x 50 = $<<0.2*50=10>>10.\n#### 10"},
    {"question": "How much is the house?", "answer": "It is 70,000 + 80,000.\n#### 150,000"},
]  # fmt: skip
HOUSE = GSM8K[2]["question"]


@pytest.fixture(scope="module")
def heard() -> list[str]:
    return []


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory, heard: list[str]) -> MathsScore:
    file = tmp_path_factory.mktemp("gsm8k") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in GSM8K))
    return MathsScore(read_answers(file), seconds=5.0, say=heard.append)


def test_rows_of_gsm8k_are_right_and_no_others_answers(score: MathsScore) -> None:
    for row in GSM8K:
        assert score(said(row["answer"], row["question"])) == 1.0
        other = GSM8K[GSM8K.index(row) - 1]["answer"]
        assert score(said(other, row["question"])) == 0.0


@pytest.mark.parametrize(
    ("text", "want"),
    [("The house costs $150000.", 1.0), ("So it is 150,000.00 dollars", 1.0),
     (r"\boxed{150000}", 1.0), (r"That makes $\frac{300000}{2}$.", 1.0), ("#### 150000", 1.0),
     ("70,000 and then 80,000", 0.0), ("150001", 0.0), ("I do not know.", 0.0), ("", 0.0),
     ("-150000", 0.0), ("#### ", 0.0)],
)  # fmt: skip
def test_ways_to_write_an_answer(score: MathsScore, text: str, want: float) -> None:
    assert score(said(text, HOUSE)) == want


def test_an_answer_that_takes_for_ever_is_wrong_and_reported(
    score: MathsScore, heard: list[str]
) -> None:
    hard = MathsScore(score.answers, seconds=0.5, say=heard.append)
    assert hard(said("$9^{9^{9^{9}}}$", HOUSE)) == 0.0
    assert any("could not be checked within 0.5 seconds" in line for line in heard)
    hard.seconds = 5.0
    assert hard(said("150000", HOUSE)) == 1.0


def test_final_answers() -> None:
    texts = ("a #### 5\n", "#### 4 #### 5", "5 ")
    assert [final(text) for text in texts] == ["5", "5", "5"]


def test_without_math_verify_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(UserError, match="pip install math-verify"):
        MathsScore({"how much ?": "5"}, seconds=1.0, say=print)(said("5"))


def test_the_published_rows(score: MathsScore) -> None:
    folder = needs.data_folder("HEED_GSM8K_DATA", "GSM8K, with test.jsonl")
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    known = MathsScore(read_answers(Path(folder / "test.jsonl")), seconds=5.0, say=print)
    right = [known(said(row["answer"], row["question"])) for row in rows]
    assert sum(right) == len(rows) > 1000
    shifted = zip(rows, [*rows[1:], rows[0]], strict=True)
    alike = sum(final(row["answer"]) == final(other["answer"]) for row, other in shifted)
    shifted = zip(rows, [*rows[1:], rows[0]], strict=True)
    assert sum(known(said(other["answer"], row["question"])) for row, other in shifted) == alike
