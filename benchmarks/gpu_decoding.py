"""Greedy answers on a GPU: Heed with and without recorded steps, `generate` and `generate_batch` of
transformers. All have the same weights, prompts and length.

A near tie may be decided by rounding, and all words after it are others. So what is checked is not
that sides write the same, but that each one's words are the likeliest under the model's own forward
over its whole text, up to the rounding of the format; how far texts are the same is told.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from benchmarks.gpu_work import FIRST, Device, Line, Side, in_turn, new_model, size
from benchmarks.harness import Unequal
from heed.planning.memory import cache
from heed.sampling.answers import Answers
from heed.sampling.continuous import write_leanly
from heed.sampling.graphs import recordings
from heed.sampling.known import AGREEMENT, lean_anatomy

CHECKED = 4
"""Texts of a batch that are held against the model's own forward."""
PAGE = 256
"""Tokens of a page of `generate_batch`'s cache."""

Texts = list[list[int]]


@dataclass(frozen=True)
class Work:
    """Prompts of one length, and how many tokens each is answered by."""

    model: Any
    prompts: Texts
    new: int

    @property
    def device(self) -> torch.device:
        found: torch.device = self.model.device
        return found


def prompts(vocabulary: int, count: int, length: int) -> Texts:
    rng = random.Random(0)
    return [[rng.randrange(FIRST, vocabulary) for _ in range(length)] for _ in range(count)]


@torch.no_grad()
def by_heed(work: Work, *, graphs: bool) -> Texts:
    """Raises RuntimeError where the lean decoder does not know the model, or is not recorded
    although it should.
    """
    found = lean_anatomy(work.model)
    if found is None:
        raise RuntimeError("the lean decoder did not agree with the model")
    uniform = torch.zeros((len(work.prompts), work.new), dtype=torch.float64, device=work.device)
    answers = Answers(uniform, temperature=0.0)
    with _allowed(graphs):
        written = write_leanly(found, work.model.dtype, work.prompts, 1, len(work.prompts), answers)
        for _ in written:
            pass
        gpu = work.device.type == "cuda"
        if graphs and gpu and recordings(found.backbone, work.device) is None:
            raise RuntimeError("a recorded step differed, or could not be recorded")
    ids: Texts = answers.ids.tolist()
    return ids


@contextmanager
def _allowed(graphs: bool) -> Iterator[None]:
    before = os.environ.get("HEED_GRAPHS")
    os.environ["HEED_GRAPHS"] = "yes" if graphs else "no"
    try:
        yield
    finally:
        del os.environ["HEED_GRAPHS"]
        if before is not None:
            os.environ["HEED_GRAPHS"] = before


@torch.no_grad()
def by_generate(work: Work) -> Texts:
    ids = torch.tensor(work.prompts, device=work.device)
    settings = GenerationConfig(
        max_new_tokens=work.new, min_new_tokens=work.new, do_sample=False, pad_token_id=0
    )
    out = work.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    found: Texts = out[:, ids.shape[1] :].tolist()
    return found


def by_generate_batch(work: Work) -> Texts:
    """Continuous batching over pages, as many as the work needs and a few more. What it sets up it
    keeps for the next round (`ended` gives it back), but no prompts: Heed runs them every time.
    """
    rows, length = len(work.prompts), len(work.prompts[0]) + work.new
    pages = rows * -(-length // PAGE) + 4
    settings = GenerationConfig(
        max_new_tokens=work.new, do_sample=False, pad_token_id=0, eos_token_id=-1
    )
    batching = ContinuousBatchingConfig(page_size=PAGE, num_blocks=pages, allow_block_sharing=False)
    out = work.model.generate_batch(
        work.prompts,
        generation_config=settings,
        continuous_batching_config=batching,
        persistent_manager=True,
    )
    found: Texts = [list(each.generated_tokens) for each in out.values()]
    if [len(ids) for ids in found] != [work.new] * rows:
        raise RuntimeError("not all answers came, or they are not as long")
    return found


def ended(work: Work) -> None:
    work.model.destroy_cached_continuous_batching_manager()


@torch.no_grad()
def likeliest(work: Work, answers: Texts) -> None:
    """Raise Unequal unless the words of some answers are the likeliest under the model's own
    forward, up to rounding.
    """
    allowed = AGREEMENT[work.model.dtype]
    for row, (prompt, answer) in enumerate(zip(work.prompts, answers, strict=True)):
        if row == CHECKED:
            return
        ids = torch.tensor([prompt + answer[:-1]], device=work.device)
        logits = work.model(ids, use_cache=False, logits_to_keep=work.new).logits[0].float()
        chosen = torch.tensor(answer, device=work.device)[:, None]
        short = logits.amax(1) - logits.gather(1, chosen)[:, 0]
        if float(short.max()) > allowed * float(logits.abs().max()):
            at = int(short.argmax())
            raise Unequal(f"word {at} of answer {row} is not the likeliest: {short[at]:.4f} less")


def alike(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """The share of the words before the first that differs."""
    same = 0
    for a, b in zip(one, other, strict=True):
        same += next((at for at, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))
    return same / sum(map(len, one))


def least_seconds(device: Device, shape: str, rows: int, prompt: int, new: int) -> float:
    """Of the device's limits: the products of the prompts, and for every token the weights and all
    keys and values read once, or its products, whichever takes longer.
    """
    known, width = size(shape), device.dtype.itemsize
    weights = known.backbone + known.head
    columns = rows * sum(range(prompt, prompt + new))
    read = new * weights * width + columns * cache(known, width)
    written = max(read / device.memory, 2.0 * weights * rows * new / device.products)
    return 2.0 * known.backbone * rows * prompt / device.products + written


def measure(
    device: Device, shape: str, batches: Sequence[int], prompt: int, new: int, rounds: int
) -> list[Line]:
    """Lines of all sides, a piece of work a batch."""
    model = new_model(shape, device.device, device.dtype)
    found: list[Line] = []
    for batch in batches:
        work = Work(model, prompts(size(shape).vocabulary, batch, prompt), new)
        least = least_seconds(device, shape, batch, prompt, new)
        try:
            name = f"decode {shape} B{batch}"
            found += in_turn(name, sides(work), device, rounds, batch * new, least)
        finally:
            ended(work)
    return found


def sides(work: Work) -> list[Side]:
    """Ours first, which the others' words are held beside."""
    first: Texts = []

    def checked(answers: Texts) -> str:
        likeliest(work, answers)
        if not first:
            first.extend(answers)
            return ""
        return f"{100 * alike(first, answers):.0f}% of the words alike"

    return [
        Side("heed", lambda: by_heed(work, graphs=True), checked),
        Side("heed, no graphs", lambda: by_heed(work, graphs=False), checked),
        Side("generate", lambda: by_generate(work), checked),
        Side("generate_batch", lambda: by_generate_batch(work), checked),
    ]
