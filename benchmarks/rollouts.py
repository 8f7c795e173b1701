"""Heed's sampler against transformers' generate: same weights, prompts, lengths, greedy tokens.

    python -m benchmarks.rollouts [--rounds 5]

Both sides decode in turn (A B A B ...), so that a drift of the machine's speed hits both; what is
printed is the ratio of the medians, and the spread of the ratios round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from heed.models.language_model import LanguageModel, new_language_model
from heed.recipe import Pretrain
from heed.sampling.local import LocalSampler
from heed.types import Prompt
from heed.world.world import World

NEW_TOKENS = 24


def ours(model: LanguageModel, prompts: list[Prompt]) -> list[list[int]]:
    sampler = LocalSampler(model, max_new_tokens=NEW_TOKENS, temperature=0.0)
    return [list(completion.ids) for completion in sampler.sample(prompts)]


def theirs(model: LanguageModel, prompts: list[Prompt]) -> list[list[int]]:
    """Plain `generate` on the left-padded batch."""
    rows = [model.chat.prompt_ids(prompt) for prompt in prompts]
    width = max(map(len, rows))
    pad = model.chat.pad_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    out = model.model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False,
        pad_token_id=pad, eos_token_id=sorted(model.chat.stop_ids),
    )  # fmt: skip
    return [_until_stop(row, model.chat.stop_ids) for row in out[:, width:].tolist()]


def _until_stop(ids: list[int], stops: frozenset[int]) -> list[int]:
    end = next((at + 1 for at, token in enumerate(ids) if token in stops), len(ids))
    return ids[:end]


def seconds(side: Callable[[], list[list[int]]]) -> tuple[float, list[list[int]]]:
    began = time.perf_counter()
    tokens = side()
    return time.perf_counter() - began, tokens


def compare(model: LanguageModel, prompts: list[Prompt], rounds: int) -> None:
    """One line: how many times faster Heed is, median and range over the rounds."""
    ours(model, prompts)
    theirs(model, prompts)
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        mine, mine_tokens = seconds(lambda: ours(model, prompts))
        other, other_tokens = seconds(lambda: theirs(model, prompts))
        if mine_tokens != other_tokens:
            raise SystemExit("the two sides decoded different tokens: nothing to compare")
        times.append((mine, other))
    ratios = sorted(other / mine for mine, other in times)
    count = sum(map(len, mine_tokens))
    median = statistics.median(other for _, other in times) / statistics.median(
        mine for mine, _ in times
    )
    print(
        f"{len(prompts):4d} rows  {count / statistics.median(t for t, _ in times):8.0f} tokens/s  "
        f"{median:.2f} x generate  (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    world = World(0)
    model = new_language_model(world.tokenizer(), Pretrain().architecture, seed=0)
    for rows in (16, 64, 256):
        compare(model, list(world.prompts[:rows]), rounds)


if __name__ == "__main__":
    main()
