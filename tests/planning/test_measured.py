"""The plan's formulas, held against what torch allocates, computes and sends: tensors counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from shard_on_ranks import CONFIG, ROWS, TOKENS
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from heed.models.activations import checkpoint_activations
from heed.models.anatomy import anatomy
from heed.models.forward import completion_logprobs
from heed.ops.logprobs import token_logprobs
from heed.planning.memory import (
    LOGITS,
    VOCABULARY,
    Holds,
    Trains,
    cache,
    casts,
    laid_out,
    learning,
    recomputed,
)
from heed.planning.passes import Pass, again, operations
from heed.planning.ranks import Way, rank_memory
from heed.planning.roofline import gathers, reduces
from heed.planning.shapes import SHAPES, parameters, shape_of
from heed.planning.sizes import size_of
from heed.sampling.compiled_decoder import CompiledDecoder
from heed.sampling.decoders import decoder_of
from heed.sampling.lean import LeanDecoder
from heed.sampling.weights import weights

SCRIPT = Path(__file__).parents[1] / "shard_on_ranks.py"
SIZE, IDS = size_of(SHAPES["1M"]), torch.randint(0, 1024, (4, 32))


def _model(shape: str = "1M") -> Any:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPES[shape]))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_parameters_of_its_model(name: str) -> None:
    with torch.device("meta"):
        model = _model(name)
    count = sum(weight.numel() for weight in model.parameters())
    assert parameters(SHAPES[name]) == count
    assert shape_of(name).weights == pytest.approx(count, rel=0.002)


def test_operations_are_those_that_torch_counts() -> None:
    model = _model()
    with FlopCounterMode(display=False) as counted:
        hidden = model.model(IDS, use_cache=False).last_hidden_state
        read = counted.get_total_flops()
        torch.nn.functional.linear(hidden, model.lm_head.weight).sum().backward()
    tokens = IDS.numel()
    assert read == operations(Pass("forwarded", tokens, 0, "a"), SIZE)
    assert counted.get_total_flops() == operations(Pass("trained", tokens, tokens, "a"), SIZE)


@pytest.mark.parametrize("rank", [None, 8])
def test_layers_computed_anew_cost_what_torch_counts(rank: int | None) -> None:
    model = _model()
    if rank is not None:
        model = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear"))
    counts = []
    for anew in (False, True):
        if anew:
            checkpoint_activations(model)
        with FlopCounterMode(display=False) as counted:
            model(IDS, use_cache=False).logits.sum().backward()
        counts.append(counted.get_total_flops())
    wanted = again(Pass("trained", IDS.numel(), IDS.numel(), "a", rank), SIZE)
    # The last product of an adapter is not computed again.
    assert counts[1] - counts[0] == pytest.approx(wanted, rel=0.005 if rank else 0.0)


def test_bytes_of_weights_gradients_and_moments_are_torchs() -> None:
    model = _model()
    optimiser = torch.optim.AdamW(model.parameters())
    model(IDS, use_cache=False).logits.sum().backward()
    optimiser.step()
    norms = parameters(SHAPES["1M"]) - SIZE.weights
    held = rank_memory(Holds([Trains(SIZE)]), 1, Way(), width=4)
    moments = [s for state in optimiser.state.values() for s in state.values() if s.ndim]
    assert held.weights + 4 * norms == sum(weight.nbytes for weight in model.parameters())
    assert held.gradients + 4 * norms == sum(weight.grad.nbytes for weight in model.parameters())
    assert held.moments + 8 * norms == sum(moment.nbytes for moment in moments)


@pytest.mark.parametrize("anew", [False, True])
def test_what_a_forward_pass_keeps_is_within_the_formula(anew: bool) -> None:
    """The formula counts insides of norms that this transformers computes anew."""
    model = _model()
    if anew:
        model.activation_checkpointing_enable()
        model.train()
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {t.untyped_storage() for t in _kept(lambda: model.model(IDS, use_cache=False))}
    held = sum(each.nbytes() for each in kept if each.data_ptr() not in own)
    if anew:  # inputs of layers; the insides of one come when its backward pass does
        inputs = IDS.numel() * (recomputed(SIZE, 4) - learning(SIZE, 4) / SIZE.layers)
        assert inputs <= held <= IDS.numel() * recomputed(SIZE, 4)
    else:
        assert 0.8 <= held / (IDS.numel() * learning(SIZE, 4)) <= 1.0


def _kept(forward: Callable[[], object]) -> list[torch.Tensor]:
    """What a forward pass keeps for the backward one, each storage once."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return list(kept.values())


def test_under_autocast_the_graph_holds_the_matrices_that_were_cast() -> None:
    model = _model()
    ids = torch.randint(0, 1024, (3, 7))
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        kept = _kept(lambda: model.model(ids, use_cache=False))
    shapes = {weight.shape for weight in model.model.layers.parameters() if weight.ndim == 2}
    shapes |= {shape[::-1] for shape in shapes}
    half = [each for each in kept if each.dtype == torch.bfloat16 and each.shape in shapes]
    assert sum(each.nbytes for each in half) == casts(SIZE, 2, anew=False)


