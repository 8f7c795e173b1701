"""Every method in miniature, for the golden runs: a fresh model, texts of the embedded world.

Each starts from the same fresh model, so that rounding in one does not decide what another sees,
and from golden/texts.json: texts of the embedded world, copied, so that a better world moves
nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from stand_in import StandIn

from heed.data.comparisons import each_by_itself
from heed.losses.kl import KL_LOSSES, kl_penalty
from heed.losses.policy import LOG_RATIOS, aggregations, ppo_clip
from heed.losses.preference import PREFERENCE_LOSSES
from heed.models.adapters import OWN, adapter_weights
from heed.models.heads import ValueModel
from heed.models.language_model import (
    LanguageModel,
    attach_lora,
    new_language_model,
    save_language_model,
)
from heed.models.modes import seeded
from heed.models.reference import Reference
from heed.models.reward_model import (
    RewardModel,
    new_reward_model,
    on_shared_base,
    save_reward_model,
    with_adapter,
)
from heed.models.rows import answer_rows, demonstration_rows, pair_rows
from heed.ops.batch import laid_out
from heed.ops.order import Order
from heed.policies.ahead import Ahead
from heed.policies.dpo import dpo, with_reference
from heed.policies.grpo import grpo
from heed.policies.kl_control import KlController
from heed.policies.kto import kto
from heed.policies.kto import with_reference as kto_reference
from heed.policies.policy_gradient import Baseline, PolicyGradient, Surrogate
from heed.policies.ppo import Critic
from heed.policies.reinforce import reinforce
from heed.policies.rejection import RejectionSampling, Selection
from heed.policies.reward_conditioned import conditioned, levels_of
from heed.policies.rloo import rloo
from heed.policies.sft import sft
from heed.recipe import LOSSES, LossName
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.confident import Confident
from heed.rewards.learned import LearnedReward
from heed.rewards.plackett_luce import Ranked, ranking_modelling, ranking_rows
from heed.rewards.process import Solution, step_modelling, step_rows
from heed.sampling.local import LocalSampler
from heed.types import Comparison, Completion, Demonstration, Prompt
from heed.world.grammar import tokens
from heed.world.tokenizer import build_tokenizer

STEPS = 20
SIZES = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "initializer_range": 0.1,
}
TEXTS = json.loads((Path(__file__).parent / "golden" / "texts.json").read_text())
DEMONSTRATIONS = [Demonstration(Prompt.of(asked), text) for asked, text in TEXTS["demonstrations"]]
PREFERENCES = [
    Comparison(Prompt.of(asked), chosen, rejected, margin)
    for asked, chosen, rejected, margin in TEXTS["comparisons"]
]


def policy() -> LanguageModel:
    texts = [part for rows in TEXTS.values() for row in rows for part in row]
    words = {word for text in texts if isinstance(text, str) for word in tokens(text)}
    return new_language_model(build_tokenizer(sorted(words)), SIZES, seed=0)


def reward_model(folder: Path) -> RewardModel:
    save_language_model(policy(), folder)
    return new_reward_model(folder, device="cpu", dtype="float32", seed=1)


def imitation(folder: Path) -> Any:
    lm = policy()
    rows = demonstration_rows(lm.chat, DEMONSTRATIONS, 64)
    return sft(lm, rows, Order(len(rows), 16, 0))


def packed_imitation(folder: Path) -> Any:
    """The steps of `imitation`: what is packed differs by rounding alone."""
    lm = policy()
    rows = laid_out(demonstration_rows(lm.chat, DEMONSTRATIONS, 64), True)
    return sft(lm, rows, Order(len(rows), 16, 0))


def reward(folder: Path) -> Any:
    model = reward_model(folder)
    rows = pair_rows(model.chat, PREFERENCES, 64)
    return reward_modelling(model, rows, Order(len(rows), 16, 0))


def confident_reward(folder: Path) -> Any:
    model = reward_model(folder)
    rows = pair_rows(model.chat, PREFERENCES, 64)
    return Confident(model, rows, Order(len(rows), 16, 0), alpha=0.5, warmup=4.0)


def direct(folder: Path) -> Any:
    lm = policy()
    rows = with_reference(pair_rows(lm.chat, PREFERENCES, 64), Reference(lm), 1000)
    return dpo(lm, rows, Order(len(rows), 16, 0), PREFERENCE_LOSSES["dpo"], 0.5)


def of_the_family(name: LossName) -> Callable[[Path], Any]:
    """A preference loss with the recipe's defaults."""

    def make(folder: Path) -> Any:
        lm, facts = policy(), LOSSES[name]
        rows = pair_rows(lm.chat, PREFERENCES, 64)
        return dpo(
            lm,
            with_reference(rows, Reference(lm), 1000) if facts.reference else rows,
            Order(len(rows), 16, 0),
            partial(PREFERENCE_LOSSES[name], **facts.own),
            facts.beta,
            sft_coef=facts.sft_coef,
            per_token=facts.per_token,
        )

    return make


