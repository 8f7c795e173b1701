"""An encoder that knows nothing learns from comparisons of the embedded world's answers."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from encoders import save_encoder, tokenizer_of

from heed.evaluation.accuracy import correctness
from heed.models.pair_format import asked
from heed.models.reward_model import new_reward_model
from heed.models.rows import pair_rows
from heed.ops.order import Order
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.learned import LearnedReward
from heed.types import Comparison, Completion, Demonstration
from heed.world.gold import GoldReward
from heed.world.world import World

pytestmark = pytest.mark.slow

CONTEXT, BATCH, EPOCHS = 64, 32, 4.0


def comparisons(world: World, said: list[Demonstration]) -> list[Comparison]:
    """Answers to one prompt, two by two, the better one by the gold reward chosen."""
    gold = GoldReward(world)
    answers = defaultdict(list)
    for each in said:
        answers[each.prompt].append(each.text)
    found = []
    for prompt, texts in answers.items():
        for first, second in zip(texts[::2], texts[1::2], strict=False):
            a, b = gold([Completion(prompt, first), Completion(prompt, second)])
            if abs(a - b) > 0.5:
                better, worse = (first, second) if a > b else (second, first)
                found.append(Comparison(prompt, better, worse))
    return found


def test_an_encoder_learns_from_comparisons(tmp_path: Path) -> None:
    world = World(0)
    corpus = world.corpus(6000)
    pairs = comparisons(world, corpus)
    prompts = sorted({each.prompt.id for each in pairs})
    held = set(prompts[::5])
    train = [each for each in pairs if each.prompt.id not in held]
    test = [each for each in pairs if each.prompt.id in held]
    texts = [text for each in corpus[:2000] for text in (asked(each.prompt), each.text)]
    sizes = {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.02}
    path = save_encoder(
        "bert", tmp_path / "bert", tokenizer=tokenizer_of("bert", texts, 1500), **sizes
    )
    model = new_reward_model(path, device="cpu", dtype="float32", seed=1)
    rows = pair_rows(model.chat, train, CONTEXT)
    method = reward_modelling(model, rows, Order(len(train), BATCH, 0))
    optimiser = torch.optim.AdamW(model.model.parameters(), lr=1e-3)
    for iteration in range(method.order.steps(EPOCHS)):
        for batch in method.batches(iteration):
            (term,) = [each for each in method.loss(batch) if each.weight]
            optimiser.zero_grad()
            (term.total / batch.counts()[term.count]).backward()
            optimiser.step()
    right = correctness(LearnedReward(model, context=CONTEXT), test)
    assert len(right) > 200
    assert sum(right) / len(right) > 0.8
