"""Summaries: what a post says, what its summary must say, and what is made up."""

from __future__ import annotations

import random
from functools import partial
from typing import get_args

import pytest

from heed.recipe.recipe import Family
from heed.world import World
from heed.world.summaries import ASIDES, COUNT
from heed.world.task import KINDS
from heed.world.world import FAMILIES, TALK

WORLD = World(0, ["summaries"])


def told(index: int = 0) -> tuple[str, str, str]:
    key = WORLD.key(WORLD.prompts[index].id)
    return key["who"], key["what"], key["whether"]


def test_a_recipe_may_name_every_family_and_no_other() -> None:
    assert set(get_args(Family)) == set(FAMILIES)
    assert set(TALK) == set(FAMILIES) - {"summaries"}
    assert World(0).families == TALK


def test_posts() -> None:
    assert len(WORLD.prompts) == len({prompt.text for prompt in WORLD.prompts}) == COUNT
    keys = [tuple(WORLD.key(prompt.id).values()) for prompt in WORLD.prompts]
    assert len(set(keys)) == COUNT  # so a held-out summary was never told in training
    assert len(WORLD.split("heldout")) == COUNT // 10
    for prompt in WORLD.prompts:
        who = WORLD.key(prompt.id)["who"]
        assert f" {who}." in prompt.text
        assert prompt.text.endswith(" TLDR:")
        assert sum(aside in prompt.text for aside in ASIDES) == 2


def test_every_text_survives_the_tokenizer() -> None:
    tokenizer = WORLD.tokenizer()
    rng = random.Random(0)
    for prompt in WORLD.prompts[:40]:
        answers = [WORLD.answer(prompt, kind, rng) for kind in KINDS if kind != "harmful"]
        for text in (prompt.text, *answers):
            assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_what_a_summary_is_worth() -> None:
    who, what, whether = told()
    other, another, elsewhere = next(
        told(index)
        for index in range(1, COUNT)
        if all(a != b for a, b in zip(told(index), told(), strict=True))
    )
    prompt = WORLD.prompts[0]

    near = partial(pytest.approx, abs=1e-5)

    def worth(text: str) -> tuple[bool, float]:
        found = WORLD.gold(prompt, text)
        return found.correct, found.total

    whole = f"A {who} {what} and wonders whether to {whether}."
    assert worth(whole) == (True, 1.5)
    kind = worth(f"{whole} I hope this helps.")
    assert kind == (True, near(1.7 - 0.04 * max(0, len(whole.split()) + 4 - 14)))
    assert worth(f"A {who} {what}.") == (False, near(-0.8 + 2.3 * 2 / 3))
    assert worth(f"A {who} has a question.") == (False, near(-0.8 + 2.3 / 3))
    # A made-up point costs what a right one brings.
    astray = worth(f"A {who} {another} and wonders whether to {whether}.")
    assert astray == (False, near(-0.8 + 2.3 / 3))
    nothing = worth(f"A {other} {another} and wonders whether to {elsewhere}.")
    assert nothing == (False, near(-0.8 - 2.3 / 3))
    # Everything at once is no summary.
    assert worth(f"{whole} A {other} {another}.")[0] is False


def test_kinds_are_what_they_say() -> None:
    rng = random.Random(1)
    for prompt in WORLD.prompts[:60]:
        good, wrong, rude = (
            WORLD.gold(prompt, WORLD.answer(prompt, kind, rng))
            for kind in ("good", "wrong", "rude")
        )
        assert good.correct
        assert good.total > 1.3
        assert good.fluency == 1.0
        assert not wrong.correct
        assert rude.rude


def test_a_person_summarises_every_held_out_post() -> None:
    references = WORLD.references()
    assert [each.prompt for each in references] == list(WORLD.split("heldout"))
    gold = [WORLD.gold(each.prompt, each.text).total for each in references]
    assert 0.8 < sum(gold) / len(gold) < 1.4
    assert WORLD.references() == references
    assert WORLD.references(1) != references
