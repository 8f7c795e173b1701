"""A word-level tokenizer for a closed vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNK, USER, ASSISTANT = "<pad>", "<eos>", "<unk>", "<user>", "<assistant>"
SPECIALS = (PAD, EOS, UNK, USER, ASSISTANT)
SPACE = "\u2581"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{ '<assistant>' + message.content + '<eos>' }}
{%- else -%}
{{ '<user>' + message.content }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<assistant>' }}
{%- endif -%}
"""
"""A turn is its marker and its text, without spaces between; assistants' turns end in <eos>."""


def build_tokenizer(vocabulary: Iterable[str]) -> PreTrainedTokenizerFast:
    """One token a word, with the space before it; one a punctuation mark, without.

    Torch is not needed, but transformers is, and is slow to import: call it late.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    entries = [*SPECIALS, *(SPACE + w if w.isalnum() else w for w in vocabulary)]
    ids = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=True),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        extra_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
