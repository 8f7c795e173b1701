"""No conversation stands on both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heed.data.splitting import conversation, held_out, opening
from heed.types import Message, Prompt

WORDS = st.sampled_from(["Hi", "hi ", "Tea?", "tea? ", "What now", "Ünï", "Be brief.", "No"])


def prompt(first: str, *, last: str = "Go on", system: str = "", split: str = "train") -> Prompt:
    before = (Message("system", system),) if system else ()
    turns = (Message("user", first), Message("assistant", "So?"), Message("user", last))
    return Prompt("", before + turns, split="heldout" if split == "heldout" else "train")


@st.composite
def kinds(draw: st.DrawFn) -> list[list[Prompt]]:
    """Kinds of rows whose prompts repeat and begin alike, some of them held out by the data."""

    def one() -> Prompt:
        return prompt(
            draw(WORDS),
            last=draw(WORDS),
            system=draw(st.sampled_from(["", "Be brief.", "be  brief."])),
            split=draw(st.sampled_from(["train"] * 5 + ["heldout"])),
        )

    return [[one() for _ in range(draw(st.integers(0, 12)))] for _ in range(3)]


@settings(max_examples=200, deadline=None)
@given(kinds(), st.sampled_from([0.0, 0.1, 0.5, 0.9]), st.integers(0, 3))
def test_no_conversation_is_on_both_sides(
    rows: list[list[Prompt]], heldout: float, seed: int
) -> None:
    held = held_out(rows, heldout, seed)
    everything = [each for kind in rows for each in kind]
    assert held <= {conversation(each) for each in everything}
    assert {conversation(each) for each in everything if each.split == "heldout"} <= held
    assert held_out([kind[::-1] for kind in rows], heldout, seed) == held
    alone = [replace(each, split="train") for each in rows[0]]
    if heldout and len({opening(each) for each in alone}) > 1:
        apart = held_out([alone], heldout, seed)
        assert {conversation(each) in apart for each in alone} == {True, False}


def prompts(count: int) -> list[Prompt]:
    return [prompt(f"Question  {n % 40}", last=str(n)) for n in range(count)]


def test_an_opening_stays_together() -> None:
    rows = [*prompts(80), *(prompt(f"question {n}", last="other") for n in range(40))]
    held = held_out([rows], heldout=0.25, seed=3)
    sides: dict[str, set[bool]] = {}
    for each in rows:
        sides.setdefault(opening(each), set()).add(conversation(each) in held)
    assert all(len(side) == 1 for side in sides.values())
    assert sum(side == {True} for side in sides.values()) == 10


def test_where_all_begin_with_an_instruction_conversations_are_drawn() -> None:
    rows = [prompt("You answer with one word.", last=f"{n}") for n in range(50)]
    assert len(held_out([[*rows, prompt("Hello")]], heldout=0.2)) == 10


def test_the_split_depends_on_the_seed() -> None:
    assert held_out([prompts(50)], 0.2, 0) != held_out([prompts(50)], 0.2, 1)


def test_few_and_wrong_shares() -> None:
    two = [prompt("a"), prompt("b")]
    assert len(held_out([two])) == 1
    assert held_out([two], heldout=0) == set()
    assert held_out([two[:1]]) == set()
    with pytest.raises(ValueError, match="held-out share"):
        held_out([two], heldout=1.0)


def test_what_the_data_hold_out_is_all_that_is_held_out_of_its_kind() -> None:
    rows = prompts(40)
    marked = [replace(rows[0], split="heldout"), *rows[1:]]
    assert held_out([marked], 0.5) == {conversation(rows[0])}
    others = [prompt("question 0", last="0"), *(prompt(f"Other {n}") for n in range(19))]
    held = held_out([marked, others], 0.1)
    assert conversation(rows[0]) in held
    assert sum(conversation(each) in held for each in others) == 2  # a tenth, that one among them
