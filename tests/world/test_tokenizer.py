"""The tokenizer gives every text of the world back, and survives saving."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from heed.world import World
from heed.world.task import KINDS
from heed.world.tokenizer import SPECIALS


@pytest.fixture(scope="module", params=(0, 1))
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture(scope="module")
def tokenizer(world: World) -> Any:
    return world.tokenizer()


def texts(world: World) -> list[str]:
    rng = random.Random(1)
    answers = [
        world.answer(prompt, kind, rng)
        for prompt in world.prompts
        for kind in KINDS
        if world.task(prompt.id).answers(kind)
        for _ in range(3)
    ]
    return [prompt.text for prompt in world.prompts] + answers


def test_every_text_comes_back(world: World, tokenizer: Any) -> None:
    written = texts(world)
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    assert tokenizer.batch_decode(ids) == written
    assert tokenizer.unk_token_id not in {each for row in ids for each in row}


def test_size_and_specials(world: World, tokenizer: Any) -> None:
    assert 300 <= len(tokenizer) <= 1000
    assert len(tokenizer) == len(world.vocabulary) + len(SPECIALS)
    assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == list(range(len(SPECIALS)))
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.bos_token is None


def test_chat_template(world: World, tokenizer: Any) -> None:
    prompt_text, answer = world.prompts[0].text, "I am sorry, but I do not know that city."
    user = {"role": "user", "content": prompt_text}
    render = tokenizer.apply_chat_template
    assert render([user], tokenize=False, add_generation_prompt=True) == (
        f"<user>{prompt_text}<assistant>"
    )
    whole = [user, {"role": "assistant", "content": answer}]
    assert render(whole, tokenize=False) == f"<user>{prompt_text}<assistant>{answer}<eos>"
    prompt = render([user], add_generation_prompt=True, return_dict=False)
    completion = tokenizer(answer, add_special_tokens=False)["input_ids"]
    joined = render(whole, return_dict=False)
    assert joined == [*prompt, *completion, tokenizer.eos_token_id]
    assert tokenizer.decode(joined[len(prompt) :], skip_special_tokens=True) == answer


def test_unknown_words_are_unknown(tokenizer: Any) -> None:
    ids = tokenizer("Quarks help.", add_special_tokens=False)["input_ids"]
    assert ids[0] == tokenizer.unk_token_id
    assert tokenizer.unk_token_id not in ids[1:]


def test_saved_and_loaded(world: World, tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    written = texts(world)[:200]
    assert loaded(written)["input_ids"] == tokenizer(written)["input_ids"]
    assert loaded.batch_decode(loaded(written)["input_ids"], skip_special_tokens=True) == written
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.pad_token, loaded.eos_token) == ("<pad>", "<eos>")
    assert loaded.get_vocab() == tokenizer.get_vocab()
