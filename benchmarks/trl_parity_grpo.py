"""TRL's GRPO and RLOO on a fixed batch, as JSON, for tests/losses/trl_parity_grpo.json.

Runs in an environment of TRL's own, since Heed does not depend on TRL:

    python3 -m venv trl-env && trl-env/bin/pip install torch==2.13.0 trl==1.16.0
    trl-env/bin/python benchmarks/trl_parity_grpo.py > tests/losses/trl_parity_grpo.json

Nothing is drawn at random: the models are Llamas whose weights are sines of an index, and the
trainers are handed answers in place of sampling them. Advantages are those that the trainers make
of the rewards; losses and gradients are of a policy that has moved from the one that sampled.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

COMMAND = "trl-env/bin/python benchmarks/trl_parity_grpo.py > tests/losses/trl_parity_grpo.json"
LLAMA = {
    "vocab_size": 24,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WEIGHTS = "parameter k in sorted order, element i: .3 sin(phase + k + .7 i), plus 1 for vectors"
PHASES = {"policy": 0.0, "old": 0.25, "reference": 0.4}
GROUP = 3
BETA = 0.3
LONGEST = 6
CLIP = {"epsilon": 0.2, "epsilon_high": 0.28}
ANSWERS: list[dict[str, Any]] = [
    {"prompt_ids": [1, 5, 6], "ids": [7, 8, 9, 2], "reward": 1.0},
    {"prompt_ids": [1, 5, 6], "ids": [10, 2], "reward": 0.0},
    {"prompt_ids": [1, 5, 6], "ids": [3, 4, 3, 4, 11, 2], "reward": 2.5},
    {"prompt_ids": [1, 11], "ids": [12, 2], "reward": -1.0},
    {"prompt_ids": [1, 11], "ids": [13, 14, 15, 2], "reward": 0.5},
    {"prompt_ids": [1, 11], "ids": [2], "reward": 0.25},
    {"prompt_ids": [1, 16, 17, 18, 5], "ids": [19, 20, 2], "reward": 0.1},
    {"prompt_ids": [1, 16, 17, 18, 5], "ids": [21, 22, 23, 7, 2], "reward": 0.1},
    {"prompt_ids": [1, 16, 17, 18, 5], "ids": [3, 2], "reward": 0.1},
]
TEXTS = [""] * len(ANSWERS)
VARIANTS: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo"},
    "grpo_tokens": {"loss_type": "bnpo"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "gspo": {
        "loss_type": "grpo",
        "importance_sampling_level": "sequence",
        "epsilon": 0.02,
        "epsilon_high": 0.03,
    },
}


def sines(phase: float) -> LlamaForCausalLM:
    """A Llama with the weights that `WEIGHTS` says."""
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    with torch.no_grad():
        for k, (_, parameter) in enumerate(sorted(model.named_parameters())):
            index = torch.arange(parameter.numel(), dtype=torch.float64)
            wave = 0.3 * torch.sin(phase + k + 0.7 * index) + (parameter.ndim == 1)
            parameter.copy_(wave.view_as(parameter))
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    """TRL asks for one, though the answers come as ids."""
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, 24)}}
    backend = Tokenizer(WordLevel(words, unk_token="w3"))
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def arguments(folder: str) -> dict[str, Any]:
    """Settings that both trainers share: CPU, float32, nothing logged or saved."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": len(ANSWERS),
        "per_device_eval_batch_size": len(ANSWERS),
        "num_generations": GROUP,
        "num_generations_eval": GROUP,
        "max_completion_length": LONGEST,
        **CLIP,
        "beta": 0.0,  # set later: with a beta the trainer would load a reference by name
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
    }


def rewards(**_: Any) -> list[float]:
    """What each answer gets."""
    return [answer["reward"] for answer in ANSWERS]


def scored(trainer: Any, *rest: Any) -> dict[str, Any]:
    """The trainer's own batch of `ANSWERS`, with its advantages, none of them sampled.

    `rest` is what its `_generate` returns beside the ids.
    """
    ids = [[answer[name] for answer in ANSWERS] for name in ("prompt_ids", "ids")]
    trainer._generate = lambda prompts: (*ids, *rest)
    return dict(trainer._generate_and_score_completions([{"prompt": "w5"}] * len(ANSWERS)))


def logprobs(trainer: Any, phase: float, batch: dict[str, Any]) -> torch.Tensor:
    """Of the answers' tokens with other weights, by the trainer's own forward."""
    own = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.model.load_state_dict(sines(phase).state_dict())
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    with torch.no_grad():
        found = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, batch["completion_ids"].size(1)
        )
    trainer.model.load_state_dict(own)
    return found[0]


def measured(trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Advantages, loss, and norm and sum of each parameter's gradient."""
    model = trainer.model.eval()
    model.zero_grad()
    loss = trainer._compute_loss(model, batch)
    loss.backward()
    gradients = {
        name: [p.grad.norm().item(), p.grad.sum().item()]
        for name, p in sorted(model.named_parameters())
    }
    return {
        "advantages": batch["advantages"].tolist(),
        "loss": loss.item(),
        "gradients": gradients,
    }


def grpo(folder: str, **settings: Any) -> dict[str, Any]:
    """GRPO and its kin, with and without k3 of tokens as a loss."""
    trainer = GRPOTrainer(
        model=sines(PHASES["policy"]),
        reward_funcs=rewards,
        # TRL weighs its KL by the ratio of tokens, unless told to follow the paper.
        args=GRPOConfig(**{**arguments(folder), **settings}, use_bias_correction_kl=False),
        train_dataset=Dataset.from_list([{"prompt": "w5"}]),
        processing_class=tokenizer(),
    )
    trainer.model.eval()
    batch = scored(trainer, None, TEXTS, None, {}, None, None)
    batch["old_per_token_logps"] = logprobs(trainer, PHASES["old"], batch)
    batch["ref_per_token_logps"] = logprobs(trainer, PHASES["reference"], batch)
    found = {}
    for beta in (0.0, BETA):
        trainer.beta = beta
        found[f"beta_{beta}"] = measured(trainer, batch)
    return found


def rloo(folder: str) -> dict[str, Any]:
    """RLOO's advantages (its loss clips the ratio of whole answers, which Heed does not offer)."""
    trainer = RLOOTrainer(
        model=sines(PHASES["policy"]),
        reward_funcs=rewards,
        args=RLOOConfig(**arguments(folder), normalize_advantages=False),
        train_dataset=Dataset.from_list([{"prompt": "w5"}]),
        processing_class=tokenizer(),
    )
    trainer.model.eval()
    return {"advantages": scored(trainer, TEXTS)["advantages"].tolist()}


def main() -> None:
    """Print the inputs and what TRL made of them."""
    with tempfile.TemporaryDirectory() as folder:
        expected = {name: grpo(folder, **settings) for name, settings in VARIANTS.items()}
        expected["rloo"] = rloo(folder)
    record = {
        "command": COMMAND,
        "versions": {name: version(name) for name in ("trl", "torch", "transformers")},
        "llama": LLAMA,
        "weights": WEIGHTS,
        "phases": PHASES,
        "group": GROUP,
        "beta": BETA,
        "longest": LONGEST,
        "clip": CLIP,
        "answers": ANSWERS,
        "variants": VARIANTS,
        "expected": expected,
    }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
