"""TRL's preference and reward losses on a fixed batch, as JSON, for tests/losses/trl_parity.json.

Runs in an environment of TRL's own, since Heed does not depend on TRL:

    python3 -m venv trl-env && trl-env/bin/pip install torch==2.13.0 trl==1.16.0
    trl-env/bin/python benchmarks/trl_parity.py > tests/losses/trl_parity.json

Nothing is drawn at random: the models are Llamas whose weights are sines of an index, so that
tests/losses/test_trl_parity.py can build them again and hold Heed's losses, and the gradients that
they give the policy, against these numbers. TRL 1.16 keeps DPO's family and KTO among its trainers,
CPO (with SLiC's hinge, and SimPO) and ORPO under trl.experimental. Its DPO has lost label
smoothing, which CPO has: conservative DPO is compared without a reference. It has no DPO with an
offset, and IPO only on log-ratios a token.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.metadata import version
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

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
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

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


ENTRIES = (0, 5, 15)
"""Which elements of these parameters' gradients are kept, counted flat."""
PARAMETERS = (
    "lm_head.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.mlp.down_proj.weight",
    "model.norm.weight",
)
ROWS = Dataset.from_list([{"prompt": "w5", "chosen": " w6", "rejected": " w7"}])
"""Only there to build a trainer."""


def causal(phase: str) -> LlamaForCausalLM:
    return fill(LlamaForCausalLM(LlamaConfig(**LLAMA)), PHASES[phase]).eval()


def gradient(model: PreTrainedModel, loss: torch.Tensor) -> dict[str, Any]:
    """The loss, the norm of its gradient and some of its entries."""
    model.zero_grad()
    loss.backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    norm = torch.stack([grad.square().sum() for grad in found.values()]).sum().sqrt()
    return {
        "loss": loss.item(),
        "gradient_norm": norm.item(),
        "gradient": {name: [found[name].flatten()[i].item() for i in ENTRIES]
                     for name in PARAMETERS},
    }  # fmt: skip


def dpo_loss(folder: str, loss_type: str, beta: float, **own: float) -> dict[str, Any]:
    """`DPOTrainer.compute_loss` on `PAIRS`."""
    trainer = DPOTrainer(
        model=causal("policy"),
        ref_model=causal("reference"),
        args=DPOConfig(beta=beta, loss_type=loss_type, **own, **arguments(folder)),
        train_dataset=ROWS,
        processing_class=tokenizer(),
    )
    batch = trainer.data_collator([{k: v for k, v in p.items() if k != "margin"} for p in PAIRS])
    found = gradient(trainer.model.eval(), trainer.compute_loss(trainer.model, batch))
    if loss_type == "sigmoid":
        seen = {name: values[-1] for name, values in trainer._metrics["eval"].items()}
        found["measured"] = {
            "accuracy": seen["rewards/accuracies"],
            "reward_margin": seen["rewards/margins"],
            "chosen_reward": seen["rewards/chosen"],
            "rejected_reward": seen["rewards/rejected"],
            "mean_chosen_logprob": seen["logps/chosen"],
            "mean_rejected_logprob": seen["logps/rejected"],
        }
    return found


def side(name: str) -> dict[str, torch.Tensor]:
    """One side of `PAIRS` as CPO's and ORPO's trainers want it."""
    rows = [(pair["prompt_ids"], pair[f"{name}_ids"]) for pair in PAIRS]
    width = max(len(prompt) + len(answer) for prompt, answer in rows)

    def padded(row: list[int], pad: int) -> list[int]:
        return row + [pad] * (width - len(row))

    return {
        f"{name}_input_ids": torch.tensor([padded(p + a, 0) for p, a in rows]),
        f"{name}_attention_mask": torch.tensor([padded([1] * len(p + a), 0) for p, a in rows]),
        f"{name}_labels": torch.tensor([padded([-100] * len(p) + a, -100) for p, a in rows]),
    }


def without_reference(kind: Any, config: Any, folder: str, **own: Any) -> dict[str, Any]:
    """`get_batch_loss_metrics` of CPO's or ORPO's trainer on `PAIRS`."""
    trainer = kind(
        model=causal("policy"),
        args=config(**own, **arguments(folder)),
        train_dataset=ROWS,
        processing_class=tokenizer(),
    )
    batch = {**side("chosen"), **side("rejected")}
    loss, _ = trainer.get_batch_loss_metrics(trainer.model.eval(), batch)
    return gradient(trainer.model, loss)


def kto_loss(folder: str, model: str, reference: str) -> dict[str, Any]:
    """`KTOTrainer.compute_loss` on the chosen and rejected answers of `PAIRS`, each by itself.

    The answer under another row's prompt is that of two rows before, of the pair before.
    """
    rows = [
        {"prompt_ids": pair["prompt_ids"], "completion_ids": pair[f"{name}_ids"], "label": good}
        for pair in PAIRS
        for name, good in (("chosen", True), ("rejected", False))
    ]
    for place, row in enumerate(rows):
        row["KL_completion_ids"] = rows[place - 2]["completion_ids"]
    shared = {**arguments(folder), "per_device_train_batch_size": len(rows)}
    trainer = KTOTrainer(
        model=causal(model),
        ref_model=causal(reference),
        args=KTOConfig(beta=BETA, desirable_weight=1.25, undesirable_weight=0.75, **shared),
        train_dataset=Dataset.from_list(
            [{"prompt": "w5", "completion": " w6", "label": True},
             {"prompt": "w8", "completion": " w7", "label": False}]
        ),
        processing_class=tokenizer(),
    )  # fmt: skip
    loss = trainer.compute_loss(trainer.model.eval(), trainer.data_collator(rows))
    return {**gradient(trainer.model, loss), "baseline": trainer._metrics["eval"]["kl"][-1]}


def preference_losses(folder: str) -> dict[str, dict[str, Any]]:
    """By Heed's names: what TRL makes of each, and the hyperparameters it was given."""
    cpo = (CPOTrainer, CPOConfig, folder)
    plain = {"cpo_alpha": 0.0}
    return {
        "dpo": dpo_loss(folder, "sigmoid", BETA),
        "dpo_norm": dpo_loss(folder, "sigmoid_norm", BETA),
        "robust": dpo_loss(folder, "robust", BETA, label_smoothing=0.2),
        "ipo_norm": dpo_loss(folder, "ipo", BETA),
        "hinge": dpo_loss(folder, "hinge", BETA),
        "cdpo": without_reference(*cpo, beta=BETA, label_smoothing=0.2, **plain),
        "slic": without_reference(*cpo, beta=BETA, loss_type="hinge", cpo_alpha=0.25),
        "cpo": without_reference(*cpo, beta=BETA, cpo_alpha=0.25),
        "simpo": without_reference(*cpo, beta=BETA, loss_type="simpo", simpo_gamma=0.75, **plain),
        "orpo": without_reference(ORPOTrainer, ORPOConfig, folder, beta=BETA),
        # z0 is positive one way round and cut at 0 the other.
        "kto": kto_loss(folder, "policy", "reference"),
        "kto_swapped": kto_loss(folder, "reference", "policy"),
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
            **preference_losses(folder),
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
        "entries": ENTRIES,
        "pairs": PAIRS,
        "expected": expected,
    }
    json.dump(record, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
