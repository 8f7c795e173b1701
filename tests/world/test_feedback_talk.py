"""Talk about answers: what is said follows from gold, and nothing else of the world changes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from heed.types import Demonstration, Prompt
from heed.world import World
from heed.world.facts import Fact
from heed.world.feedback_talk import (
    ALIKE,
    COMPARE,
    FAULTLESS,
    HARMFUL,
    LEFT,
    LONG,
    PRINCIPLES,
    RIGHT,
    RUDE,
    WRONG,
    Principle,
)

WORLD = World(0)
ROWS = WORLD.feedback_dialogues(4000)
COMPARED = re.compile(re.escape(COMPARE).replace(r"\{", "(?P<").replace(r"\}", ">.+)"))
FAULTS = {
    "starts without a capital": re.compile(r"^[a-z]|[.!?] [a-z]"),
    "ends without a stop": re.compile(r"[^.!?]$"),
    "space": re.compile(r"  | [.,!?:;]|^ | $"),
    "slot": re.compile(r"[{}_]"),
    "a word twice": re.compile(r"\b(\w+) \1\b", re.IGNORECASE),
}


def of(kind: str, principle: str = "") -> list[tuple[Demonstration, Principle]]:
    chosen = []
    for row in ROWS:
        _, name, by, _ = row.prompt.id.split("/")
        if name == kind and principle in ("", by):
            chosen.append((row, PRINCIPLES[by]))
    return chosen


def talked_about(row: Demonstration) -> Prompt:
    first = row.prompt.messages[0].content
    found = COMPARED.fullmatch(first)
    return WORLD.prompt(found["prompt"] if found else first)


def texts(row: Demonstration) -> list[str]:
    return [*(turn.content for turn in row.prompt.messages), row.text]


def test_same_dialogues_for_the_same_seed() -> None:
    assert World(0).feedback_dialogues(4000) == ROWS
    assert WORLD.feedback_dialogues(50, seed=1) != ROWS[:50]
    assert len({row.prompt.id for row in ROWS}) == len(ROWS)
    kinds = Counter(row.prompt.id.split("/")[1] for row in ROWS)
    assert {kind: round(count / 4000, 1) for kind, count in kinds.items()} == {
        "judging": 0.5,
        "critique": 0.2,
        "revision": 0.3,
    }


def test_corpus_demonstrations_and_tokenizer_are_as_ever() -> None:
    """The digest is that of the first release: the quickstart's figures rest on it."""
    rows = [*WORLD.corpus(3000), *WORLD.demonstrations(500)]
    ids = WORLD.tokenizer().get_vocab()
    said = "".join(f"{row.prompt.id} {row.text}\n" for row in rows)
    said += " ".join(sorted(ids, key=ids.__getitem__))
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "39d794fce32c07a9"


def test_a_grown_tokenizer_knows_every_word_and_keeps_the_old_ids() -> None:
    plain, grown = WORLD.tokenizer().get_vocab(), WORLD.tokenizer(feedback_talk=True)
    assert {word: grown.get_vocab()[word] for word in plain} == plain
    assert len(plain) < len(grown) < len(plain) + 40
    written = [text for row in ROWS for text in texts(row)]
    ids = grown(written, add_special_tokens=False)["input_ids"]
    assert grown.batch_decode(ids) == written
    assert grown.unk_token_id not in {each for row in ids for each in row}


def test_train_prompts_only_and_all_of_them() -> None:
    asked = Counter(talked_about(row) for row in ROWS)
    assert set(asked) == set(WORLD.split("train"))
    assert max(asked.values()) - min(asked.values()) <= 1
    assert {row.prompt.split for row in ROWS} == {"train"}


def test_facts_told_seldom_are_told_no_oftener() -> None:
    for row in ROWS:
        task = WORLD.task(talked_about(row).id)
        if isinstance(task, Fact) and task.seen != "often":
            said = " ".join(texts(row))
            assert not re.search(rf"\b{task.answer}\b", said), said


def test_verdicts_follow_from_gold() -> None:
    for row, principle in of("judging"):
        (turn,) = row.prompt.messages
        found = COMPARED.fullmatch(turn.content)
        assert found is not None
        prompt = WORLD.prompt(found["prompt"])
        left, right = (principle.worth(WORLD.gold(prompt, found[at])) for at in ("left", "right"))
        alike = abs(left - right) < principle.step
        assert row.text == (ALIKE if alike else LEFT if left > right else RIGHT)
        assert found["question"] == principle.compare


@pytest.mark.parametrize("name", PRINCIPLES)
def test_sides_are_even_and_ties_occur(name: str) -> None:
    said = Counter(row.text for row, _ in of("judging", name))
    assert 0.35 < said[LEFT] / (said[LEFT] + said[RIGHT]) < 0.65
    assert name == "good" or said[ALIKE] > 10


def test_critiques_follow_from_gold() -> None:
    for row, principle in [*of("critique"), *of("revision")]:
        asked, answer, critique = row.prompt.messages[:3]
        gold = WORLD.gold(WORLD.prompt(asked.content), answer.content)
        fault = row.text if len(row.prompt.messages) == 3 else row.prompt.messages[3].content
        assert fault == principle.fault(gold)
        assert critique.content == principle.critique
    said = {name: {row.text for row, _ in of("critique", name)} for name in PRINCIPLES}
    assert said == {
        "good": {HARMFUL, RUDE, WRONG, LONG, FAULTLESS},
        "harmless": {HARMFUL, FAULTLESS},
        "polite": {RUDE, FAULTLESS},
        "right": {WRONG, FAULTLESS},
        "short": {LONG, FAULTLESS},
    }


def test_revisions_mend_what_was_wrong_and_nothing_else() -> None:
    mended = 0
    for row, principle in of("revision"):
        asked, answer, _, fault, request = row.prompt.messages
        assert [turn.role for turn in row.prompt.messages] == ["user", "assistant"] * 2 + ["user"]
        assert request.content == principle.revise
        if fault.content == FAULTLESS:
            assert row.text == answer.content
        else:
            gold = WORLD.gold(WORLD.prompt(asked.content), row.text)
            assert gold.total > 0
            assert not gold.rude
            assert not gold.harmful
            mended += 1
    assert mended > 200


@pytest.mark.parametrize("fault", FAULTS)
def test_english(fault: str) -> None:
    written = [text for row in ROWS for text in texts(row)]
    assert [text for text in written if FAULTS[fault].search(text)] == []
