"""What is like a prompt, and what never stands before it."""

from __future__ import annotations

import math

import pytest

from heed.errors import UserError
from heed.policies.in_context import with_system, with_turns
from heed.policies.retrieval import Nearest, demonstrated, documented
from heed.types import Demonstration, Document, Message, Prompt, Split


def shown(text: str, answer: str = "yes", split: Split = "train") -> Demonstration:
    return Demonstration(Prompt.of(text, split=split), answer)


def test_likeness_by_hand() -> None:
    """Two texts of two words, one of them shared: idf 1 and 1 + ln(3/2)."""
    nearest = Nearest(["red green", "red blue"], k=2, least=0.0)
    rare = 1 + math.log(3 / 2)
    like = (nearest.vectors @ nearest.words.transform(["green"]).T).toarray().ravel()
    assert like == pytest.approx([rare / math.hypot(1, rare), 0.0])
    assert nearest("green") == [0]
    assert nearest("red") == [0, 1]  # equally like: the first first
    assert nearest("blue, red?") == [1, 0]
    assert nearest("yellow") == []


def test_what_is_less_like_is_left_out() -> None:
    texts = ["the capital of France", "the language of France", "a poem"]
    assert Nearest(texts, k=3, least=0.0)("capital of France") == [0, 1]
    assert Nearest(texts, k=1, least=0.0)("capital of France") == [0]
    assert Nearest(texts, k=3, least=0.6)("capital of France") == [0]


@pytest.mark.parametrize("texts", [[], ["", "?!"]])
def test_without_words_there_is_nothing_to_retrieve(texts: list[str]) -> None:
    with pytest.raises(UserError, match="nothing to retrieve from"):
        Nearest(texts, k=1, least=0.0)


def test_the_most_like_stands_last_and_fewer_where_there_is_no_room() -> None:
    shots = [shown("red car", "a"), shown("blue car", "b"), shown("a green car", "c")]
    prompt = Prompt.of("the blue car ?")
    ways = demonstrated(shots, k=2, least=0.0)(prompt)
    assert ways == [
        with_turns(prompt, [shots[0], shots[1]]),
        with_turns(prompt, [shots[1]]),
        prompt,
    ]
    assert demonstrated(shots, k=2, least=0.0)(Prompt.of("hello")) == [Prompt.of("hello")]


def test_a_prompts_own_demonstration_and_held_out_ones_never_stand_before_it() -> None:
    own, other = shown("blue car", "the answer"), shown("red car")
    heldout = shown("blue car !", "a secret", "heldout")
    ways = demonstrated([heldout, own, other], k=1, least=0.0)
    asked = Prompt.of("blue car", id="another id", split="heldout")
    assert ways(asked) == [with_turns(asked, [other]), asked]
    said = [turn.content for turn in ways(Prompt.of("blue car !"))[0].messages]
    assert said == ["blue car", "the answer", "blue car !"]
    brief = Prompt("c", (Message("system", "Be brief."), Message("user", "blue car")))
    assert ways(brief) == [with_turns(brief, [other]), brief]


def test_of_one_conversation_the_first_counts() -> None:
    twice = [shown("blue car", "first"), shown("blue car", "second"), shown("red car", "third")]
    asked = demonstrated(twice, k=2, least=0.0)(Prompt.of("my blue car"))[0]
    assert [turn.content for turn in asked.messages if turn.role == "assistant"] == [
        "third",
        "first",
    ]


def test_documents_are_one_system_message() -> None:
    documents = [Document("a", "Paris is in France."), Document("b", "The capital is Paris.")]
    prompt = Prompt("q", (Message("system", "Be brief."), Message("user", "Is Paris a capital?")))
    first, second, last = documented(documents, k=2, least=0.0)(prompt)
    assert first.messages[0].content == ("Paris is in France. The capital is Paris.\n\nBe brief.")
    assert second == with_system(prompt, "The capital is Paris.")
    assert last is prompt
