"""Trains toy models on several processes; the tests beside it run it.

    torchrun --standalone --nproc-per-node 2 tests/distributed/toy.py FOLDER '{"methods": ["sft"]}'
    python tests/distributed/toy.py '[{"ranks": 2, "folder": ..., "methods": ["sft"]}, ...]'

The second form forks the processes of one scenario after the other and so imports torch once.

Options: methods, iterations, shard, lora, again (checkpoint_activations), half, checkpoint_every,
servers (addresses, for "far") with ahead and every, and kills: for each attempt [what, count,
rank], after so many of which ("loss": passes through a loss; "file": changes of a directory) that
process kills itself. Leaves metrics.jsonl and the whole weights of every method, and
`measured-RANK.json` with the bytes that each process held.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import train_on_ranks as toys
from killed import WRITES

from heed.files import write_json
from heed.models.activations import checkpoint_activations
from heed.models.language_model import LanguageModel, attach_lora
from heed.models.reward_model import new_reward_model
from heed.models.rows import pair_rows
from heed.models.sharding import everywhere, local, shard
from heed.ops.order import Order
from heed.pipeline import processes
from heed.policies.elsewhere import Elsewhere
from heed.ranks import Ranks
from heed.recipe import Optimisation, Sft
from heed.rewards.bradley_terry import reward_modelling
from heed.run import StageRun
from heed.sampling.rollout_link import Servers
from heed.sampling.rollouts import RolloutSampler
from heed.sampling.split import SplitSampler
from heed.trainer import Monitor, Trainer
from heed.types import Comparison


def reward(lm: LanguageModel, folder: Path) -> Any:
    saved = folder / "base"
    if Ranks.here().rank == 0:
        lm.model.save_pretrained(saved)
        lm.tokenizer.save_pretrained(saved)
    Ranks.here().wait()
    model = new_reward_model(saved, device="cpu", dtype="float32", seed=0)
    pairs = zip(toys.TEXTS, reversed(toys.TEXTS), strict=True)
    items = [
        Comparison(toys.PROMPTS[i % 3], a, f"{b} no", weight=1.0 + i)
        for i, (a, b) in enumerate(pairs)
    ]
    return reward_modelling(model, pair_rows(model.chat, items, 64), Order(7, 5, 0))


def far(lm: LanguageModel, options: dict[str, Any]) -> Any:
    """PPO, its rounds drawn by servers."""
    how = {"timeout": 20.0, "retries": 3, "host": "127.0.0.1"}
    ahead, every = options.get("ahead", False), options.get("every", 1)
    remote = RolloutSampler(
        SplitSampler(lm, max_new_tokens=6), Servers(options["servers"], **how), copies=ahead
    )
    rounds = Elsewhere(remote, iterations=options["iterations"], ahead=ahead, every=every, cap=2.0)
    return toys.reinforcement(lm, sampler=remote, rounds=rounds)


METHODS: dict[str, Callable[[LanguageModel, Path, dict[str, Any]], Any]] = {
    "sft": lambda lm, *_: toys.imitation(lm),
    "dpo": lambda lm, *_: toys.preference(lm),
    "ppo": lambda lm, *_: toys.reinforcement(lm),
    "grouped": lambda lm, *_: toys.reinforcement(lm, group=10),
    "far": lambda lm, _, options: far(lm, options),
    "reward": lambda lm, folder, _: reward(lm, folder),
}


class Fate:
    """Kills this process at its hour."""

    def __init__(self, what: str = "", count: int = 0, rank: int = 0) -> None:
        self.what = what
        self.left = count if rank == Ranks.here().rank else 0

    def meets(self, what: str) -> None:
        if what == self.what and self.left:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, folder: Path) -> None:
        """Let changes of files below a folder count."""

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in WRITES and str(arguments[0]).startswith(str(folder)):
                self.meets("file")

        sys.addaudithook(hook)

    def over(self, loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The same loss, whose passes count."""

        def counted(batch: Any) -> Any:
            self.meets("loss")
            return loss(batch)

        return counted


def train(name: str, folder: Path, options: dict[str, Any], fate: Fate) -> dict[str, Any]:
    """Train one method; gives its weights whole, and the bytes of what this process holds."""
    ranks, run = Ranks.here(), folder / name
    optim = Optimisation(lr=0.01, eps=1e-3, micro_tokens=20, clip_norm=0.5)
    every = options.get("checkpoint_every", 50)
    stage = Sft(
        name="sft",
        optim=optim,
        checkpoint_every=every,
        keep="best",
        shard=options.get("shard", False),
    )
    placed = StageRun(stage, "key", run / "sft", run, writes=ranks.rank == 0)
    placed.start()
    ranks.wait()
    lm = toys.policy(layers=2)
    if options.get("lora"):
        lm = attach_lora(lm, rank=4, alpha=8.0, seed=0)
    method = METHODS[name](lm, run, options)
    if options.get("again"):
        checkpoint_activations(method.module)
    if stage.shard:
        shard(method.module, half=bool(options.get("half")))
    method.loss = fate.over(method.loss)
    with torch.autocast("cpu", torch.bfloat16, bool(options.get("half")), cache_enabled=False):
        trainer = Trainer(
            method=method,
            settings=stage,
            run=placed,
            iterations=options.get("iterations", 3),
            seed=0,
            monitor=Monitor("loss", higher_is_better=False),
        )
        trainer.train()
    if name == "far":
        method.sampler.close()
    with torch.no_grad():
        weights = {key: everywhere(w.detach()) for key, w in method.module.named_parameters()}
    return {"weights": weights, "bytes": held(method.module, trainer.optimizer)}


def held(module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of weights, gradients and the optimiser's averages in this process."""
    tensors = list(module.parameters())
    tensors += [each.grad for each in module.parameters() if each.grad is not None]
    for state in optimizer.state.values():
        tensors += [each for each in state.values() if each.ndim]
    return sum(local(each).numel() * each.element_size() for each in tensors)


def main(folder: Path, options: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with processes() as rank:
        attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", options.get("attempt", 0)))
        kills = options.get("kills", [])
        fate = Fate(*(kills[attempt] if attempt < len(kills) else ()))
        fate.watch(folder)
        measured = {}
        for name in options["methods"]:
            found = train(name, folder, options, fate)
            measured[name] = found["bytes"]
            if rank == 0:
                torch.save(found.pop("weights"), folder / f"{name}.pt")
            del found
            gc.collect()
        write_json(folder / f"measured-{rank}.json", measured)


def fork(scenario: dict[str, Any]) -> None:
    """Run a scenario's processes to their end; those that are left by a killed one end, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(scenario["ranks"]):
        child = os.fork()
        if not child:
            of_rank = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": scenario["ranks"]}
            os.environ.update({name: str(value) for name, value in of_rank.items()})
            os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            try:
                main(Path(scenario["folder"]), scenario)
            except RuntimeError:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    if any(os.WIFSIGNALED(end) for end in ends):
        print("killed", flush=True)
    elif any(ends):
        raise SystemExit(f"{scenario}: {ends}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        for each in json.loads(sys.argv[1]):
            fork(each)
    else:
        main(Path(sys.argv[1]), json.loads(sys.argv[2]))