def test_a_policys_loss_and_its_critics_keep_what_each_needs(toy_lm: Any, toy_ppo: Any) -> None:
    """Both graphs are there until the one backward pass of their sum."""
    method = toy_ppo(toy_lm())
    batch = next(method.batches(0))
    weights = {each.untyped_storage().data_ptr() for each in method.module.parameters()}
    given = {each.untyped_storage().data_ptr() for each in vars(batch).values()}

    def held(forward: Callable[[], object]) -> int:
        found = {each.untyped_storage().data_ptr(): each for each in _kept(forward)}
        return sum(found[at].untyped_storage().nbytes() for at in found.keys() - weights - given)

    both, critic = held(lambda: method.loss(batch)), held(lambda: method.baseline.loss(batch))
    assert critic > 0.3 * both
    assert both >= critic + held(lambda: completion_logprobs(method.policy.model, batch))


@pytest.mark.parametrize("words", [3000, 20000])
@pytest.mark.parametrize(("compiled", "copies"), [("no", LOGITS), ("yes", LOGITS - 1)])
def test_logits_are_three_copies_of_a_part_of_the_vocabulary(
    monkeypatch: pytest.MonkeyPatch, words: int, compiled: str, copies: int
) -> None:
    """Two where their exponentials never stand anywhere, on a CPU with a compiler."""
    monkeypatch.setenv("HEED_COMPILED", compiled)
    rows, wide = 512, 4
    hidden = torch.randn(rows, wide, requires_grad=True)
    head = torch.randn(words, wide, requires_grad=True)
    with MemTracker() as tracker:
        logprobs, entropy = token_logprobs(hidden, head, None, torch.randint(0, words, (rows,)))
        (logprobs.sum() + entropy.sum()).backward()
    (peak,) = tracker.get_tracker_snapshot("peak").values()
    planned = copies * 4 * rows * min(words, VOCABULARY)
    assert peak["Total"] / planned == pytest.approx(1.0, abs=0.1)


def test_the_cache_is_the_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {**SHAPES["1M"], "num_key_value_heads": 2}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    found = anatomy(model)
    assert found is not None
    for dtype in (torch.float32, torch.bfloat16):
        compiled = decoder_of(found, dtype, slots=3, capacity=50)
        if not isinstance(compiled, CompiledDecoder):
            pytest.skip("no C compiler")
        held = sum(tensor.nbytes for both in compiled.cache for tensor in both)
        assert held == 3 * 64 * cache(size_of(config), dtype.itemsize)  # in whole vectors
    monkeypatch.setenv("HEED_COMPILED", "no")
    for dtype in (torch.float32, torch.bfloat16):
        lean = decoder_of(found, dtype, slots=3, capacity=50)
        assert isinstance(lean, LeanDecoder)
        held = sum(tensor.nbytes for tensor in [*lean.keys, *lean.values])
        assert held == 3 * 50 * cache(size_of(config), dtype.itemsize)


def test_answers_are_drawn_with_a_copy_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    # Packed for oneDNN they are as large, but where the tracker cannot look into them.
    monkeypatch.setattr("heed.models.linears._packs", lambda dtype, device: False)
    model = _model()
    found = anatomy(model)
    assert found is not None
    with torch.no_grad(), MemTracker() as tracker:
        copied = weights(found, torch.bfloat16)
    (held,) = tracker.get_tracker_snapshot("current").values()
    assert copied.dtype == torch.bfloat16
    own = sum(weight.nbytes for weight in model.parameters())  # which the tracker has seen, too
    assert (held["Total"] - own) / laid_out(SIZE, 2) == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("width", [4, 2])
def test_a_rank_under_fsdp_holds_and_sends_what_is_planned(width: int, tmp_path: Path) -> None:
    path = tmp_path / "held.json"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, str(SCRIPT), str(width), str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found, size = json.loads(path.read_text()), size_of(CONFIG)
    norms = parameters(CONFIG) - size.weights
    tokens = ROWS * TOKENS
    held = rank_memory(Holds([Trains(size)], learns=tokens), 2, Way(shard=True), width=width)
    assert found["weights"] == held.weights + 4 * norms / 2
    assert found["gradients"] == held.gradients + 4 * norms / 2
    assert found["moments"] == held.moments + 8 * norms / 2
    # Norms are in no formula, and are gathered in float32.
    assert 1.0 <= found["gathered"] / gathers(size, width, backward=True) <= 1.005
    assert found["reduced"] - reduces(size.weights) == 4 * norms
    # At its fullest the backward pass has not made all gradients, nor kept all activations.
    assert 0.75 <= found["Total"] / held.total <= 1.0
