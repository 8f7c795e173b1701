"""Loads models on several processes, whole and split, and holds the two against each other.

    torchrun --standalone --nproc-per-node 3 tests/distributed/load_on_ranks.py FOLDER

FOLDER holds models, one a folder. Each process leaves FOLDER/RANK.json: by model and way what
differs, which should be nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import train_on_ranks as toys

from heed.errors import UserError
from heed.losses.sft import cross_entropy
from heed.models.awaited import Awaited
from heed.models.forward import completion_logprobs, has_plain_head
from heed.models.language_model import LanguageModel, attach_lora, load_language_model
from heed.models.packing import packs
from heed.models.reward_model import load_reward_model
from heed.models.rows import demonstration_rows
from heed.models.sharding import everywhere, local, shard
from heed.ops.batch import Sequences
from heed.pipeline import processes
from heed.sampling.split import SplitSampler
from heed.types import Demonstration

CPU = {"device": "cpu", "dtype": "float32"}
HALF = 2.0**-5
"""How far apart, as a share, sums of bfloat16 may lie."""


def policy(source: Path, lora: bool) -> Callable[[bool], LanguageModel]:
    def make(split: bool) -> LanguageModel:
        lm = load_language_model(source, **CPU, split=split)
        return attach_lora(lm, rank=3, alpha=6.0, seed=1) if lora else lm

    return make


def rows(lm: LanguageModel) -> Sequences:
    items = [Demonstration(toys.PROMPTS[at % 3], text) for at, text in enumerate(toys.TEXTS)]
    return demonstration_rows(lm.chat, items, 64)


def policies(source: Path, lora: bool) -> Iterator[str]:
    """What differs between the two ways."""
    make = policy(source, lora)
    split, whole = make(True), make(False)
    if not any(isinstance(weight, Awaited) for weight in split.model.parameters()):
        yield "was loaded whole"
    for lm in (split, whole):
        shard(lm.model)
    yield from weights(split.model, whole.model)
    if split.chat.stop_ids != whole.chat.stop_ids:
        yield "stop ids"
    if packs(split.model) != packs(whole.model):
        yield "packs"
    if has_plain_head(split.model) != has_plain_head(whole.model):
        yield "plain head"
    found = []
    for lm in (split, whole):
        (nll,) = cross_entropy(completion_logprobs(lm.model, rows(lm))[0], rows(lm).target)
        nll.total.backward()
        grads = [w.grad for w in lm.model.parameters() if w.requires_grad]
        drawn = SplitSampler(lm, max_new_tokens=5).sample(toys.PROMPTS, n=2, seed=3)
        found.append((nll.total.detach(), [local(g) for g in grads if g is not None], drawn))
    if not torch.equal(found[0][0], found[1][0]):
        yield "loss"
    if len(found[0][1]) != len(found[1][1]) or not all(map(torch.equal, found[0][1], found[1][1])):
        yield "gradients"
    if found[0][2] != found[1][2]:
        yield "answers"


def halved(source: Path) -> Iterator[str]:
    """What differs where layers are gathered in bfloat16 and nobody set autocast, as gates do."""
    make = policy(source, lora=False)
    half, exact = make(True), make(True)
    shard(half.model, half=True)
    shard(exact.model)
    sums, slopes = [], []
    for lm in (half, exact):
        (nll,) = cross_entropy(completion_logprobs(lm.model, rows(lm))[0], rows(lm).target)
        nll.total.backward()
        grads = [w.grad for w in lm.model.parameters() if w.grad is not None]
        if any(grad.dtype != torch.float32 for grad in grads):
            yield "gradients' format"
        sums.append(float(nll.total.detach()))
        slopes.append(torch.cat([everywhere(grad).flatten() for grad in grads]))
    if abs(sums[0] - sums[1]) > HALF * abs(sums[1]):
        yield f"loss {sums}"
    if (slopes[0] - slopes[1]).norm() > HALF * slopes[1].norm():
        yield "gradients"
    if torch.equal(*slopes):
        yield "nothing was in bfloat16"


def rewards(source: Path) -> Iterator[str]:
    split, whole = (load_reward_model(source, **CPU, split=each) for each in (True, False))
    if not isinstance(split.head.weight, Awaited):
        yield "was loaded whole"
    for model in (split, whole):
        model.model.requires_grad_(False)
        shard(model.model)
    yield from weights(split.model, whole.model)
    items = [Demonstration(toys.PROMPTS[0], text) for text in toys.TEXTS]
    data = demonstration_rows(split.turns, items, 64)
    with torch.no_grad():
        if not torch.equal(split.scores(data), whole.scores(data)):
            yield "scores"


def weights(ours: nn.Module, theirs: nn.Module) -> Iterator[str]:
    def all_of(model: nn.Module) -> dict[str, Tensor]:
        named = dict(model.named_parameters(remove_duplicate=False))
        return {**named, **dict(model.named_buffers())}

    own, other = all_of(ours), all_of(theirs)
    if own.keys() != other.keys():
        yield f"names {sorted(own.keys() ^ other.keys())}"
        return
    for name, weight in own.items():
        if not torch.equal(local(weight.detach()), local(other[name].detach())):
            yield name
        if weight.requires_grad != other[name].requires_grad:
            yield f"requires_grad of {name}"
        if not everywhere(weight.detach()).isfinite().all():
            yield f"NaN in {name}"


def refused(source: Path) -> Iterator[str]:
    lm = load_language_model(source, **CPU, split=True)
    try:
        shard(lm.model)
    except UserError as error:
        if "hold NaN" not in str(error):
            yield str(error)
    else:
        yield "was not refused"


def main(folder: Path) -> None:
    with processes() as rank:
        found: dict[str, Any] = {}
        for source in sorted(each for each in folder.iterdir() if each.is_dir()):
            name = source.name
            if name == "reward":
                found[name] = list(rewards(source))
            elif name == "broken":
                found[name] = list(refused(source))
            else:
                found[name] = list(policies(source, lora=False))
                found[f"{name}, adapter"] = list(policies(source, lora=True))
                found[f"{name}, half"] = list(halved(source))
        (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
