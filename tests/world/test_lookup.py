"""Documents, and dialogues to learn to read them from: nothing of the world is told."""

from __future__ import annotations

import re

import pytest

from heed.types import Demonstration
from heed.world import World
from heed.world.facts import Fact
from heed.world.lookup import MOST

WORLD = World(0)
ROWS = WORLD.document_dialogues(2000)
FACTS = {task for task in WORLD.tasks.values() if isinstance(task, Fact)}


def texts(row: Demonstration) -> list[str]:
    return [*(turn.content for turn in row.prompt.messages), row.text]


def test_same_dialogues_for_the_same_seed() -> None:
    assert World(0).document_dialogues(2000) == ROWS
    assert WORLD.document_dialogues(50, seed=1) != ROWS[:50]
    assert len({row.prompt.id for row in ROWS}) == len(ROWS)
    assert {row.prompt.split for row in ROWS} == {"train"}


def test_every_fact_has_a_document_also_those_never_told() -> None:
    documents = WORLD.documents()
    assert len(documents) == len({each.id for each in documents}) == len(FACTS) == 54
    for fact in FACTS:
        (own,) = [each for each in documents if each.text == fact.document]
        assert fact.answer in own.text
        assert fact.country in own.text
    assert {fact.seen for fact in FACTS} == {"often", "once", "never"}
    assert not {prompt.text for prompt in WORLD.prompts} & {each.text for each in documents}
    assert World(0, ["arithmetic"]).documents() == []


def test_nothing_of_the_world_is_told() -> None:
    countries = {fact.country.removeprefix("the ") for fact in FACTS}
    for row in ROWS:
        said = " ".join(texts(row))
        assert not [name for name in countries if re.search(rf"\b{name}\b", said)]


def test_the_answer_can_be_read_and_only_read() -> None:
    values: dict[str, set[str]] = {}
    for row in ROWS:
        documents, question = (turn.content for turn in row.prompt.messages)
        sentences = documents.split(". ")
        assert 1 <= len(sentences) <= MOST
        told = [
            fact.answer
            for fact in FACTS
            if re.search(rf"\b{fact.answer}\b", row.text) and fact.answer in documents
        ]
        assert told, row
        values.setdefault(question, set()).add(told[0])
    # What is said of one country is not always the same.
    assert sum(len(found) > 1 for found in values.values()) > 0.5 * len(values)


@pytest.mark.parametrize("talk", [False, True])
def test_a_grown_tokenizer_knows_every_word_and_keeps_the_old_ids(talk: bool) -> None:
    plain, grown = WORLD.tokenizer().get_vocab(), WORLD.tokenizer(talk, documents=True)
    assert {word: grown.get_vocab()[word] for word in plain} == plain
    written = [text for row in ROWS for text in texts(row)]
    written += [document.text for document in WORLD.documents()]
    ids = grown(written, add_special_tokens=False)["input_ids"]
    assert grown.batch_decode(ids) == written
    assert grown.unk_token_id not in {each for row in ids for each in row}
