"""TRL's DPO and Bradley-Terry losses on a fixed batch, as JSON, for tests/losses/trl_parity.json.

Runs in an environment of TRL's own, since Heed does not depend on TRL:

    python3 -m venv trl-env && trl-env/bin/pip install torch==2.13.0 trl==1.16.0
    trl-env/bin/python benchmarks/trl_parity.py > tests/losses/trl_parity.json

Nothing is drawn at random: the models are Llamas whose weights are sines of an index, so that
tests/losses/test_trl_parity.py can build them again and hold Heed's losses against these numbers.
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
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

COMMAND = "trl-env/bin/python benchmarks/trl_parity.py > tests/losses/trl_parity.json"
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
PHASES = {"policy": 0.0, "reference": 0.4, "reward": 0.8}
BETA = 0.5
PAIRS: list[dict[str, Any]] = [
    {"prompt_ids": [1, 5, 6], "chosen_ids": [7, 8, 9, 2], "rejected_ids": [10, 2], "margin": 1.0},
    {"prompt_ids": [1, 11], "chosen_ids": [12, 2], "rejected_ids": [13, 14, 15, 2], "margin": 0.0},
    {
        "prompt_ids": [1, 16, 17, 18, 5],
        "chosen_ids": [19, 20, 21, 22, 23, 2],
        "rejected_ids": [3, 2],
        "margin": 2 / 3,
    },
    {"prompt_ids": [1, 4], "chosen_ids": [2], "rejected_ids": [7, 7, 7, 7, 7, 7], "margin": 1 / 3},
]


def fill(model: PreTrainedModel, phase: float) -> PreTrainedModel:
    """Give every parameter the values that `WEIGHTS` says."""
    with torch.no_grad():
        for k, (_, parameter) in enumerate(sorted(model.named_parameters())):
            index = torch.arange(parameter.numel(), dtype=torch.float64)
            wave = 0.3 * torch.sin(phase + k + 0.7 * index) + (parameter.ndim == 1)
            parameter.copy_(wave.view_as(parameter))
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    """TRL asks for one, though the batch comes as ids."""
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
        "per_device_train_batch_size": len(PAIRS),
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
    }


def dpo_loss(folder: str) -> dict[str, float]:
    """`DPOTrainer.compute_loss` (sigmoid loss, no label smoothing) on `PAIRS`."""
    trainer = DPOTrainer(
        model=fill(LlamaForCausalLM(LlamaConfig(**LLAMA)), PHASES["policy"]),
        ref_model=fill(LlamaForCausalLM(LlamaConfig(**LLAMA)), PHASES["reference"]),
        args=DPOConfig(beta=BETA, loss_type="sigmoid", **arguments(folder)),
        # Only there to build the trainer.
        train_dataset=Dataset.from_list([{"prompt": "w5", "chosen": " w6", "rejected": " w7"}]),
        processing_class=tokenizer(),
    )
    batch = trainer.data_collator([{k: v for k, v in p.items() if k != "margin"} for p in PAIRS])
    loss = trainer.compute_loss(trainer.model.eval(), batch)
    seen = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    return {
        "loss": loss.item(),
        "accuracy": seen["rewards/accuracies"],
        "reward_margin": seen["rewards/margins"],
        "chosen_reward": seen["rewards/chosen"],
        "rejected_reward": seen["rewards/rejected"],
        "mean_chosen_logprob": seen["logps/chosen"],
        "mean_rejected_logprob": seen["logps/rejected"],
    }


def bradley_terry_loss(folder: str, *, margin: bool) -> dict[str, float]:
    """`RewardTrainer.compute_loss` on `PAIRS`, prompt and answer end to end."""
    rows = [
        {
            "chosen_ids": pair["prompt_ids"] + pair["chosen_ids"],
            "rejected_ids": pair["prompt_ids"] + pair["rejected_ids"],
            **({"margin": pair["margin"]} if margin else {}),
        }
        for pair in PAIRS
    ]
    model = fill(
        LlamaForSequenceClassification(LlamaConfig(num_labels=1, **LLAMA)), PHASES["reward"]
    )
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**arguments(folder)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(),
    )
    loss = trainer.compute_loss(trainer.model.eval(), trainer.data_collator(rows))
    seen = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
    return {"loss": loss.item(), "accuracy": seen["accuracy"], "gap": seen["margin"]}


def main() -> None:
    """Print the inputs and what TRL made of them."""
    with tempfile.TemporaryDirectory() as folder:
        expected = {
            "dpo": dpo_loss(folder),
            "bradley_terry": bradley_terry_loss(folder, margin=False),
            "bradley_terry_margin": bradley_terry_loss(folder, margin=True),
        }
    record = {
        "command": COMMAND,
        "versions": {name: version(name) for name in ("trl", "torch", "transformers")},
        "llama": LLAMA,
        "weights": WEIGHTS,
        "phases": PHASES,
        "beta": BETA,
        "pairs": PAIRS,
        "expected": expected,
    }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
