"""Both orders, retries and what is made of them."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import Any

import pytest
from judging.scripted import Scripted, pair, shorter, shown
from openai_server import around, serving

from heed.errors import UserError
from heed.judging.judge import Judge, Judgement, Opinion, Reply
from heed.judging.rubric import BY_PRINCIPLE, Rubric
from heed.sampling.local import LocalSampler
from heed.sampling.remote import EndpointSampler
from heed.types import Item, Prompt

PAIRS = [pair("short", "much longer", "a"), pair("much longer", "short", "b"), pair("x", "y", "c")]


def judgement(first: Any, second: Any) -> Judgement:
    """Verdicts of both orders, in terms of the pair's own sides."""
    return Judgement("p", "j", Opinion((), first), Opinion((), second))


def test_every_pair_is_judged_in_both_orders() -> None:
    sampler = Scripted(shorter)
    got = Judge(sampler, name="ann").compare(PAIRS)
    assert [each.verdict for each in got] == [2, 7, "tie"]
    assert [each.pair for each in got] == ["a", "b", "c"]
    assert all(each.judge == "ann" and each.consistent for each in got)
    assert [shown(asked) for asked in sampler.asked[:2]] == [
        ("short", "much longer"), ("much longer", "short"),
    ]  # fmt: skip
    assert got[0].as_given.replies == (Reply("I compared them.\nVerdict: A", "stop"),)
    assert got[0].swapped.replies == (Reply("I compared them.\nVerdict: B", "stop"),)


def test_a_judge_who_prefers_a_place_finds_only_ties() -> None:
    got = Judge(Scripted(lambda prompt, seed: "Verdict: A")).compare(PAIRS)
    assert [each.verdict for each in got] == ["tie"] * 3
    assert not any(each.consistent for each in got)
    assert (got[0].as_given.verdict, got[0].swapped.verdict) == (2, 7)


@pytest.mark.parametrize(
    ("first", "second", "verdict", "consistent"),
    [
        (2, 2, 2, True),
        (1, 3, 3, True),
        (8, 6, 6, True),
        (4, 5, "tie", False),
        (2, "tie", "tie", False),
        ("both_bad", "both_bad", "both_bad", True),
        ("both_bad", "tie", "tie", False),
        ("cannot_tell", 2, "cannot_tell", False),
        (None, 2, "cannot_tell", False),
        (None, None, "cannot_tell", False),
    ],
)
def test_two_orders_make_one_verdict(
    first: Any, second: Any, verdict: Any, consistent: bool
) -> None:
    for one in (judgement(first, second), judgement(second, first)):
        assert (one.verdict, one.consistent) == (verdict, consistent)


def test_what_has_no_verdict_is_asked_again_with_a_reminder_and_another_seed() -> None:
    def second_time(prompt: Prompt, seed: int) -> str:
        return shorter(prompt, seed) if prompt.text.endswith("ONE LINE") else "Hm, hard to say."

    sampler = Scripted(second_time)
    rubric = Rubric(reminders=("ONE LINE",))
    (got,) = Judge(sampler, rubric).compare(PAIRS[:1])
    assert got.verdict == 2
    assert (got.as_given.attempts, got.swapped.attempts) == (2, 2)
    assert [reply.text for reply in got.as_given.replies] == [
        "Hm, hard to say.", "I compared them.\nVerdict: A",
    ]  # fmt: skip
    assert len(set(sampler.seeds)) == 2


def test_only_the_order_without_a_verdict_is_asked_again() -> None:
    def left_only(prompt: Prompt, seed: int) -> str:
        return "Verdict: A" if shown(prompt)[0] == "short" else "no idea"

    sampler = Scripted(left_only)
    (got,) = Judge(sampler, retries=2).compare(PAIRS[:1])
    assert (got.as_given.attempts, got.swapped.attempts) == (1, 3)
    assert got.verdict == "cannot_tell"
    assert got.unparsable
    assert len(sampler.asked) == 4


def test_a_swapped_undecided_verdict_stays_what_it_is() -> None:
    rubric = Rubric(verdicts={"A": 2, "B": 7, "bad": "both_bad"})
    (got,) = Judge(Scripted(lambda prompt, seed: "Verdict: bad"), rubric).compare(PAIRS[:1])
    assert got.verdict == "both_bad"


