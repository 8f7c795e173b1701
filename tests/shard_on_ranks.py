"""Two optimiser steps of a small Llama, sharded, every tensor and every byte sent counted.

    torchrun --standalone --nproc-per-node 2 tests/shard_on_ranks.py WIDTH FILE

WIDTH is the bytes of a gathered weight, 4 or 2. The first rank writes what the second step held at
its fullest and what it sent, as JSON.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from transformers import AutoConfig, AutoModelForCausalLM

from heed.models.sharding import shard
from heed.planning.shapes import SHAPES

CONFIG = {**SHAPES["1M"], "num_hidden_layers": 6}
ROWS, TOKENS = 2, 16


def main(width: int, path: Path) -> None:
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    found = _steps(width)
    if dist.get_rank() == 0:
        path.write_text(json.dumps(found))
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()


def _steps(width: int) -> dict[str, float]:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIG))
    half = width == 2
    shard(model, half=half)
    optimiser = torch.optim.AdamW(model.parameters())
    ids = torch.randint(0, CONFIG["vocab_size"], (ROWS, TOKENS))
    sent = _count_what_is_sent()
    tracker = FSDPMemTracker(model, optimiser)
    with tracker:
        for at in range(2):
            sent.update(gathered=0, reduced=0)
            with torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False):
                logits = model(input_ids=ids, use_cache=False).logits.float()
            logits.logsumexp(-1).sum().backward()
            optimiser.step()
            if at == 0:  # the second step finds its moments there already
                optimiser.zero_grad()
                tracker.reset_mod_stats()
    (peak,) = tracker.get_tracker_snapshot("peak").values()
    parts = {str(name).rpartition(".")[2]: held for name, held in peak.items()}
    state = [each for states in optimiser.state.values() for each in states.values()]
    local = [each.to_local() for each in model.parameters()]
    grads = [each.grad.to_local() for each in model.parameters()]
    moments = [each.to_local() for each in state if each.ndim]
    held = {"weights": local, "gradients": grads, "moments": moments}
    return {**parts, **sent, **{name: sum(t.nbytes for t in some) for name, some in held.items()}}


def _count_what_is_sent() -> dict[str, float]:
    """Bytes of whole units in every collective that FSDP asks for from now on."""
    sent: dict[str, float] = {"gathered": 0, "reduced": 0}
    gather, reduce = dist.all_gather_single, dist.reduce_scatter_single

    def counted_gather(output_tensor: torch.Tensor, *rest: Any, **more: Any) -> Any:
        sent["gathered"] += output_tensor.nbytes
        return gather(output_tensor, *rest, **more)

    def counted_reduce(*, input: torch.Tensor, **more: Any) -> Any:
        sent["reduced"] += input.nbytes
        return reduce(input=input, **more)

    dist.all_gather_single, dist.reduce_scatter_single = counted_gather, counted_reduce
    return sent


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
