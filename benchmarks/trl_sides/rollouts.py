"""Rollouts by transformers: `generate` on the left-padded batch, as TRL's trainers call it.

    python -m benchmarks.trl_sides.rollouts SPECIFICATION

See `benchmarks.heed_sides.rollouts` for what is given. In bfloat16 the weights are.
"""

from __future__ import annotations

import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from benchmarks.serving import Stage


def main(stage: Stage) -> None:
    given = stage.given
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    words = AutoTokenizer.from_pretrained(given["model"], padding_side="left")
    dtype = getattr(torch, given["precision"])
    model = AutoModelForCausalLM.from_pretrained(given["model"], dtype=dtype).eval()
    greedy = True
    for one in stage.rounds(threads=torch.get_num_threads()):
        clocks, counts, said = {}, {}, {}
        for name, texts in given["prompts"].items():
            began = time.perf_counter()
            batch = words(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            chosen = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0,
                                                          "top_k": 0, "top_p": 1.0}  # fmt: skip
            with torch.no_grad():
                out = model.generate(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                    max_new_tokens=given["longest"], pad_token_id=words.pad_token_id,
                    eos_token_id=words.eos_token_id, **chosen,
                )  # fmt: skip
            ids = out[:, batch["input_ids"].shape[1] :].tolist()
            answers = [_ended(row, words.eos_token_id) for row in ids]
            words.batch_decode(answers)
            clocks[name] = time.perf_counter() - began
            counts[name] = sum(map(len, answers))
            said[name] = answers if greedy else []
        greedy = False
        one.said.update(clocks=clocks, counts=counts, answers=said)


def _ended(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row


if __name__ == "__main__":
    main(Stage.of_arguments())