def unpaired(folder: Path) -> Any:
    lm = policy()
    rows = answer_rows(lm.chat, each_by_itself(PREFERENCES), 64)
    return kto(
        lm,
        kto_reference(rows, Reference(lm), 1000),
        Order(len(rows), 16, 0),
        beta=0.5,
        desirable_coef=1.0,
        undesirable_coef=0.9,
        micro_tokens=300,
    )


def asks(completions: Sequence[Completion]) -> list[float]:
    return [float("?" in item.text) for item in completions]


def ending_policy() -> LanguageModel:
    """A fresh model would hardly ever end an answer."""
    lm = policy()
    head = lm.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[lm.chat.eos_id] = 4.5
    return lm


Models = tuple[LanguageModel, RewardModel, ValueModel]


def each_its_own(folder: Path) -> Models:
    model = reward_model(folder)
    return ending_policy(), model, ValueModel.from_reward_model(model)


def on_one_base(folder: Path) -> Models:
    lm = attach_lora(ending_policy(), rank=4, alpha=8.0)
    reward = with_adapter(reward_model(folder), rank=2, alpha=8.0, seed=1)
    with seeded(2), torch.no_grad():
        for weight in adapter_weights(reward.model, OWN):
            weight.add_(torch.randn_like(weight), alpha=0.1)
    save_reward_model(reward, folder / "reward")
    value = ValueModel.on_shared_base(lm, folder / "reward")
    return lm, on_shared_base(lm, folder / "reward", "reward"), value


def on_policy(
    folder: Path,
    baseline: Baseline | None = None,
    models: Callable[[Path], Models] = each_its_own,
    **more: Any,
) -> Any:
    """PPO, or another baseline; `more` goes to Surrogate, the rest of ppo_clip as named."""
    lm, model, value = models(folder)
    clip = {"clip_low": 0.2, "clip_high": 0.2}
    settings = {
        "rollouts": 16,
        "epochs": 2,
        "minibatches": 2,
        "policy_loss": partial(ppo_clip, **clip),
        "entropy_coef": 0.01,
        "missing_eos": -1.0,
        "temperature": 0.9,
        "micro_tokens": 200,
    }
    critic = Critic(
        value,
        gamma=1.0,
        lam=0.95,
        clip=0.2,
        coef=0.1,
        whiten_rewards=False,
        micro_tokens=200,
    )
    return PolicyGradient(
        lm,
        baseline or critic,
        sampler=LocalSampler(lm, max_new_tokens=12, temperature=0.9),
        prompts=[item.prompt for item in DEMONSTRATIONS],
        reward=LearnedReward(model, context=128),
        reference=Reference(lm),
        kl=KlController(0.1, target=0.05, horizon=200),
        surrogate=Surrogate(**{**settings, **more}),
        seed=0,
        watch={"questions": asks},
    )


def one_step_behind(folder: Path) -> Any:
    method = on_policy(folder)
    method.ahead = Ahead(StandIn(method.sampler), iterations=STEPS, cap=1.05)  # type: ignore[arg-type]
    return method


def leave_one_out(folder: Path) -> Any:
    return on_policy(folder, rloo(4), group=4)


def group_relative(
    folder: Path, *, std: bool, ratio: str, over: str, kl: str, clip: tuple[float, float]
) -> Any:
    aggregate = aggregations(12)[over]
    low, high = clip
    return on_policy(
        folder,
        grpo(8, std=std),
        group=8,
        policy_loss=partial(
            ppo_clip, clip_low=low, clip_high=high, log_ratio=LOG_RATIOS[ratio], aggregate=aggregate
        ),
        kl_loss=partial(kl_penalty, estimate=KL_LOSSES[kl], aggregate=aggregate),
    )


