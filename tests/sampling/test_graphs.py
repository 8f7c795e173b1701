"""Recorded steps write what plain ones write. A tape stands in for the GPU's graphs."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tape import TapeRecorder

from heed.models.language_model import LanguageModel, attach_lora
from heed.sampling import graphs, lean
from heed.sampling.graphs import Bucket, CudaRecorder, Recordings, rounded_up
from heed.sampling.local import LocalSampler
from heed.sampling.slots import slots_of

KINDS = ["llama", "mistral", "qwen2", "qwen3", "smollm3", "gpt2"]


@pytest.fixture
def recorders(monkeypatch):
    """Those of all decoders made, on a CPU without compiled steps, as on a GPU."""
    monkeypatch.setenv("HEED_COMPILED", "no")
    monkeypatch.setattr(graphs, "FEWEST_COLUMNS", 16)
    made = []

    def recorder(_device):
        made.append(TapeRecorder())
        return made[-1]

    monkeypatch.setattr(graphs, "recorder_for", recorder)
    return made


def ending(lm):
    """With answers that end anywhere."""
    head = lm.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
    head.bias.data[lm.chat.eos_id] = 4.0
    return lm


def both(monkeypatch, lm, prompts, **settings):
    """Recorded answers, held against plain ones."""
    sampler = LocalSampler(lm, **{"max_new_tokens": 12, "batch_size": 7, **settings})
    assert sampler.path == "lean"
    ours = sampler.sample(prompts, n=6, seed=3)
    monkeypatch.setenv("HEED_GRAPHS", "no")
    theirs = sampler.sample(prompts, n=6, seed=3)
    monkeypatch.delenv("HEED_GRAPHS")
    assert [(a.ids, a.finish) for a in ours] == [(a.ids, a.finish) for a in theirs]
    mine, others = (
        torch.tensor([x for a in answers for x in a.logprobs]) for answers in (ours, theirs)
    )
    torch.testing.assert_close(mine, others, atol=1e-5, rtol=1e-5)
    return ours


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tokens(monkeypatch, tiny, prompts, recorders, kind):
    """Rows end, are refilled and move; columns grow over several buckets, beyond a window."""
    answers = both(monkeypatch, ending(tiny(kind)), prompts, max_new_tokens=32)
    assert len({len(answer.ids) for answer in answers}) > 5
    tape = recorders[-1]
    assert tape.made > 5
    assert tape.played > 3 * tape.made


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.0}, {"top_p": 0.8}, {"stop": ("e",)}], ids=str
)
def test_every_setting(monkeypatch, tiny, prompts, recorders, settings):
    both(monkeypatch, tiny("llama"), prompts, **settings)
    assert recorders[-1].played


def test_adapters_plain_and_others(monkeypatch, tiny, prompts, recorders):
    plain = attach_lora(tiny("llama"), rank=2, alpha=4, targets="all-linear")
    settings = LoraConfig(r=2, target_modules=["k_proj", "down_proj"], use_dora=True)
    lm = tiny("llama")
    dora = LanguageModel(get_peft_model(lm.model, settings), lm.tokenizer, lm.chat)
    for adapted in (plain, dora):
        for label, weight in adapted.model.named_parameters():
            if "lora_B" in label:
                torch.nn.init.normal_(weight, std=0.1)
        adapted.model.eval()
        both(monkeypatch, adapted, prompts)
        assert recorders[-1].played


def test_weights_that_changed_count(monkeypatch, tiny, prompts, recorders):
    lm = tiny("llama")
    before = both(monkeypatch, lm, prompts)
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(1.1)
    assert [a.ids for a in both(monkeypatch, lm, prompts)] != [a.ids for a in before]


def test_half_precision(monkeypatch, tiny, prompts, recorders):
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        sampler = LocalSampler(tiny("llama"), max_new_tokens=12)
        sampler.sample(prompts, n=4, seed=1)
    assert recorders[-1].played


def test_slots_that_rows_enter_and_leave(monkeypatch, tiny, recorders):
    """As an engine does it: greedy rows, of which the second leaves and another comes."""

    def written():
        slots = slots_of(tiny("qwen2"), 4, 48)
        prompts = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
        logits = slots.enter(prompts, [0, 1, 2], 8)
        found = []
        for step in range(24):
            tokens = logits.argmax(1)
            found.append(logits.clone())
            if step == 6:
                order = slots.leave(torch.tensor([True, False, True]))
                tokens = tokens[torch.tensor(order)]
            logits = slots.step(tokens)
            if step == 9:
                logits = torch.cat([logits, slots.enter([[14, 15]], [0, 0], 8)])
        return found

    with torch.no_grad():
        ours = written()
        assert recorders[-1].played > 10
        monkeypatch.setenv("HEED_GRAPHS", "no")
        theirs = written()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def waits(self, tokens, view, computed=lean.LeanDecoder._computed):
    assert int(view.at.max()) >= 0
    return computed(self, tokens, view)


def test_steps_that_wait_for_the_device_are_computed_plainly(monkeypatch, tiny, prompts, recorders):
    monkeypatch.setattr(lean.LeanDecoder, "_computed", waits)
    lm = tiny("llama")
    both(monkeypatch, lm, prompts)
    assert sum(tape.played for tape in recorders) == 0
    assert lm.model.base_model in graphs._REFUSED
    asked = len(recorders)
    both(monkeypatch, lm, prompts)
    assert len(recorders) == asked  # refused for good


def test_a_recording_that_differs_is_not_used(monkeypatch, tiny, prompts, recorders):
    class Louder(TapeRecorder):
        def recorded(self, work):
            replay = super().recorded(work)
            return lambda: replay().mul_(1.01)

    monkeypatch.setattr(graphs, "recorder_for", lambda _device: Louder())
    lm = tiny("llama")
    both(monkeypatch, lm, prompts)
    assert lm.model.base_model in graphs._REFUSED


def test_first_plain_then_recorded_then_replayed():
    model, tape = torch.nn.Linear(1, 1), TapeRecorder()
    found = Recordings(tape, model)
    state, out = torch.zeros(2), torch.zeros(2)

    def work():
        return out.copy_(state + 1.0)

    seen = []
    for step in range(5):
        state.fill_(step)
        seen.append(found.run(Bucket(2, 16), work).tolist())
    assert seen == [[step + 1.0] * 2 for step in range(5)]
    assert (tape.plain, tape.made, tape.played, found.replayed) == (2, 1, 4, 3)
    found.run(Bucket(3, 16), work)
    assert (tape.plain, tape.made) == (3, 1)
    assert found.good


def test_numbers_are_rounded_up_to_few():
    assert [rounded_up(count) for count in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17, 25, 96, 97)] == [
        1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 16, 24, 32, 96, 128,
    ]  # fmt: skip
    assert all(count <= rounded_up(count) < 1.5 * count for count in range(1, 5000))
    assert Bucket.of(100, 30, slots=120, capacity=700) == Bucket(120, 64)
    assert Bucket.of(9, 600, slots=120, capacity=700) == Bucket(12, 700)


def test_nothing_is_recorded_on_a_cpu():
    assert graphs.recordings(torch.nn.Linear(1, 1), torch.device("cpu")) is None


class Cuda:
    """What `CudaRecorder` calls of torch.cuda, told in the order in which it does."""

    def __init__(self, broken=False):
        self.told, self.current, self.broken = [], "main", broken

    def install(self, monkeypatch):
        stream = SimpleNamespace(
            wait_stream=lambda other: self.told.append(f"side waits for {other}")
        )
        main = SimpleNamespace(wait_stream=lambda other: self.told.append("main waits"))
        graph = SimpleNamespace(
            capture_begin=lambda pool, capture_error_mode: self.told.append(
                f"begin {pool} {capture_error_mode} on {self.current}"
            ),
            capture_end=self.end,
            replay=lambda: self.told.append(f"replay on {self.current}"),
        )
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
        monkeypatch.setattr(torch.cuda, "stream", self.on)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
        return CudaRecorder(torch.device("cuda:0"))

    def end(self):
        self.told.append("end")
        if self.broken:
            raise RuntimeError("operation failed due to a previous error during capture")

    @contextlib.contextmanager
    def on(self, _stream):
        self.current = "side"
        try:
            yield
        finally:
            self.current = "main"


def test_a_capture_is_on_a_stream_of_its_own(monkeypatch):
    cuda = Cuda()
    recorder = cuda.install(monkeypatch)
    out = torch.zeros(1)

    def work():
        cuda.told.append(f"work on {cuda.current}")
        return out

    assert recorder.computed(work) is out
    assert cuda.told[1:] == ["work on side", "main waits"]
    cuda.told.clear()
    replay = recorder.recorded(work)
    assert cuda.told == ["begin pool thread_local on side", "work on side", "end"]
    assert replay() is out
    assert cuda.told[-1] == "replay on main"


def test_a_capture_that_fails_is_ended(monkeypatch):
    cuda = Cuda(broken=True)
    recorder = cuda.install(monkeypatch)

    def work():
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="previous error"):
        recorder.recorded(work)
    assert cuda.told[-1] == "end"
    assert cuda.current == "main"
