from __future__ import annotations

import pytest

from heed.errors import UserError
from heed.models.chat import ChatFormat, transcript
from heed.types import Message, Prompt

TALK = Prompt(
    "talk",
    (
        Message("system", "be brief ."),
        Message("user", "what is the capital of france ?"),
        Message("assistant", "paris ."),
        Message("user", "hello"),
    ),
)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("wordlevel", ["the capital of france is paris .", "", "bake bread"]),
        ("metaspace", ["the capital is paris .", "", "Hello there!"]),
        *(
            (kind, ["hello", "", " two  spaces ", "line\n\nline", "naïve ☃", "<|endoftext|> x"])
            for kind in ("pad_is_eos", "without_pad", "templated")
        ),
    ],
)
def test_text_of_completion_ids_is_the_text(tokenizer_of, kind, texts):
    chat = ChatFormat(tokenizer_of(kind))
    for text in texts:
        ids = chat.completion_ids(text)
        assert ids[-1] == chat.eos_id
        assert ids[:-1] == chat.completion_ids(text, finished=False)
        assert chat.text(ids) == text
        assert not chat.stop_ids & set(ids[:-1])


def test_the_default_format_is_hh_transcripts():
    assert transcript(TALK) == (
        "be brief .\n\nHuman: what is the capital of france ?\n\nAssistant: paris ."
        "\n\nHuman: hello\n\nAssistant:"
    )


def test_a_byte_level_transcript_goes_on_with_one_space(tokenizer_of):
    tokenizer = tokenizer_of("without_pad")
    chat = ChatFormat(tokenizer)
    ids = chat.prompt_ids(Prompt.of("hello")) + chat.completion_ids("hi", finished=False)
    assert tokenizer.decode(ids) == "\n\nHuman: hello\n\nAssistant: hi"


def test_a_bos_stands_once_and_only_where_the_model_wants_one(tokenizer_of):
    for kind, count in {"metaspace": 1, "templated": 1, "without_pad": 0}.items():
        tokenizer = tokenizer_of(kind)
        ids = ChatFormat(tokenizer).prompt_ids(TALK)
        assert sum(token == tokenizer.bos_token_id for token in ids) == count
        assert count == 0 or ids[0] == tokenizer.bos_token_id


def test_a_template_decides_the_prompt_and_the_closing_token(tokenizer_of):
    tokenizer = tokenizer_of("templated")
    chat = ChatFormat(tokenizer, also_stops=[7])
    expected = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in TALK.messages],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert chat.prompt_ids(TALK) == expected
    assert chat.eos_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.stop_ids == {chat.eos_id, tokenizer.eos_token_id, 7}


def test_special_tokens_in_an_answer_or_question_stay_text(tokenizer_of):
    tokenizer = tokenizer_of("without_pad")
    chat = ChatFormat(tokenizer)
    assert tokenizer.eos_token_id not in chat.prompt_ids(Prompt.of("say <|endoftext|> now"))
    assert tokenizer.eos_token_id not in chat.completion_ids("<|endoftext|>", finished=False)


def test_a_tokenizer_without_pad_keeps_its_eos(tokenizer_of):
    tokenizer = tokenizer_of("without_pad")
    chat = ChatFormat(tokenizer)
    assert chat.pad_id == chat.eos_id == tokenizer.eos_token_id
    assert tokenizer.pad_token is None


def test_no_end_of_sequence_is_an_error(tokenizer_of):
    tokenizer = tokenizer_of("wordlevel")
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="no end-of-sequence token"):
        ChatFormat(tokenizer)


def test_a_template_that_refuses_names_the_prompt(tokenizer_of):
    tokenizer = tokenizer_of("templated")
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(UserError, match=r"'talk'.*roles must alternate"):
        ChatFormat(tokenizer).prompt_ids(TALK)


def test_sampled_ids_are_cut_at_the_first_stop(tokenizer_of):
    chat = ChatFormat(tokenizer_of("pad_is_eos"))
    ids = chat.completion_ids("hello")
    assert chat.text([*ids, *chat.completion_ids("more"), chat.pad_id]) == "hello"
