"""The process behind `AheadSampler`: it draws by weights that lie in memory it shares.

A JSON line in says what to load, each further one what to ask; a JSON line out answers each. When
the input ends, because whoever asks has ended, however, this process does, too, at once.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any


def main() -> None:
    """Serve until standard input ends."""
    # What libraries print is no answer.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    try:
        _serve(lines, replies)
    except Exception as error:
        from heed.errors import UserError

        if not isinstance(error, UserError):
            raise
        _say(replies, {"error": str(error)})
        threading.Event().wait()  # to be ended by who reads this


def _listen(lines: queue.Queue[str]) -> None:
    """Hand over what is asked; nobody asks when the input has ended."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _serve(lines: queue.Queue[str], replies: IO[str]) -> None:
    import torch

    from heed.memory import keep_freed
    from heed.models.shared_weights import SharedWeights, layout, trained
    from heed.sampling.ahead import read_prompt, written
    from heed.sampling.local import LocalSampler

    setup = json.loads(lines.get())
    torch.set_num_threads(setup["threads"])
    keep_freed()
    policy = _policy(setup)
    weights = trained(policy.model)
    if layout(weights) != setup["layout"]:
        raise RuntimeError(f"{setup['source']} has other weights than the policy that learns")
    shared = SharedWeights(weights, setup["descriptor"])
    sampler = LocalSampler(policy, **setup["sampling"])
    kind = policy.device.type
    while True:
        asked = json.loads(lines.get())
        shared.take()
        prompts = [read_prompt(each) for each in asked["prompts"]]
        # As heed.pipeline has it: a cache would outlive the weights that it was made of.
        with torch.autocast(kind, torch.bfloat16, setup["half"], cache_enabled=False):
            drawn = sampler.sample(prompts, n=asked["n"], seed=asked["seed"])
        _say(replies, {"answers": [written(each) for each in drawn]})


def _policy(setup: Mapping[str, Any]) -> Any:
    """The policy as the learner loaded it; what training changed comes with every question."""
    from heed.models.language_model import attach_lora, load_language_model
    from heed.models.modes import disable_dropout

    policy = load_language_model(setup["source"], device=setup["device"], dtype="float32")
    disable_dropout(policy.model)
    return attach_lora(policy, **setup["lora"]) if setup["lora"] else policy


def _say(replies: IO[str], reply: Mapping[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
