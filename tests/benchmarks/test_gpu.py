"""The benchmark for GPUs, whole, on a CPU and a tiny model; a tape stands in for graphs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tape import TapeRecorder

from benchmarks import gpu, gpu_decoding, gpu_training
from benchmarks.gpu_decoding import Work, alike, least_seconds, likeliest, prompts
from benchmarks.gpu_training import Step, agree
from benchmarks.gpu_work import SHAPES, Device, Line, Side, in_turn, new_model, size
from benchmarks.harness import Unequal
from heed.sampling import graphs

CPU = torch.device("cpu")
HERE = Device(CPU, torch.float32, products=1e9, memory=1e9)


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> TapeRecorder:
    monkeypatch.setenv("HEED_COMPILED", "no")
    recorder = TapeRecorder()
    monkeypatch.setattr(graphs, "recorder_for", lambda _device: recorder)
    return recorder


def test_all_of_it(
    tape: TapeRecorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--device", "cpu", "--batches", "1", "3", "--rounds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["gpu", *arguments])
    gpu.main()
    found = json.loads((tmp_path / "gpu.json").read_text())
    sides = ["heed", "heed, no graphs", "generate", "generate_batch"]
    assert [(line["work"], line["side"]) for line in found["lines"]] == [
        *(("decode tiny B1", side) for side in sides),
        *(("decode tiny B3", side) for side in sides),
        ("train tiny", "packed"),
        ("train tiny", "padded"),
    ]
    assert all(len(line["seconds"]) == 1 and line["least"] > 0.0 for line in found["lines"])
    assert {line["note"] for line in found["lines"] if line["work"].startswith("decode")} == {
        "",
        "100% of the words alike",
    }
    assert found["lines"][-2]["note"] == ""  # packed unasked
    assert tape.played > 0
    page, said = (tmp_path / "gpu.md").read_text(), capsys.readouterr().out
    assert page.count("\n| ") == 11
    for line in found["heading"]:
        assert line in page
        assert line in said


def test_it_refuses_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit, match="There is no GPU here"):
        gpu.main()
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", "--sizes", "7B"])
    with pytest.raises(SystemExit, match="only the tiny size"):
        gpu.main()


def test_words_that_are_not_the_likeliest_are_found_out() -> None:
    work = Work(new_model("tiny", CPU, torch.float32), prompts(512, 2, 5), 6)
    answers = gpu_decoding.by_generate(work)
    likeliest(work, answers)
    answers[1][3] = (answers[1][3] + 1) % 512
    with pytest.raises(Unequal, match="of answer 1 is not the likeliest"):
        likeliest(work, answers)


def test_words_alike_end_where_one_differs() -> None:
    assert alike([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4], [5, 0, 7, 8]]) == 5 / 8


def test_steps_that_differ_are_found_out() -> None:
    agree(Step(1.0, 2.0, 3), Step(1.001, 2.0, 3), 2e-3)
    with pytest.raises(Unequal, match="the norm"):
        agree(Step(1.0, 2.0, 3), Step(1.0, 2.1, 3), 2e-3)
    with pytest.raises(Unequal, match="the loss"):
        agree(Step(1.0, 2.0, 3), Step(float("nan"), 2.0, 3), 2e-3)


def test_a_side_that_fails_is_left_out_and_told() -> None:
    def fails() -> None:
        raise torch.OutOfMemoryError("no room\nof 3 GB")

    sides = [Side("heed", lambda: 1, lambda _: ""), Side("other", fails, lambda _: "")]
    lines = in_turn("decode", sides, HERE, 2, 10, 0.0)
    assert [len(line.seconds) for line in lines] == [2, 0]
    assert lines[1].note == "left out: OutOfMemoryError: no room"
    assert "| decode | other | | | | | | left out" in gpu.table(lines)


def test_a_line_tells_rate_share_and_ratio() -> None:
    ours = Line("decode", "heed", [1.0, 2.0, 4.0], 100, 3 * 10**9, 0.5)
    other = Line("decode", "generate", [6.0], 100, None, 0.5, "100% of the words alike")
    text = gpu.table([ours, other]).splitlines()[2:]
    assert text[0].split(" | ")[2:7] == ["2.0000 (1.0000 to 4.0000)", "50", "3.00", "25%", ""]
    assert text[1].split(" | ")[3:8] == ["17", "", "8%", "3.00 x", "100% of the words alike |"]


def test_the_limits_are_bytes_of_weights_and_keys_or_products() -> None:
    """Of two rows, two words behind three, by hand."""
    known = size("tiny")
    kept = 4 * 2 * known.layers * known.kv
    read = 2 * 4 * (known.backbone + known.head) + 2 * (3 + 4) * kept
    done = 2.0 * (known.backbone + known.head) * 2 * 2
    prompts_done = 2.0 * known.backbone * 2 * 3
    slow = Device(CPU, torch.float32, products=1e15, memory=1.0)
    assert least_seconds(slow, "tiny", 2, 3, 2) == pytest.approx(read, rel=1e-6)
    weak = Device(CPU, torch.float32, products=1.0, memory=1e15)
    assert least_seconds(weak, "tiny", 2, 3, 2) == pytest.approx(done + prompts_done)
    data = gpu_training.rows(512, 3, 8, CPU)
    tokens, targets = int(data.cost().sum()), int(data.target.sum())
    assert tokens - targets == 3 * gpu_training.PROMPT
    want = 6.0 * (known.backbone * tokens + known.head * targets)
    assert gpu_training.least_seconds(weak, "tiny", data) == pytest.approx(want)


def test_models_are_as_large_as_they_are_called() -> None:
    assert list(SHAPES) == ["tiny", "25M", "500M", "7B"]
    weights = [size(name).weights for name in SHAPES]
    assert weights[1:] == pytest.approx([25e6, 494e6, 7.6e9], rel=0.05)
    assert "7B" in gpu_training.ADAPTED


def test_a_large_model_trains_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_training, "ADAPTED", frozenset({"tiny"}))
    packed, padded = gpu_training.measure(HERE, "tiny", 3, 6, 64, 1)
    assert packed.work == padded.work == "train tiny LoRA"
    assert len(packed.seconds) == len(padded.seconds) == 1
