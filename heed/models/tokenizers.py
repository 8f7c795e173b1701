"""A tokenizer made from scratch, for models that are pretrained here."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from heed.errors import UserError

PAD, EOS = "<pad>", "<eos>"


def train_bpe(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (Sennrich et al. 2016, on bytes as in GPT-2).

    Every text survives encoding and decoding unchanged: all 256 bytes are in the vocabulary, no
    space is put in front, nothing is cleaned up. `<pad>` is 0 and `<eos>` is 1; neither is added
    by encoding, and a text that spells one out gets its letters, not the token. The same texts
    give the same vocabulary.

    Raises:
        UserError: the vocabulary cannot hold the bytes and the two special tokens.
    """
    smallest = len(pre_tokenizers.ByteLevel.alphabet()) + 2
    if vocab_size < smallest:
        raise UserError(
            f"A byte-level vocabulary needs at least {smallest} tokens (256 bytes, {PAD}, {EOS});"
            f" vocab_size is {vocab_size}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )
