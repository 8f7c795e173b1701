from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from heed.errors import UserError
from heed.models.tokenizers import train_bpe

TEXTS = ["the cat sat on the mat.", "\n\nHuman: where is the cat?\n\nAssistant: on the mat."] * 20


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_bpe(TEXTS, 300)


@pytest.mark.parametrize(
    "text",
    [
        "the cat",
        "  two leading spaces, and one trailing ",
        "\n\nHuman: lines\n\n\nAssistant:\t",
        "punctuation , kept . as it 's",
        "naïve 東京 🙂 \u200b\x00",
        "a text that spells <eos> and <pad>",
        "",
    ],
)
def test_any_text_survives(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_pieces_join_to_the_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, answer = "\n\nAssistant:", " on the mat."
    assert tokenizer.decode(tokenizer.encode(prompt) + tokenizer.encode(answer)) == prompt + answer


def test_special_tokens_differ_and_are_never_added(tokenizer: PreTrainedTokenizerFast) -> None:
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1)
    assert not {0, 1} & set(tokenizer.encode("the cat <eos><pad>"))
    assert tokenizer.bos_token_id is None
    assert len(tokenizer) <= 300


def test_merges_are_learnt(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer.encode(" the cat")) < len(" the cat")


def test_same_texts_same_vocabulary() -> None:
    first, second = train_bpe(iter(TEXTS), 320), train_bpe(iter(TEXTS), 320)
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()


def test_saved_tokenizer_loads_in_plain_transformers(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "  the cat <eos> sat\n\n"
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
    assert (loaded.pad_token_id, loaded.eos_token_id) == (0, 1)


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(UserError, match="at least 258 tokens"):
        train_bpe(TEXTS, 200)
    assert len(train_bpe(TEXTS, 258)) == 258
