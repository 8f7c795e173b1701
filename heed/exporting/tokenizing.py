"""The tokenizer of an export: read again by plain transformers, it writes the ids of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, TokenizersBackend

from heed.errors import UserError
from heed.models.chat import ChatFormat, own_template, transcript
from heed.models.pair_format import PairFormat, asked
from heed.types import Prompt

READERS: Mapping[str, Callable[[Path], Any]] = {
    "AutoTokenizer": AutoTokenizer.from_pretrained,
    "TokenizersBackend": TokenizersBackend.from_pretrained,
}
"""Classes of transformers, the usual one first: for some model types it rebuilds a tokenizer as the
family's own, which a tokenizer of another make does not survive.
"""


PAIR = "pair"
MANY = 1 << 20
"""Tokens, more than a prompt and an answer have."""
OTHERWISE = (
    "The tokenizer, read again, writes prompts otherwise than in training. Nothing was kept. "
    "Check the tokenizer and the chat template in the model's directory."
)


@dataclass(frozen=True)
class Wording:
    """How others than Heed turn a conversation into ids."""

    template: str
    """Whose chat template it is: "its own", "Heed's" or "none"; PAIR for an encoder's."""
    reader: str
    """The class of transformers that reads the tokenizer as it was in training."""
    space: str
    """What stands before an answer's text."""
    end: int
    """The token that ends an answer."""


def save_tokenizer(
    tokenizer: Any, chat: ChatFormat, prompts: Sequence[Prompt], *folders: Path
) -> Wording:
    """Write it to every folder. One without a chat template is given Heed's own form, where that
    writes the same ids.

    Raises UserError where, read again, it writes the prompts otherwise than in training.
    """
    template = "its own" if chat.templated else _given_template(tokenizer, chat, prompts)
    for folder in folders:
        tokenizer.save_pretrained(folder)
    write = _by_transcript if template == "none" else _by_template
    wanted = [write(tokenizer, each) for each in prompts]
    for name, read in READERS.items():
        again = read(folders[0])
        if [write(again, each) for each in prompts] == wanted:
            return Wording(template, name, chat.space, chat.eos_id)
    raise UserError(OTHERWISE)


def save_pairing(
    tokenizer: Any, chat: PairFormat, prompts: Sequence[Prompt], folder: Path
) -> Wording:
    """The same for an encoder, which is given a prompt and an answer as two texts."""
    tokenizer.save_pretrained(folder)
    space = "" if chat.between else " "
    for name, read in READERS.items():
        again = read(folder)
        if all(
            list(again(first_text(chat, each), space + each.text)["input_ids"])
            == [int(i) for part in chat.fitted(each, each.text, MANY) for i in part]
            for each in prompts
        ):
            return Wording(PAIR, name, space, 0)
    raise UserError(OTHERWISE)


def first_text(chat: PairFormat, prompt: Prompt) -> str:
    """What an encoder is given before the answer."""
    return asked(prompt) if chat.between else transcript(prompt)


def _given_template(tokenizer: Any, chat: ChatFormat, prompts: Sequence[Prompt]) -> str:
    tokenizer.chat_template = own_template(tokenizer)
    if all(_by_template(tokenizer, each) == chat.prompt_ids(each) for each in prompts):
        return "Heed's"
    tokenizer.chat_template = None
    return "none"


def _by_template(tokenizer: Any, prompt: Prompt) -> list[int]:
    """A prompt's ids by the tokenizer's chat template."""
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    return [int(token) for token in ids]


def _by_transcript(tokenizer: Any, prompt: Prompt) -> list[int]:
    return [int(token) for token in tokenizer(transcript(prompt))["input_ids"]]
