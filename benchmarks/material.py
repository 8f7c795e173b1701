"""What both sides are given: models of two sizes, prompts, and rows to train on, with seeds fixed.

The words of the tokenizer are numbers, "t3 t4 ...", split at spaces, so that a text has the same
ids on both sides, wherever it is cut. Lengths are lognormal.

`plain` models have random weights. A `countdown` model has some of its weights set, so that it ends
its answers at places that are known: every word belongs to a class, a word of class k is followed
by one of class k - 1 (which of them is open, and drawn as from random weights), and the end of
sequence is all of class 0. So the last word of a prompt says how long the answer will be, at any
temperature, on both sides, and no logits are touched; the operations are those of the plain model.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAD, END, UNKNOWN, FIRST = 0, 1, 2, 3
"""Ids: of padding, of the end of sequence, of what is no word, of the first word."""
CLASSES = 65
"""Of a countdown model: the longest answer has 64 tokens, its end among them."""
TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %} </s>{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Size:
    """A Llama with tied embeddings."""

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int

    @property
    def architecture(self) -> dict[str, Any]:
        return {
            "model_type": "llama",
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
        }

    @property
    def matrix_weights(self) -> int:
        """Weights that every token is multiplied with, the head's among them."""
        layer = 4 * self.width**2 + 3 * self.width * self.inner
        return self.layers * layer + self.vocabulary * self.width


SIZES: Mapping[str, Size] = {
    "1M": Size(128, 4, 4, 384, 1024),
    "25M": Size(512, 8, 8, 1024, 8192),
}


def tokenizer(vocabulary: int) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    special = {"<pad>": PAD, "</s>": END, "<unk>": UNKNOWN}
    words = {**special, **{f"t{at}": at for at in range(FIRST, vocabulary)}}
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    made.chat_template = TEMPLATE
    return made


def save_models(folder: Path, size: Size) -> None:
    """`plain/`, `countdown/` and `reward/` in a folder, as Heed saves them."""
    from heed.models.language_model import new_language_model, save_language_model
    from heed.models.reward_model import new_reward_model, save_reward_model
    from heed.run import derive_seed

    words = tokenizer(size.vocabulary)
    lm = new_language_model(words, size.architecture, seed=0)
    save_language_model(lm, folder / "plain")
    seed = derive_seed(0, "reward")  # of the stage that trains one
    reward = new_reward_model(folder / "plain", device="cpu", dtype="float32", seed=seed)
    save_reward_model(reward, folder / "reward")
    count_down(lm.model, size)
    save_language_model(lm, folder / "countdown")


def class_of(token: int) -> int:
    """Words are dealt to the classes 1 to 64 in turn."""
    return 1 + (token - FIRST) % (CLASSES - 1) if token >= FIRST else 0


def count_down(model: Any, size: Size) -> None:
    """Set a Llama's weights so that words count down to the end.

    Of the residual stream, place 0 is constant, the next are the one-hot class of the present word,
    which no layer writes to but the first MLP: it adds six times the class below, by hidden units
    whose gate the constant holds open. What other layers add is scaled down, lest it drown that.
    """
    import torch

    kept, step = CLASSES + 1, 108 / size.width
    with torch.no_grad():
        table = model.model.embed_tokens.weight
        table.mul_(140 / math.sqrt(size.width - kept))  # from 0.02 to a norm of 2.8
        table[:, :kept] = 0
        table[:, 0] = 1
        for token in (END, *range(FIRST, len(table))):
            table[token, 1 + class_of(token)] = 3
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(0.1)[:kept] = 0
            layer.mlp.down_proj.weight.mul_(0.1)[:kept] = 0
        first = model.model.layers[0].mlp
        units = CLASSES - 1
        for weight in (first.gate_proj.weight, first.up_proj.weight):
            weight[:units] = 0
        first.down_proj.weight[:, :units] = 0
        first.gate_proj.weight[:units, 0] = 1
        for unit in range(units):  # from class unit + 1 to class unit
            first.up_proj.weight[unit, 1 + unit + 1] = 1
            first.down_proj.weight[1 + unit, unit] = step


def lognormal(rng: random.Random, median: float, sigma: float, low: int, high: int) -> int:
    return min(high, max(low, round(rng.lognormvariate(math.log(median), sigma))))


def words(rng: random.Random, vocabulary: int, count: int) -> list[int]:
    return [rng.randrange(FIRST, vocabulary) for _ in range(count)]


def text(ids: Sequence[int]) -> str:
    return " ".join(f"t{token}" for token in ids)


def prompts(size: Size, lengths: Sequence[int], seed: int = 0) -> list[str]:
    """Prompts of 16 to 32 words, for answers of a countdown model that are so many tokens long."""
    rng = random.Random(seed)
    found = []
    for length in lengths:
        ids = words(rng, size.vocabulary, rng.randint(15, 31))
        members = range(FIRST + (length - 1) % (CLASSES - 1), size.vocabulary, CLASSES - 1)
        found.append(text([*ids, rng.choice(members)]))
    return found


def mixed_lengths(count: int, longest: int, seed: int = 0) -> list[int]:
    """Lognormal around a third of the longest, which the last of them has."""
    rng = random.Random(seed)
    found = [lognormal(rng, longest / 3, 0.8, 2, longest) for _ in range(count - 1)]
    return [*found, longest]


def pairs(size: Size, count: int, median: float = 48, seed: int = 0) -> list[dict[str, str]]:
    """Prompts of 16 to 32 words with two answers, lognormal around 48, at most 256."""
    longest = min(448, round(median * 16 / 3))
    rng = random.Random(seed)

    def answer() -> str:
        return text(words(rng, size.vocabulary, lognormal(rng, median, 0.7, 8, longest)))

    return [
        {
            "prompt": text(words(rng, size.vocabulary, rng.randint(16, 32))),
            "chosen": answer(),
            "rejected": answer(),
        }
        for _ in range(count)
    ]


def save_run(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """`records/` of a run: prompts, demonstrations and comparisons of the rows, one held out."""
    from heed.files import write_records
    from heed.types import Comparison, Demonstration, Prompt

    asked = [Prompt.of(row["prompt"], id=f"p{at}") for at, row in enumerate(rows)]
    kept = Prompt.of(text([FIRST, FIRST]), id="kept", split="heldout")
    both = list(zip(asked, rows, strict=True))
    records: dict[str, list[Any]] = {
        "prompts": [*asked, kept],
        "demonstrations": [
            *(Demonstration(prompt, row["chosen"]) for prompt, row in both),
            Demonstration(kept, text([FIRST])),
        ],
        "comparisons": [Comparison(prompt, r["chosen"], r["rejected"]) for prompt, r in both],
        "heldout": [Comparison(kept, text([FIRST]), text([FIRST + 1]))],
    }
    (folder / "records").mkdir(parents=True)
    for name, written in records.items():
        write_records(folder / "records" / f"{name}.jsonl", written)


def in_order(rows: Sequence[Mapping[str, str]], stage: str, batch: int) -> Iterator[Any]:
    """The rows in the order in which a stage of `benchmarks.staged` is given them, endless."""
    from heed.ops.order import Order
    from heed.run import derive_seed

    order, at = Order(len(rows), batch, derive_seed(0, stage, "order")), 0
    while True:
        yield from (rows[place] for place in order.indices(at).tolist())
        at += 1


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), "utf-8")
