"""The sampler in a process of its own: the same answers, whatever becomes of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from heed.errors import UserError
from heed.models.language_model import attach_lora, load_language_model, save_language_model
from heed.models.shared_weights import SharedWeights, new_memory, trained
from heed.sampling.ahead import AheadSampler, read_answer, split_threads, written
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt

LORA: dict[str, Any] = {"rank": 2, "alpha": 4.0, "targets": "all-linear", "seed": 3}


@contextmanager
def beside(folder: Path, lora: dict[str, Any] | None = None) -> Iterator[AheadSampler]:
    lm = load_language_model(folder, device="cpu", dtype="float32")
    lm = attach_lora(lm, **lora) if lora else lm
    sampler = LocalSampler(lm, max_new_tokens=5, temperature=0.8, stop=["red"], model_name="toy")
    drawing = AheadSampler(sampler, str(folder), lora=lora, half=False, threads=1)
    try:
        yield drawing
    finally:
        drawing.close()


@pytest.fixture
def folder(toy_lm: Callable[..., Any], tmp_path: Path) -> Path:
    save_language_model(toy_lm(), tmp_path / "policy")
    return tmp_path / "policy"


def move(drawing: AheadSampler) -> None:
    """As an optimiser does it."""
    with torch.no_grad():
        for weight in drawing.sampler.lm.model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.3)


def drawn(drawing: AheadSampler, prompts: list[Prompt], n: int) -> list[Completion]:
    lines = drawing.collect()
    each = [prompt for prompt in prompts for _ in range(n)]
    return [read_answer(line, prompt) for line, prompt in zip(lines, each, strict=True)]


def test_an_adapter_that_moves_is_followed(folder: Path, toy_prompts: list[Prompt]) -> None:
    """To the bit, with the weights of when it was asked."""
    with beside(folder, LORA) as drawing:
        before = None
        for seed in range(2):
            expected = drawing.sampler.sample(toy_prompts, n=2, seed=seed)
            drawing.begin(toy_prompts, n=2, seed=seed)
            move(drawing)
            assert drawn(drawing, toy_prompts, 2) == expected
            assert expected != before
            before = expected
        process = drawing.worker.process
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again(
    folder: Path, toy_prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is asked, while it draws and when it is done; then it is no use any more."""
    with beside(folder) as drawing:
        for wait in (0.0, 0.02, 10.0):
            move(drawing)
            expected = drawing.sampler.sample(toy_prompts, n=3, seed=7)
            if not wait:
                drawing.worker.process.kill()
                drawing.worker.process.wait()
            drawing.begin(toy_prompts, n=3, seed=7)
            time.sleep(wait)
            if wait:
                drawing.worker.process.kill()
            assert drawn(drawing, toy_prompts, 3) == expected
        monkeypatch.setattr(sys, "executable", "/bin/false")
        drawing.worker.process.kill()
        drawing.begin(toy_prompts, n=1, seed=0)
        with pytest.raises(UserError, match=r"ended 3 times .* without `ahead`"):
            drawing.collect()


@pytest.mark.slow
def test_what_the_sampler_refuses_is_told_as_it_tells_it(folder: Path) -> None:
    long = Prompt.of("good " * 80)
    with beside(folder) as drawing:
        with pytest.raises(UserError) as own:
            drawing.sampler.sample([long])
        drawing.begin([long], n=1, seed=0)
        with pytest.raises(UserError) as other:
            drawing.collect()
    assert str(own.value) == str(other.value)


PARENT = """
import sys, time
sys.path.insert(0, {tests!r})
from sampling.test_ahead import beside
from pathlib import Path
from heed.types import Prompt
with beside(Path({folder!r})) as drawing:
    drawing.begin([Prompt.of("good ?")], n=1, seed=0)
    drawing.collect()
    drawing.begin([Prompt.of("good ?")] * 20000, n=9, seed=0)
    print(drawing.worker.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_process_that_asks(folder: Path, how: signal.Signals) -> None:
    """However that one ends, in the middle of drawing; nobody has to tell it."""
    program = PARENT.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.send_signal(how)
    parent.communicate(timeout=60)
    with suppress(ProcessLookupError):
        for _ in range(600):
            os.kill(child, 0)
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return  # ended; whoever adopted it has not looked yet
            time.sleep(0.05)
        pytest.fail(f"process {child} outlived its parent")


def test_an_answer_keeps_every_bit() -> None:
    prompt = Prompt.of("good ?")
    answer = Completion(
        prompt, "yes \u2603\n", "length", "toy", (1, 2), (3, 4), (-0.1, -1 / 3), (-1e-30, 0.0)
    )
    line = written(answer)
    assert "\n" not in line
    assert read_answer(line, prompt) == answer


def test_weights_cross_memory_whole() -> None:
    """Odd sizes, other formats and a weight of nothing, each at a place of its own."""
    torch.manual_seed(0)
    weights = {
        "a": torch.randn(3, 5),
        "b": torch.randn(7).to(torch.bfloat16),
        "none": torch.empty(0, 4),
        "c": torch.randn(2, 2, 2, dtype=torch.float64),
    }
    memory = new_memory(weights)
    one = SharedWeights(weights, memory)
    copies = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    other = SharedWeights(copies, memory)
    os.close(memory)
    one.put()
    for weight in weights.values():
        weight.zero_()
    other.take()
    one.take()
    assert all(torch.equal(copies[name], weights[name]) for name in weights)
    assert float(copies["c"].abs().sum()) > 0


def test_only_what_trains_is_handed_over(toy_lm: Callable[..., Any]) -> None:
    lm = attach_lora(toy_lm(), rank=2, alpha=4.0)
    assert all("lora_" in name for name in trained(lm.model))


@pytest.mark.parametrize(("count", "split"), [(1, (1, 1)), (2, (1, 1)), (3, (2, 1)), (8, (4, 4))])
def test_threads_are_halved(
    count: int, split: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert split_threads() == split