def test_models_are_not_named_to_the_judge_and_the_source_words_are_the_rubrics() -> None:
    """Every word a judge reads comes from the pair or from the rubric."""
    words = {"salve", "una", "altera", "optima", "respice", "sententia", "iudex"}
    rubric = Rubric(
        template="sententia {conversation} una {left} altera {right}",
        verdicts={"una optima": 2, "altera optima": 7},
        system="iudex", marker="", reminders=("respice",), turns={"user": "{text}"},
    )  # fmt: skip
    sampler = Scripted(lambda prompt, seed: "nescio")
    Judge(sampler, rubric).compare([pair("salve", "salve salve")])
    said = " ".join(turn.content for asked in sampler.asked for turn in asked.messages)
    assert set(said.split()) <= words | {"how", "are", "you", "?"}


def test_principles_go_to_their_pairs() -> None:
    sampler = Scripted(shorter)
    judge = Judge(sampler, Rubric(template=BY_PRINCIPLE))
    got = judge.compare(PAIRS[:2], principles=["Be brief.", "Be kind."])
    assert [each.principle for each in got] == ["Be brief.", "Be kind."]
    found = ["Be brief." in asked.text for asked in sampler.asked]
    assert found == [True, True, False, False]
    with pytest.raises(ValueError, match="principles"):
        judge.compare(PAIRS)
    with pytest.raises(ValueError, match="principles"):
        Judge(sampler).compare(PAIRS, principles=["Be kind."] * 3)


def test_an_item_of_two_gets_a_grade_and_one_of_more_a_ranking() -> None:
    sampler = Scripted(shorter)
    question = Prompt.of("q ?")
    items = [
        Item("two", question, ("longer", "abc")),
        Item("four", question, ("ab", "abcd", "a", "xy")),
        Item("three", question, ("same", "size", "here")),
    ]
    two, four, three = Judge(sampler).decide(items)
    assert (two.item, two.verdict, len(two.judgements)) == ("two", 7, 1)
    assert (four.verdict, len(four.judgements)) == ((2, 4, 1, 2), 6)
    assert three.verdict == (1, 1, 1)
    assert len(sampler.asked) == 2 + 4 * 3 + 3 * 2
    assert four.judgements[3].pair == "four/1-2"


def test_principles_of_items_go_to_all_their_pairs() -> None:
    judge = Judge(Scripted(shorter), Rubric(template=BY_PRINCIPLE))
    item = Item("three", Prompt.of("q ?"), ("a", "bb", "ccc"))
    (got,) = judge.decide([item], principles=["Be brief."])
    assert [each.principle for each in got.judgements] == ["Be brief."] * 3


def test_nothing_to_judge() -> None:
    judge = Judge(Scripted(shorter), Rubric(template=BY_PRINCIPLE))
    assert judge.compare([]) == []
    assert judge.decide([]) == []


def test_a_judge_behind_http_says_what_it_says_here() -> None:
    local, remote = Scripted(shorter), Scripted(shorter)
    with serving(around(remote)) as server:
        far = Judge(EndpointSampler(server.address, "toy", temperature=0.0)).compare(PAIRS)
    assert far == Judge(local).compare(PAIRS)


def test_a_model_that_never_learned_to_judge_is_counted_not_guessed(
    toy_lm: Any,
) -> None:
    """A local model of random weights, greedy: it repeats itself exactly, and says nothing."""
    rubric = Rubric(
        template="{conversation} {left} {right} ?", marker="", turns={"user": "{text}"},
        verdicts={"one": 2, "two": 7}, reminders=("yes",),
    )  # fmt: skip
    sampler = LocalSampler(toy_lm(), max_new_tokens=4, temperature=0.0)
    pairs = [
        pair(left, right, left + right)
        for left, right in itertools.permutations(["red", "blue", "good"], 2)
    ]
    judge = Judge(sampler, rubric, retries=1)
    first, again = judge.compare(pairs), judge.compare(pairs)
    assert first == again
    for one in first:
        for opinion in (one.as_given, one.swapped):
            assert opinion.attempts == (1 if opinion.replies[0].text in ("one", "two") else 2)
    assert any(one.verdict == "cannot_tell" for one in first)


def test_judgements_can_be_written_as_records() -> None:
    (got,) = Judge(Scripted(shorter)).compare(PAIRS[:1])
    assert asdict(got)["as_given"]["replies"][0]["text"] == "I compared them.\nVerdict: A"


def test_retries_are_not_negative() -> None:
    with pytest.raises(UserError, match="retries"):
        Judge(Scripted(shorter), retries=-1)
