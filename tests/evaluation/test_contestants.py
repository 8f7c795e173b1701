from __future__ import annotations

from collections import Counter

import pytest

from heed.errors import UserError
from heed.evaluation.contestants import Contestant, decoys, is_decoy, pair_up
from heed.judging.decoys import DECOYS
from heed.types import Completion, Prompt

PROMPTS = [Prompt.of(f"question {number}?") for number in range(20)]


def contestant(name: str, samples: int = 1) -> Contestant:
    said = [
        Completion(prompt, f"{name} {prompt.id} {k}") for prompt in PROMPTS for k in range(samples)
    ]
    return Contestant.of(name, said)


def test_every_two_meet_on_every_prompt() -> None:
    field = [contestant("a"), contestant("b"), contestant("c")]
    items = pair_up(field, PROMPTS, seed=1)
    met = Counter((item.prompt.id, *sorted(item.models)) for item in items)
    assert len(met) == 3 * 20
    assert set(met.values()) == {1}
    for item in items:
        told = zip(item.models, item.answers, strict=True)
        assert all(text.startswith(name) for name, text in told)
    assert len({item.id for item in items}) == len(items)


def test_an_item_does_not_tell_who_wrote_it() -> None:
    items = pair_up([contestant("secret-one"), contestant("secret-two")], PROMPTS)
    assert not any("secret" in item.id or "secret" in item.prompt.id for item in items)
    first = Counter(item.models[0] for item in items)
    assert 4 <= first["secret-one"] <= 16
    # Neither does its number: the first half of the items is no more about one pair than the other.
    field = [contestant(name) for name in "abc"]
    early = Counter(tuple(sorted(item.models)) for item in pair_up(field, PROMPTS)[:30])
    assert len(early) == 3


def test_samples_meet_by_number_and_a_single_answer_meets_all() -> None:
    items = pair_up([contestant("a", 3), contestant("b", 2), contestant("c")], PROMPTS)
    met = Counter(tuple(sorted(item.models)) for item in items)
    assert met == {("a", "b"): 40, ("a", "c"): 60, ("b", "c"): 40}
    for item in items:
        if set(item.models) == {"a", "b"}:
            assert item.answers[0].split()[-1] == item.answers[1].split()[-1]


def test_a_budget_is_spread_evenly() -> None:
    field = [contestant("a", 2), contestant("b", 2), contestant("c", 2)]
    items = pair_up(field, PROMPTS, pairs=64)
    met = Counter(tuple(sorted(item.models)) for item in items)
    assert sorted(met.values()) == [21, 21, 22]
    by_prompt = Counter((*sorted(item.models), item.prompt.id) for item in items)
    assert set(by_prompt.values()) == {1, 2}  # the second sample once every prompt was drawn
    assert len([n for n in by_prompt.values() if n == 2]) == 4
    assert pair_up(field, PROMPTS, pairs=64) == items
    assert pair_up(field, PROMPTS, pairs=64, seed=1) != items


def test_decoys_meet_everyone_but_each_other() -> None:
    field = [contestant("a"), contestant("b"), *decoys(PROMPTS)]
    items = pair_up(field, PROMPTS)
    met = Counter(tuple(sorted(map(is_decoy, item.models))) for item in items)
    assert met == {(False, False): 20, (False, True): 20 * 2 * len(DECOYS)}
    empty = [item for item in items if "decoy: empty" in item.models]
    assert all("" in item.answers for item in empty)


def test_only_common_prompts_count() -> None:
    less = Contestant("b", {id: texts for id, texts in contestant("b").answers.items()
                            if id in (PROMPTS[0].id, PROMPTS[1].id)})  # fmt: skip
    assert len(pair_up([contestant("a"), less], PROMPTS)) == 2


@pytest.mark.parametrize(
    ("field", "pairs", "words"),
    [
        ([contestant("a")], None, "two or more"),
        ([contestant("a"), contestant("a")], None, "different names"),
        ([contestant("a"), Contestant("b", {"else": ["x"]})], None, "no prompt in common"),
        ([contestant("a"), contestant("b"), contestant("c")], 2, "too few"),
    ],
)
def test_what_cannot_be_compared(field: list[Contestant], pairs: int | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        pair_up(field, PROMPTS, pairs=pairs)
