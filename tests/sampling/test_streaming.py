"""Streamed answers are the sampled ones, and no piece of one is ever taken back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from heed.errors import UserError
from heed.models.chat import ChatFormat
from heed.sampling.local import LocalSampler
from heed.sampling.streaming import Spelling, Stream
from heed.types import Completion, Prompt

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_fallback() -> Any:
    """Like Llama 2's: words of its own, bytes for all else."""
    names = ["<unk>", "</s>", *BYTES, "▁", "a", "b", "▁a"]
    raw = Tokenizer(
        BPE({name: at for at, name in enumerate(names)}, [("▁", "a")], byte_fallback=True,
            unk_token="<unk>")
    )  # fmt: skip
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>")


def byte_level() -> Any:
    """Every byte a token, and a few of them joined, as GPT-2's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|end|>", *alphabet, "Ġa", "ab"]
    raw = Tokenizer(BPE({name: at for at, name in enumerate(dict.fromkeys(names))}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")


CHATS = {each.__name__: ChatFormat(each()) for each in (byte_fallback, byte_level)}


def spelled(chat: ChatFormat, ids: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    """The pieces of an answer of these ids; a stop string cuts it, as the sampler would."""
    text = chat.text(ids)
    places = [text.find(each) for each in stop if each in text]
    answer = Completion(Prompt.of("?"), text[: min(places, default=len(text))], ids=tuple(ids))
    steps = (ids[: size + 1] for size in range(len(ids)))
    return list(Stream(steps, Spelling(chat, stop), lambda: answer))


@pytest.mark.parametrize("kind", CHATS)
@settings(max_examples=80, deadline=None, database=None)
@given(data=st.data())
def test_pieces_of_any_ids_join_to_their_text(kind: str, data: st.DataObject) -> None:
    chat = CHATS[kind]
    size = len(chat.tokenizer)
    ids = data.draw(st.lists(st.integers(0, size - 1), max_size=24))
    ids = [token for token in ids if token not in chat.stop_ids]
    pieces = spelled(chat, ids)
    assert "".join(pieces) == chat.text(ids)
    assert all(pieces)
    stop = data.draw(st.lists(st.text("ab �é", min_size=1, max_size=3), max_size=2))
    text = chat.text(ids)
    places = [text.find(each) for each in stop if each in text]
    assert "".join(spelled(chat, ids, tuple(stop))) == text[: min(places, default=len(text))]


@pytest.mark.parametrize("kind", CHATS)
@settings(max_examples=40, deadline=None, database=None)
@given(text=st.text("aé語🙂\u0301 b", max_size=12))
def test_no_piece_holds_half_a_character(kind: str, text: str) -> None:
    chat = CHATS[kind]
    ids = chat.completion_ids(text, finished=False)
    pieces = spelled(chat, ids)
    assert "".join(pieces) == chat.text(ids)
    assert "\ufffd" not in "".join(pieces)


def test_byte_runs_by_hand() -> None:
    """A broken byte behind a whole character turns that one into replacements, too: it waits."""
    chat = CHATS["byte_fallback"]
    whole = [chat.tokenizer.convert_tokens_to_ids(BYTES[byte]) for byte in "語".encode()]
    broken = chat.tokenizer.convert_tokens_to_ids("<0xF0>")
    letter = chat.tokenizer.convert_tokens_to_ids("a")
    assert spelled(chat, [letter, *whole, letter]) == ["a", "語a"]
    assert spelled(chat, [letter, *whole, broken, letter]) == ["a", "\ufffd" * 4 + "a"]
    assert spelled(chat, [letter, *whole]) == ["a", "語"]


@pytest.mark.parametrize("stop", [(), ("e",), ("th", "is")])
@pytest.mark.parametrize("temperature", [0.0, 3.0])
def test_a_stream_is_the_sample_of_its_seed(
    tiny: Any, prompts: Any, stop: tuple[str, ...], temperature: float
) -> None:
    lm = tiny()
    sampler = LocalSampler(lm, max_new_tokens=16, temperature=temperature, top_p=0.95, stop=stop)
    lm.model.train()
    for seed, prompt in enumerate(prompts[:2]):
        stream = sampler.stream(prompt, seed=seed)
        pieces = list(stream)
        assert lm.model.training
        assert [stream.completion] == sampler.sample([prompt], seed=seed)
        assert "".join(pieces) == stream.completion.text


def test_who_stops_early_keeps_what_was_given_out(tiny: Any, prompts: Any) -> None:
    lm = tiny()
    sampler = LocalSampler(lm, max_new_tokens=16)
    whole = sampler.sample(prompts[:1], seed=1)[0]
    stream = sampler.stream(prompts[0], seed=1)
    assert stream.completion.text == ""
    pieces = iter(stream)
    said = next(pieces) + next(pieces)
    cut = stream.completion
    assert (cut.text, cut.finish) == (said, "length")
    assert whole.text.startswith(said)
    assert cut.ids == whole.ids[: len(cut.ids)]
    assert 0 < len(cut.ids) < len(whole.ids)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_prompt_without_room_is_refused_at_once(tiny: Any) -> None:
    with pytest.raises(UserError, match="context holds"):
        LocalSampler(tiny(), max_new_tokens=16).stream(Prompt.of("what is " * 60))


def test_progress_counts_answers(tiny: Any, prompts: Any) -> None:
    heard: list[int] = []
    sampler = LocalSampler(tiny(), max_new_tokens=4, batch_size=2, progress=heard.append)
    plain = LocalSampler(tiny(), max_new_tokens=4, batch_size=2)
    assert sampler.sample(prompts[:3], n=2, seed=5) == plain.sample(prompts[:3], n=2, seed=5)
    assert heard == sorted(heard)
    assert heard[-1] == 6
