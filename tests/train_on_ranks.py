"""Trains toy policies on one process, or on several under torchrun; tests/test_trainer.py runs it.

    torchrun --standalone --nproc-per-node 2 tests/train_on_ranks.py FOLDER

Every rank leaves its weights and gradients in FOLDER/rankN.pt; only rank 0 writes the run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from heed.losses.policy import ppo_clip
from heed.losses.preference import PREFERENCE_LOSSES
from heed.models.heads import ValueModel
from heed.models.language_model import LanguageModel, new_language_model
from heed.models.reference import Reference
from heed.models.rows import demonstration_rows, pair_rows
from heed.ops.order import Order
from heed.pipeline import processes
from heed.policies.dpo import dpo, with_reference
from heed.policies.kl_control import KlController
from heed.policies.policy_gradient import PolicyGradient, Surrogate
from heed.policies.ppo import Critic
from heed.policies.sft import sft
from heed.recipe import Optimisation, Sft
from heed.rewards.once import AskedOnce
from heed.run import StageRun
from heed.sampling.split import SplitSampler
from heed.trainer import Monitor, Trainer
from heed.types import Comparison, Completion, Demonstration, Prompt

WORDS = ["yes", "no", "red", "two", "?"]
PROMPTS = [Prompt.of("red ?"), Prompt.of("two two ?"), Prompt.of("no ?")]
TEXTS = ["yes", "no no red", "two", "red yes yes two", "no", "yes two", "red"]


def policy(layers: int = 1) -> LanguageModel:
    names = ["<pad>", "<eos>", "<unk>", "Human:", "Assistant:", *WORDS]
    raw = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.2}
    return new_language_model(tokenizer, {"model_type": "llama", **sizes, **heads}, seed=0)


def imitation(lm: LanguageModel) -> Any:
    items = [Demonstration(PROMPTS[i % 3], text) for i, text in enumerate(TEXTS)]
    return sft(lm, demonstration_rows(lm.chat, items, 64), Order(7, 5, 0))


def preference(lm: LanguageModel) -> Any:
    pairs = zip(TEXTS, reversed(TEXTS), strict=True)
    items = [
        Comparison(PROMPTS[i % 3], a, f"{b} no", weight=1.0 + i) for i, (a, b) in enumerate(pairs)
    ]
    data = with_reference(pair_rows(lm.chat, items, 64), Reference(lm), 64)
    return dpo(lm, data, Order(7, 5, 0), PREFERENCE_LOSSES["dpo"], 0.5)


def reward(completions: Sequence[Completion]) -> list[float]:
    return [item.text.split().count("yes") / 6 for item in completions]


def reinforcement(
    lm: LanguageModel, *, group: int = 1, sampler: Any = None, rounds: Any = None
) -> Any:
    surrogate = Surrogate(
        rollouts=10,
        epochs=1,
        minibatches=2,
        policy_loss=partial(ppo_clip, clip_low=0.2, clip_high=0.2),
        entropy_coef=0.01,
        missing_eos=0.0,
        temperature=1.0,
        micro_tokens=200,
        group=group,
    )
    return PolicyGradient(
        lm,
        Critic(
            ValueModel.from_language_model(lm),
            gamma=1.0,
            lam=0.95,
            clip=0.2,
            coef=0.1,
            whiten_rewards=False,
            micro_tokens=200,
        ),
        sampler=sampler or SplitSampler(lm, max_new_tokens=6),
        prompts=PROMPTS,
        reward=AskedOnce(reward),
        reference=Reference(lm),
        kl=KlController(0.1),
        surrogate=surrogate,
        seed=0,
        watch={},
        ahead=rounds,
    )


def main(folder: Path) -> None:
    with processes() as rank:
        found = {}
        for name, make in (("sft", imitation), ("dpo", preference), ("ppo", reinforcement)):
            run = folder / name
            optim = Optimisation(lr=0.01, eps=1e-3, micro_tokens=20, clip_norm=0.5)
            stage = Sft(name="sft", optim=optim, keep="best")
            placed = StageRun(stage, "key", run / "sft", run, writes=rank == 0)
            placed.start()
            method = make(policy())
            Trainer(
                method=method,
                settings=stage,
                run=placed,
                iterations=3,
                seed=0,
                monitor=Monitor("loss", higher_is_better=False),
            ).train()
            for key, weight in method.module.named_parameters():
                found[f"{name}/{key}"] = weight.detach().clone()
                found[f"{name}/{key}/gradient"] = weight.grad.clone()
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(found, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
