from __future__ import annotations

import pytest

from heed.data.alpaca_eval import Judged
from heed.evaluation.votes import Vote, by_pair, contest, votes_of, votes_of_alpaca_eval
from heed.types import Annotation, Item, Prompt

ITEM = Item("i", Prompt.of("How?"), ("- one\n- two", "**No.**"), ("ppo", "sft"))


def test_a_vote_is_told_as_it_was_shown() -> None:
    (vote,) = votes_of("crowd", [ITEM], [Annotation("i", "ann", 2, order=(1, 0))])
    assert (vote.left, vote.right, vote.score) == ("sft", "ppo", 1.0)
    assert (vote.judge, vote.annotator, vote.prompt) == ("crowd", "ann", "How?")
    assert vote.differences == {"length": -4.0, "lists": -2.0, "headers": 0.0, "bold": 1.0}
    back = vote.swapped
    assert (back.left, back.score, back.differences["lists"]) == ("ppo", 0.0, 2.0)
    assert back.swapped == vote


@pytest.mark.parametrize(
    ("verdict", "score"), [(4, 1.0), (5, 0.0), ("tie", 0.5), ("both_bad", 0.5), ((1, 2), 1.0)]
)
def test_what_verdicts_are_worth(verdict: object, score: float) -> None:
    (vote,) = votes_of("j", [ITEM], [Annotation("i", "a", verdict)])  # type: ignore[arg-type]
    assert vote.score == score


def test_what_says_nothing_of_contestants_is_left_out() -> None:
    nameless = Item("n", ITEM.prompt, ITEM.answers)
    same = Item("s", ITEM.prompt, ITEM.answers, ("sft", "sft"))
    said = [Annotation("i", "a", "cannot_tell"), Annotation("n", "a", 1), Annotation("s", "a", 1)]
    assert votes_of("j", [ITEM, nameless, same], said) == []


def test_a_ranking_is_a_vote_on_each_two() -> None:
    item = Item("r", Prompt.of("?"), ("x", "y", "z"), ("a", "b", "c"))
    ranked = Annotation("r", "a", (2, 1, 2), order=(2, 0, 1))  # c second, a first, b second
    told = {(v.left, v.right): v.score for v in votes_of("j", [item], [ranked])}
    assert told == {("c", "a"): 0.0, ("c", "b"): 0.5, ("a", "b"): 1.0}


def test_alpaca_evals_preferences() -> None:
    judged = [
        Judged("do", "gpt4", "mine", 0.9, (1, 2), ("a", "**b**"), "weighted"),
        Judged("do", "gpt4", "mine", None, (1, 2), ("a", "c"), "weighted"),
        Judged("do", "", "mine", 0.2, (7, 3)),
    ]
    full, table = votes_of_alpaca_eval(judged)
    assert (full.judge, full.left, full.right, full.score) == ("weighted", "mine", "gpt4", 0.9)
    assert full.differences == {"length": 4.0, "lists": 0.0, "headers": 0.0, "bold": 1.0}
    assert (table.judge, table.right, table.differences) == ("judge", "baseline", {"length": -4.0})


def test_contests_of_pairs() -> None:
    votes = [
        Vote("j", "1", "p", "a", "b", 1.0, differences={"length": 3.0}),
        Vote("j", "2", "q", "b", "a", 0.25, differences={"length": 5.0}),
        Vote("j", "3", "q", "a", "c", 0.0),
    ]
    pairs = by_pair(votes)
    assert list(pairs) == [("a", "b"), ("a", "c")]
    found = contest(pairs["a", "b"], ["length"])
    assert found.items == ["p", "q"]
    assert found.wins.tolist() == [1.0, 0.75]
    assert found.differences["length"].tolist() == [3.0, -5.0]
    with pytest.raises(ValueError, match="style is unknown"):
        contest(pairs["a", "c"], ["length"])