def whitened(folder: Path) -> Any:
    return on_policy(folder, reinforce(1))


def ranking(folder: Path) -> Any:
    model = reward_model(folder)
    others = [*PREFERENCES[1:], PREFERENCES[0]]
    ranked = [
        Ranked(one.prompt, (one.rejected, one.chosen, other.rejected), (2, 1, 2 + place % 2))
        for place, (one, other) in enumerate(zip(PREFERENCES, others, strict=True))
    ]
    rows = ranking_rows(model.chat, ranked, 64)
    return ranking_modelling(model, rows, Order(len(rows), 16, 0))


def rejection(folder: Path) -> Any:
    lm, model = policy(), reward_model(folder)
    head = lm.model.get_output_embeddings()  # a fresh model would hardly ever end an answer
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[lm.chat.eos_id] = 4.5
    return RejectionSampling(
        lm,
        sampler=LocalSampler(lm, max_new_tokens=12, temperature=0.9),
        prompts=[item.prompt for item in DEMONSTRATIONS],
        reward=LearnedReward(model, context=128),
        reference=Reference(lm),
        selection=Selection(
            prompts=16,
            candidates=4,
            epochs=2.0,
            batch=8,
            missing_eos=-1.0,
            temperature=0.9,
            micro_tokens=200,
        ),
        seed=0,
        watch={"questions": asks},
    )


def process(folder: Path) -> Any:
    model = reward_model(folder)
    solutions = [
        Solution(each.prompt, (each.chosen, each.rejected, each.chosen), (True, False, True))
        for each in PREFERENCES
    ]
    rows = step_rows(model.chat, solutions, "\n", 100)
    return step_modelling(model, rows, Order(len(rows), 16, 0))


def reward_conditioned(folder: Path) -> Any:
    lm = policy()
    samples = [Completion(item.prompt, item.text) for item in DEMONSTRATIONS]
    scores = [float(len(item.text.split())) for item in samples]
    answers = conditioned(samples, levels_of(scores, 3), "Yes. {}".format)
    rows = demonstration_rows(lm.chat, answers, 64)
    return sft(lm, rows, Order(len(rows), 16, 0))


def drawing(seed: int, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The method with answers drawn by another seed: one by which no draw is a close one, where
    rounding would decide between two tokens (`test_golden.NEAREST`).
    """

    def made(folder: Path) -> Any:
        method = make(folder)
        method.seed = seed
        return method

    return made


METHODS: dict[str, tuple[Callable[[Path], Any], float]] = {
    "sft": (imitation, 3e-3),
    "sft_packed": (packed_imitation, 3e-3),
    "reward": (reward, 3e-3),
    "reward_confident": (confident_reward, 3e-3),
    "dpo": (direct, 1e-3),
    **{name: (of_the_family(name), 1e-3) for name in LOSSES if name != "dpo"},
    "kto": (unpaired, 1e-3),
    "ppo": (drawing(10, on_policy), 1e-3),
    "ppo_shared_base": (drawing(10, partial(on_policy, models=on_one_base)), 3e-3),
    "ppo_ahead": (drawing(4, one_step_behind), 1e-3),
    "rloo": (drawing(6, leave_one_out), 1e-3),
    "grpo": (
        partial(
            group_relative, std=True, ratio="token", over="sequence", kl="k3", clip=(0.2, 0.28)
        ),
        1e-3,
    ),
    "dr_grpo": (
        partial(
            group_relative,
            std=False,
            ratio="token",
            over="constant",
            kl="k2_sequence",
            clip=(0.2, 0.2),
        ),
        1e-3,
    ),
    "gspo": (
        drawing(
            1,
            partial(
                group_relative,
                std=True,
                ratio="sequence",
                over="sequence",
                kl="k3_sequence",
                clip=(3e-3, 4e-3),
            ),
        ),
        1e-3,
    ),
    "reinforce": (whitened, 1e-3),
    "plackett_luce": (ranking, 3e-3),
    "rejection": (drawing(58, rejection), 1e-3),
    "process_reward": (process, 3e-3),
    "reward_conditioned": (reward_conditioned, 3e-3),
}
