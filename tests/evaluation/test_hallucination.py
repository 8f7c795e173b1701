from __future__ import annotations

import pytest

from heed.evaluation.hallucination import claims
from heed.types import Completion, Prompt


def answers(*texts: str, prompt: str = "q") -> list[Completion]:
    asked = Prompt.of(prompt)
    return [Completion(asked, text, ids=(1, 2), logprobs=(-1.0, -2.0)) for text in texts]


def test_disagreement_by_hand() -> None:
    given = ["rome", "rome", "paris", None]
    found = claims(answers("a", "b", "c", "d"), given, [False, False, True, False])
    # Of three others: rome agrees with one, paris with none; silence claims nothing.
    assert list(found.signals["disagreement"]) == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert list(found.signals["entropy"]) == pytest.approx([1.5] * 3)
    assert list(found.wrong) == [True, True, False]


def test_logprobs_of_another_policy_say_nothing() -> None:
    found = claims(answers("a", "b"), ["x", "x"], [True, True], own=False)
    assert set(found.signals) == {"disagreement"}
    assert found.detection() == {}  # nothing is wrong


def test_a_single_answer_has_no_fellows() -> None:
    found = claims(answers("a"), ["x"], [True])
    assert found.calibration() is None


def test_a_signal_that_tells_and_one_that_does_not() -> None:
    rows, given, right = [], [], []
    for at in range(30):
        sure = at % 2 == 0
        rows += answers("a", "b", "c", prompt=f"q{at}")
        given += ["x", "x", "x"] if sure else ["x", "y", "z"]
        right += [sure] * 3
    found = claims(rows, given, right)
    table = found.detection()
    assert table["disagreement"].mean == 1.0
    assert table["entropy"].mean == 0.5
    calibrated = found.calibration()
    assert calibrated is not None
    assert calibrated.error.mean == pytest.approx(0.0)
