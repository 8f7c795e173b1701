"""Shared by all tests: shape checks in the maths, no network, a toy language and tiny runs.

Fixtures that load torch do so when they are asked for: many tests here never need it.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

import jaxtyping
import pytest

# A shell starts what runs behind it with Ctrl-C ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Every shape annotation in the pure maths is checked while tests run, and only then.
jaxtyping.install_import_hook(["heed.ops", "heed.losses"], "beartype.beartype")

if TYPE_CHECKING:
    from heed.models.language_model import LanguageModel
    from heed.run import StageRun
    from heed.types import Completion, Prompt

WORDS = ("yes", "no", "maybe", "good", "bad", "red", "green", "blue", "one", "two", "?")
TOY = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
ARCHITECTURE = (
    "{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, "
    "num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 128, "
    "tie_word_embeddings: true}"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-write", action="store_true", help="Write the golden runs' numbers anew."
    )


@pytest.fixture(scope="session")
def toy_tokenizer() -> Any:
    """A word-level tokenizer of eleven words that writes conversations in the default form."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<eos>", "<unk>", "Human:", "Assistant:", *WORDS]
    raw = Tokenizer(WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


@pytest.fixture
def toy_lm(toy_tokenizer: Any) -> Callable[..., LanguageModel]:
    """A Llama of width 16 and one layer, its distributions far from flat; `ends` is what is added
    to the logit of the end of sequence.
    """
    import torch

    from heed.models.language_model import new_language_model

    def make(seed: int = 0, *, ends: float = 0.0, **more: Any) -> LanguageModel:
        lm = new_language_model(toy_tokenizer, {**TOY, **more}, seed)
        if ends:
            head = lm.model.get_output_embeddings()
            head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
            head.bias.data[lm.chat.eos_id] = ends
        return lm

    return make


@pytest.fixture
def toy_prompts() -> list[Prompt]:
    from heed.types import Prompt

    texts = ("good ?", "bad ?", "red green ?", "one two one ?", "blue ?", "maybe ?")
    return [Prompt.of(text, family=text.split()[0]) for text in texts]


@pytest.fixture
def share_of() -> Callable[[str], Callable[[Sequence[Completion]], list[float]]]:
    """A RewardFn: which share of a completion's words is the given one."""

    def make(word: str) -> Callable[[Sequence[Completion]], list[float]]:
        def reward(completions: Sequence[Completion]) -> list[float]:
            found = [item.text.split() for item in completions]
            return [words.count(word) / max(1, len(words)) for words in found]

        return reward

    return make


@pytest.fixture
def toy_ppo(toy_prompts: list[Prompt], share_of: Any) -> Callable[..., Any]:
    """PPO with a critic on a toy policy, or another `baseline`; `more` goes to Surrogate."""
    from functools import partial

    from heed.losses.policy import ppo_clip
    from heed.models.heads import ValueModel
    from heed.models.reference import Reference
    from heed.policies.kl_control import KlController
    from heed.policies.policy_gradient import PolicyGradient, Surrogate
    from heed.policies.ppo import Critic
    from heed.sampling.local import LocalSampler

    settings: dict[str, Any] = {"rollouts": 12, "epochs": 2, "minibatches": 2}
    settings |= {"policy_loss": partial(ppo_clip, clip_low=0.2, clip_high=0.2)}
    settings |= {"entropy_coef": 0.0, "missing_eos": 0.0, "temperature": 1.0}
    settings |= {"micro_tokens": 100}

    def make(
        lm: LanguageModel,
        *,
        baseline: Any = None,
        kl: Any = None,
        reward: Any = None,
        whiten_rewards: bool = False,
        **more: Any,
    ) -> Any:
        surrogate = Surrogate(**{**settings, **more})
        critic = Critic(
            ValueModel.from_language_model(lm),
            gamma=1.0,
            lam=0.95,
            clip=0.2,
            coef=0.1,
            whiten_rewards=whiten_rewards,
            micro_tokens=200,
        )
        sampler = LocalSampler(lm, max_new_tokens=6, temperature=surrogate.temperature)
        return PolicyGradient(
            lm,
            baseline or critic,
            sampler=sampler,
            prompts=toy_prompts,
            reward=reward or share_of("yes"),
            reference=Reference(lm),
            kl=kl or KlController(0.05),
            surrogate=surrogate,
            seed=3,
            watch={"noes": share_of("no")},
        )

    return make


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., StageRun]:
    """A training stage's folder, ready to be written to; settings as `optim=..., keep=...`."""
    from heed.recipe import Optimisation, Sft
    from heed.run import StageRun

    def make(folder: str = "run", *, writes: bool = True, **settings: Any) -> StageRun:
        optim = Optimisation(**settings.pop("optim", {}))
        stage = Sft(name="sft", optim=optim, **settings)
        run = tmp_path / folder
        placed = StageRun(stage, "key", run / "sft", run, writes)
        placed.start()
        return placed

    return make


@pytest.fixture(scope="session")
def tiny_settings() -> list[str]:
    """Overrides that make `quickstart` a run of seconds."""
    sampling = "sampling.max_new_tokens=20"
    return [
        "threads=1",
        *("records.corpus=600", "records.demonstrations=64"),
        *(f"pretrain.architecture={ARCHITECTURE}", "pretrain.batch=32", "pretrain.epochs=4"),
        *("pretrain.optim.lr=0.01", "sft.epochs=1", "sft.optim.lr=0.003"),
        *("collect.comparisons=48", "collect.heldout=32", f"collect.{sampling}"),
        *(
            "reward.batch=16",
            "reward.epochs=1",
            "dpo.epochs=1",
            "reward.calibration=32",
            f"reward.{sampling}",
        ),
        *("ppo.iterations=4", "ppo.rollouts=16", f"ppo.{sampling}"),
        *("dpo.batch=16", "evaluate.samples=8", "evaluate.seen=24", "evaluate.opinions=1"),
        f"evaluate.{sampling}",
        *("leash_off.iterations=8", "leash_off.rollouts=16", f"leash_off.{sampling}"),
        *("overoptimisation.samples=4", f"overoptimisation.{sampling}"),
    ]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str]) -> Path:
    """The whole quickstart in miniature, run once; tests that change it take `run_copy`."""
    from heed.cli.run import carry_out
    from heed.config import load_recipe

    directory = tmp_path_factory.mktemp("runs") / "quickstart"
    carry_out(load_recipe("quickstart", tiny_settings), directory, fresh=False)
    return directory


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that learning tests begin from (see small_base.py): minutes, once."""
    from small_base import run_stages

    return run_stages("", tmp_path_factory.mktemp("small"))


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A finished run to change."""
    return shutil.copytree(finished_run, tmp_path / "quickstart")
