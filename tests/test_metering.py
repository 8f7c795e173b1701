"""What a run has put through models, and the energy that it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from heed import energy
from heed.energy import watch_energy
from heed.metering import METER, Meter, added
from heed.models.forward import completion_logprobs, hidden_states
from heed.models.language_model import attach_lora
from heed.models.work import matrices, operations
from heed.ops.batch import Sequences
from heed.sampling.local import LocalSampler

ROWS = Sequences.of([([5, 6], [7, 8, 9]), ([5], [6])], pad=0)
TOKENS, TARGETS = 7, 4


def test_amounts_add_up_and_tensors_are_amounts() -> None:
    meter = Meter()
    meter.add("trained", torch.tensor(3))
    meter.add("trained", 4)
    assert meter.take() == {"trained": 7.0}
    assert meter.take() == {}
    meter.add("answers", 2)
    assert meter.total() == {"trained": 7.0, "answers": 2.0}
    assert meter.total() == {"trained": 7.0, "answers": 2.0}
    meter.start()
    assert meter.total() == {}
    assert added({"a": 1.0}, {"a": 2.0, "b": 3.0}) == {"a": 3.0, "b": 3.0}


def _numbers(lm: Any) -> tuple[float, float]:
    """Weights of the backbone's matrices, and of the head."""
    config = lm.model.config
    d, f = config.hidden_size, config.intermediate_size
    layer = 4 * d * d + 3 * d * f
    return float(config.num_hidden_layers * layer), float(d * config.vocab_size)


def test_a_forward_pass_counts_its_real_tokens(toy_lm: Any) -> None:
    toy = toy_lm()
    backbone, head = _numbers(toy)
    METER.start()
    with torch.no_grad():
        completion_logprobs(toy.model, ROWS)
    assert METER.total() == {
        "forwarded": TOKENS,
        "flops": 2 * backbone * TOKENS + 2 * head * TARGETS,
    }
    METER.start()
    completion_logprobs(toy.model, ROWS)
    assert METER.total() == {
        "trained": TOKENS,
        "flops": 6 * backbone * TOKENS + 6 * head * TARGETS,
    }
    METER.start()
    hidden_states(toy.model.base_model, ROWS)
    assert METER.total()["flops"] == 6 * backbone * TOKENS


def test_a_frozen_base_has_no_gradient_of_its_own(toy_lm: Any) -> None:
    toy = toy_lm()
    backbone, head = _numbers(toy)
    lora = attach_lora(toy, rank=2, alpha=4)
    adapters = sum(w.numel() for w in lora.model.parameters() if w.requires_grad)
    METER.start()
    completion_logprobs(lora.model, ROWS)
    wanted = (4 * backbone + 6 * adapters) * TOKENS + 4 * head * TARGETS
    assert METER.total()["flops"] == pytest.approx(wanted)
    assert operations(matrices(toy.model.base_model), gradient=False) == 2 * (backbone + adapters)


def test_answers_count_their_prompts_once(toy_lm: Any, toy_prompts: Any) -> None:
    toy = toy_lm()
    backbone, head = _numbers(toy)
    sampler = LocalSampler(toy, max_new_tokens=4)
    prompts = toy_prompts[:2]
    METER.start()
    answers = sampler.sample(prompts, n=3)
    spent = METER.total()
    asked = sum(len(toy.chat.prompt_ids(prompt)) for prompt in prompts)
    drawn = sum(len(answer.ids) for answer in answers)
    assert spent["answers"] == 6
    assert (spent["forwarded"], spent["sampled"]) == (asked, drawn)
    assert spent["flops"] == 2 * backbone * (asked + drawn) + 2 * head * drawn


def _counter(folder: Path, joules: float, most: float = 100.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{int(joules * 1e6)}\n")
    (folder / "max_energy_range_uj").write_text(f"{int(most * 1e6)}\n")


def test_energy_is_that_of_all_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    _counter(tmp_path / "intel-rapl:0", 10.0)
    _counter(tmp_path / "intel-rapl:1", 95.0)
    _counter(tmp_path / "intel-rapl:0:0", 3.0)  # a part of the first
    since = watch_energy(torch.device("cpu"))
    _counter(tmp_path / "intel-rapl:0", 12.5)
    _counter(tmp_path / "intel-rapl:1", 1.0)  # around its end
    _counter(tmp_path / "intel-rapl:0:0", 4.0)
    assert since() == {"joules_processors": pytest.approx(2.5 + 6.0)}


def test_energy_is_unknown_without_counters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path / "nowhere")
    assert watch_energy(torch.device("cpu"))() == {}
    _counter(tmp_path / "intel-rapl:0", 10.0)
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    since = watch_energy(torch.device("cpu"))
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert since() == {}
