r"""How a conversation becomes token ids, and how sampled ids become text again.

With a chat template, the template decides: beginning of sequence, role markers and the token that
closes an assistant's turn are what it renders. Without one, Heed writes HH's transcript,

    [system text]\n\nHuman: ...\n\nAssistant: ...\n\nHuman: ...\n\nAssistant:

The answer goes on after "Assistant:" with one space. Where the tokenizer puts that space itself
(word-level and SentencePiece-like ones), the answer is tokenised as it is; where it does not
(byte-level BPE), a space is put before the answer and taken off again when ids become text, so
that `text(completion_ids(s)) == s`.

Prompt and completion are tokenised separately and concatenated. Special tokens are never parsed
out of an answer: a text that spells "</s>" stays text.

To imitate a conversation, every assistant's turn of it is tokenised as the answer it once was:
`turns` gives each with what stands before it, and joined they are the whole. A template's closing
token ends each. Heed's own form puts nothing between an answer and the next "Human:", so there only
the last answer is ended, and teaches to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from heed.errors import UserError
from heed.types import Message, Prompt

ROLES = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
OWN_TEMPLATE = (
    "{%- for message in messages if message.role == 'system' -%}{{ message.content }}"
    "{%- endfor -%}"
    "{%- for message in messages if message.role != 'system' -%}"
    "{{ '\\n\\nAssistant: ' if message.role == 'assistant' else '\\n\\nHuman: ' }}"
    "{{ message.content }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '\\n\\nAssistant:' }}{%- endif -%}"
)
"""Heed's own form as a chat template, for programs that know no other way to write conversations.
A tokenizer that has it is read as one without a template: it is the same form.
"""


class ChatFormat:
    """One tokenizer's way to write conversations.

    `eos_id` ends an answer: the token with which the chat template closes an assistant's turn, or
    else the tokenizer's end of sequence. `stop_ids` are all ids at which sampling stops: both of
    these and `also_stops` (those of a model's generation config). `pad_id` fills batches and never
    says where a text ends: without a pad token it is the end of sequence, and every mask in Heed
    goes by length. `space` is what stands between "Assistant:" and an answer, where the tokenizer
    does not put it there. The tokenizer itself is not changed.

    `remembered` is how many prompts' ids are kept.

    Raises UserError where nothing can end an answer.
    """

    def __init__(
        self, tokenizer: Any, also_stops: Iterable[int] = (), *, remembered: int = 1 << 16
    ) -> None:
        self.tokenizer = tokenizer
        self.templated = bool(tokenizer.chat_template) and not writes_own_form(tokenizer)
        closing = _closing_id(tokenizer) if self.templated else None
        end = tokenizer.eos_token_id if closing is None else closing
        if end is None:
            raise UserError(
                f"The tokenizer{_named(tokenizer)} has no end-of-sequence token, so an answer "
                "could never end. Set eos_token in its tokenizer_config.json."
            )
        ends = {end, tokenizer.eos_token_id, *also_stops} - {None}
        self.eos_id = int(end)
        self.stop_ids = frozenset(int(token) for token in ends)
        pad = tokenizer.pad_token_id
        self.pad_id = self.eos_id if pad is None else int(pad)
        self._bos = _leading_ids(tokenizer)
        self.space = "" if self.templated or _spaces_itself(tokenizer) else " "

        # Training and sampling meet the same prompts again and again.
        self._prompt_ids = lru_cache(maxsize=remembered)(self._written)

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """The ids of a conversation up to where the assistant's next answer begins."""
        return list(self._prompt_ids(prompt))

    def text_ids(self, text: str) -> list[int]:
        """The ids of a text that is no conversation, at the beginning of a sequence."""
        return [*self._bos, *self._tokenize(text)]

    def turns(self, prompt: Prompt, text: str) -> list[tuple[list[int], list[int]]]:
        """The ids of a finished conversation, in pairs: what stands before an answer, the answer.

        The last answer is `text`, those before it are the assistant's turns in the prompt.

        Raises UserError where the template writes a turn otherwise once others follow it.
        """
        found: list[tuple[list[int], list[int]]] = []
        done = ""
        for at, turn in enumerate(prompt.messages):
            if turn.role == "assistant":
                asked = replace(prompt, messages=prompt.messages[:at])
                before = self._since(done, asked)
                done, closed = self._through(asked, turn)
                found.append((before, self.completion_ids(turn.content, finished=closed)))
        return [*found, (self._since(done, prompt), self.completion_ids(text))]

    def _since(self, done: str, prompt: Prompt) -> list[int]:
        """The ids of what stands between the text that is `done` and the prompt's next answer."""
        if not done:
            return self.prompt_ids(prompt)
        text = self._text(prompt)
        if not text.startswith(done):
            raise UserError(_rewritten(prompt))
        return self._parse(text[len(done) :])

    def _through(self, asked: Prompt, turn: Message) -> tuple[str, bool]:
        """The text up to the end of an answer, and whether a token of the template closes it."""
        before = self._text(asked)
        if not self.templated:
            return f"{before} {turn.content}", False
        whole = self._render((*asked.messages, turn), asked, add_generation_prompt=False)
        closing = self.tokenizer.convert_ids_to_tokens(self.eos_id)
        for end, closed in ((closing, True), (turn.content.strip(), False)):
            at = whole.rfind(end)
            if whole.startswith(before) and at >= len(before):
                return whole[: at + len(end)], closed
        raise UserError(_rewritten(asked))

    def _written(self, prompt: Prompt) -> list[int]:
        ids = self._parse(self._text(prompt))
        return ids if self.templated else [*self._bos, *ids]

    def _text(self, prompt: Prompt) -> str:
        """The conversation up to where the next answer begins."""
        if not self.templated:
            return transcript(prompt)
        return self._render(prompt.messages, prompt, add_generation_prompt=True)

    def _render(
        self, turns: Iterable[Message], prompt: Prompt, *, add_generation_prompt: bool
    ) -> str:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            text = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=add_generation_prompt, tokenize=False
            )
        except Exception as error:  # jinja raises whatever the template's author chose
            raise UserError(
                f"The chat template of the tokenizer{_named(self.tokenizer)} refuses the prompt "
                f"{prompt.id!r} (roles "
                f"{', '.join(turn.role for turn in prompt.messages)}): {error}. Change the "
                f"prompt's messages or the template."
            ) from error
        return str(text)

    def _parse(self, text: str) -> list[int]:
        """The ids of a written conversation, in which a template's special tokens are meant."""
        return _parsed(self.tokenizer, text) if self.templated else self._tokenize(text)

    def completion_ids(self, text: str, finished: bool = True) -> list[int]:
        """The ids of an answer, with the end of sequence where the answer is `finished`."""
        ids = self._tokenize(self.space + text) if text else []
        return [*ids, self.eos_id] if finished else ids

    def fitted(self, prompt: Prompt, text: str, context: int) -> tuple[list[int], list[int]]:
        """Token ids of prompt and finished answer, at most `context` together; see `RowFormat`."""
        prompt_ids, answer_ids = self.prompt_ids(prompt), self.completion_ids(text)
        answer_ids = answer_ids[: max(context - len(prompt_ids), context // 2)]
        return prompt_ids[-(context - len(answer_ids)) :], answer_ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer's ids, cut before the first stop id, without special tokens."""
        end = next((at for at, token in enumerate(ids) if token in self.stop_ids), len(ids))
        text = self.tokenizer.decode(
            list(ids[:end]), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text).removeprefix(self.space)

    def _tokenize(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return [int(token) for token in encoded["input_ids"]]


def _named(tokenizer: Any) -> str:
    """Where a tokenizer came from, in brackets; nothing for one that was made here."""
    source = getattr(tokenizer, "name_or_path", "")
    return f" ({source})" if source else ""


def _rewritten(prompt: Prompt) -> str:
    return (
        f"The tokenizer's chat template writes an answer of {prompt.id!r} otherwise once other "
        "turns follow it, so the loss cannot be on every answer of a conversation. Set turns: last."
    )


def own_template(tokenizer: Any) -> str:
    """`OWN_TEMPLATE`, behind the beginning of sequence where the tokenizer puts one first."""
    return ("{{ bos_token }}" if _leading_ids(tokenizer) else "") + OWN_TEMPLATE


def writes_own_form(tokenizer: Any) -> bool:
    """Whether its chat template is Heed's own form."""
    template = tokenizer.chat_template
    return isinstance(template, str) and template.strip().endswith(OWN_TEMPLATE)


def transcript(prompt: Prompt) -> str:
    """The default form of a conversation, up to and including the last "Assistant:"."""
    system = "".join(turn.content for turn in prompt.messages if turn.role == "system")
    turns = (turn for turn in prompt.messages if turn.role != "system")
    return (
        system
        + "".join(f"{ROLES[turn.role]}{turn.content}" for turn in turns)
        + (ROLES["assistant"].rstrip(" "))
    )


def _leading_ids(tokenizer: Any) -> list[int]:
    """[bos] where the tokenizer puts one before a text, [] where it does not."""
    bos = tokenizer.bos_token_id
    ids = tokenizer("a")["input_ids"]
    return [int(bos)] if bos is not None and ids and ids[0] == bos else []


def _spaces_itself(tokenizer: Any) -> bool:
    """Whether two texts tokenised apart and joined are decoded with a space between them."""
    once = tokenizer("a", add_special_tokens=False)["input_ids"]
    word, pair = (
        tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (once, once + once)
    )
    return bool(pair == f"{word} {word}")


def _closing_id(tokenizer: Any) -> int | None:
    """The special token that the chat template writes after an assistant's message, if any."""
    marker = "heed"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": marker}]
    try:
        rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception:  # a template without assistant turns; the end of sequence closes them
        return None
    tail = _parsed(tokenizer, rendered.rpartition(marker)[2].strip())
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return tail[0] if tail and tail[0] in special else None


def _parsed(tokenizer: Any, text: str) -> list[int]:
    """The ids of a rendered template, whose special tokens are meant as such; none are added."""
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=False)
    return [int(token) for token in encoded["input_ids"]]
