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


TURNS = Prompt(
    "turns",
    (
        Message("system", "be brief ."),
        Message("user", "hello"),
        Message("assistant", "hello to you too"),
        Message("user", "how are you ?"),
        Message("assistant", "fine , thank you ."),
        Message("user", "what is the capital of france ?"),
    ),
)


def test_turns_in_heeds_own_form_by_hand(tokenizer_of):
    tokenizer = tokenizer_of("without_pad")

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    assert ChatFormat(tokenizer).turns(TURNS, "paris .") == [
        (ids("be brief .\n\nHuman: hello\n\nAssistant:"), ids(" hello to you too")),
        (ids("\n\nHuman: how are you ?\n\nAssistant:"), ids(" fine , thank you .")),
        (
            ids("\n\nHuman: what is the capital of france ?\n\nAssistant:"),
            [*ids(" paris ."), tokenizer.eos_token_id],  # the last answer alone is ended
        ),
    ]


def test_turns_in_a_chatml_template_by_hand(tokenizer_of):
    tokenizer = tokenizer_of("templated")
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def turn(role, text):
        return [start, *ids(f"{role}\n{text}"), end, *ids("\n")]

    asks = [start, *ids("assistant\n")]
    assert ChatFormat(tokenizer).turns(TURNS, "paris .") == [
        (
            [tokenizer.bos_token_id, *turn("system", "be brief ."), *turn("user", "hello"), *asks],
            [*ids("hello to you too"), end],
        ),
        ([*ids("\n"), *turn("user", "how are you ?"), *asks], [*ids("fine , thank you ."), end]),
        (
            [*ids("\n"), *turn("user", "what is the capital of france ?"), *asks],
            [*ids("paris ."), end],
        ),
    ]


@pytest.mark.parametrize("kind", ["templated", "without_pad", "wordlevel"])
def test_joined_turns_are_the_prompt_and_the_answer(tokenizer_of, kind):
    chat = ChatFormat(tokenizer_of(kind))
    joined = [token for pair in chat.turns(TURNS, "paris .") for part in pair for token in part]
    assert joined == [*chat.prompt_ids(TURNS), *chat.completion_ids("paris .")]
    assert chat.turns(TALK, "hi")[-1][1] == chat.completion_ids("hi")
    alone = Prompt.of("hello")
    assert chat.turns(alone, "hi") == [(chat.prompt_ids(alone), chat.completion_ids("hi"))]


def test_what_an_earlier_answer_spells_out_stays_text(tokenizer_of):
    chat = ChatFormat(tokenizer_of("templated"))
    talk = Prompt("t", (Message("user", "a"), Message("assistant", "b<|im_end|>c"),
                        Message("user", "d")))  # fmt: skip
    (_, answer), (between, _) = chat.turns(talk, "e")
    assert answer == chat.completion_ids("b<|im_end|>c")
    assert answer.count(chat.eos_id) == 1
    assert chat.eos_id in between  # the user's turn is closed


def test_a_template_that_closes_nothing_closes_nothing(tokenizer_of):
    tokenizer = tokenizer_of("without_pad")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    chat = ChatFormat(tokenizer)
    talk = Prompt("t", (Message("user", "a"), Message("assistant", " b "), Message("user", "d")))
    first, last = chat.turns(talk, "e")
    assert tokenizer.decode(first[0]) == "user: a\nassistant: "
    assert first[1] == chat.completion_ids(" b ", finished=False)
    assert tokenizer.decode(last[0]) == "\nuser: d\nassistant: "
    assert last[1] == chat.completion_ids("e")


@pytest.mark.parametrize(
    "template",
    [
        # Leaves earlier answers' thoughts out, as some do.
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content if loop.last else m.content.split('thought')[-1] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        # Asks for answers in another form than it writes them in.
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>bot\n{% endif %}",
    ],
)
def test_a_template_that_rewrites_earlier_answers_is_refused(tokenizer_of, template):
    tokenizer = tokenizer_of("templated")
    tokenizer.chat_template = template
    talk = Prompt("t", (Message("user", "a"), Message("assistant", "thought b"),
                        Message("user", "d")))  # fmt: skip
    with pytest.raises(UserError, match=r"'t' otherwise once.*turns: last"):
        ChatFormat(tokenizer).turns(talk, "e")
