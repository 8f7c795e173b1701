"""What is made of comparisons: goals, shares of the machine's limit, the page, the demo."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bench, demo, goals, gold, profile, startup
from benchmarks.harness import ROOT, Comparison, Measured, Unequal
from benchmarks.machine import Machine
from benchmarks.material import SIZES, Size
from benchmarks.workshop import Workshop, precisions

MACHINE = Machine({"fp32": 100.0, "bf16": 200.0}, 80.0, 50.0, "a processor", 2, 2)


def comparison(name: str, **seconds: float) -> Comparison:
    """One round a side; ours are those whose name begins with heed."""
    rounds = {
        side.replace("_", " "): [Measured(taken, 0.0, int(taken * 1000), {"tokens": 10})]
        for side, taken in seconds.items()
    }
    return Comparison(name, rounds, frozenset(s for s in rounds if s.startswith("heed")))


def test_goals_take_the_worst_comparison_and_both_sides_best() -> None:
    found = [
        comparison("rollouts 25M mixed B16", heed_fp32=1, generate_fp32=6, generate_bf16=9),
        comparison("rollouts 25M mixed B64", heed_fp32=1, generate_fp32=4, generate_bf16=9),
        comparison("dpo 1M", heed_fp32=2, heed_bf16=1, trl_fp32=5, trl_bf16=3),
        comparison("dpo 25M", heed_fp32=1, trl_fp32=8),
    ]
    by_what = {goal.what: goal.judge(found) for goal in goals.GOALS}
    rollouts = by_what["rollouts 25M, mixed lengths, beside generate fp32"]
    assert rollouts is not None
    assert rollouts.median == 4
    small, memory = by_what["dpo 1M, beside TRL's best"], by_what["peak memory, dpo 25M, of TRL's"]
    assert small is not None
    assert memory is not None
    assert (small.median, memory.median) == (3, 0.125)
    assert by_what["heed --help"] is None
    table = goals.table(found)
    assert "fp32 | 5 x | 12 x | 4.00 x | **not met** |" in table
    assert "dpo 1M, beside TRL's best | 2 x | 4 x | 3.00 x | met |" in table
    assert "dpo 25M, beside TRL's best | 3 x | 6 x | 8.00 x | aim met |" in table
    assert "heed --help | at most 250 ms | at most 120 ms | | not measured |" in table


def test_a_side_that_was_not_measured_is_not_judged() -> None:
    found = [comparison("rollouts 25M mixed B16", heed_fp32=1, generate_fp32=6)]
    by_what = {goal.what: goal.judge(found) for goal in goals.GOALS}
    assert by_what["rollouts 25M, mixed lengths, beside generate bf16"] is None
    assert by_what["rollouts 25M, mixed lengths, beside generate fp32"] is not None


@pytest.mark.parametrize(
    ("sets", "names"),
    [
        (["avx2"], ["fp32"]),
        (["avx2", "avx512f"], ["fp32", "bf16"]),
        (["asimd", "bf16"], ["fp32", "bf16"]),
    ],
)
def test_bfloat16_is_left_out_where_nothing_multiplies_it(
    sets: list[str], names: list[str]
) -> None:
    assert list(precisions(sets).values()) == names


def test_shares_of_the_limit_by_hand() -> None:
    assert MACHINE.training_share("fp32", weights=5, tokens=10, seconds=6) == pytest.approx(0.5)
    size = Size(width=1, layers=1, heads=1, inner=1, vocabulary=3)  # 4 + 3 + 3 weights
    # 2 * 10 * 30 / 100 = 6 s of products; 4 steps of 40 bytes at 50 a second are 3.2 s.
    assert MACHINE.decoding_share("fp32", size, 30, steps=4, seconds=12) == pytest.approx(0.5)
    # In bfloat16 3 s of products; 40 steps of 20 bytes are 16 s.
    assert MACHINE.decoding_share("bf16", size, 30, steps=40, seconds=32) == pytest.approx(0.5)


def test_weights_of_the_sizes() -> None:
    assert round(SIZES["1M"].matrix_weights / 1e6, 2) == 0.98
    assert round(SIZES["25M"].matrix_weights / 1e6, 1) == 25.2


def test_the_page_keeps_what_is_around_its_figures() -> None:
    found = [comparison("sft 25M", heed_fp32=1, trl_fp32=2)]
    text = bench.page(["by a command"], MACHINE, found, None)
    assert "| sft 25M | trl fp32 | 2.000 | 5 |" in text
    old = (ROOT / "docs" / "performance.md").read_text("utf-8")
    new = bench.filled(old, text)
    assert bench.filled(new, text) == new
    assert new.startswith(old.partition(bench.BEGIN)[0])
    with pytest.raises(ValueError, match="has no"):
        bench.filled("no marks", text)


def test_speed_is_beside_trls_best_and_memory_beside_as_many_rows_at_a_time() -> None:
    found = [comparison("grpo 25M", heed_bf16=1, trl_bf16=4, trl_fp32=5, trl_micro_16_bf16=2)]
    judged = {goal.what: goal.judge(found) for goal in goals.GOALS}
    speed = judged["grpo 25M, beside TRL's best"]
    memory = judged["peak memory, grpo 25M, of TRL's"]
    assert speed is not None
    assert memory is not None
    assert (speed.median, memory.median) == (2.0, 0.25)


def test_cases_that_were_looked_into_together_are_one_line() -> None:
    looked = {**dict.fromkeys(profile.ORDER, 0.0), "products": 0.25}
    cases = [
        replace(comparison(f"rollouts 1M {case}", heed_fp32=1, trl_fp32=2), profile=looked)
        for case in ("fixed B64", "mixed B64")
    ]
    other = replace(comparison("sft 1M", heed_fp32=1, trl_fp32=2), profile=dict(looked))
    text = bench.page(["by a command"], MACHINE, [*cases, other], None)
    assert "| rollouts 1M | 0% | 0% | 25% |" in text
    assert "| sft 1M | 0% | 0% | 25% |" in text
    assert text.count(" | 25% |") == 2


def test_the_demo_is_read_from_its_markers(tmp_path: Path) -> None:
    for name, seconds in (("records", 1.5), ("sft", 20.25)):
        (tmp_path / name).mkdir()
        marker = {"seconds": seconds, "memory": 3_000_000}
        (tmp_path / name / "done.json").write_text(json.dumps(marker))
    found = demo.read(tmp_path)
    assert found == {"records": (1.5, 3_000_000), "sft": (20.25, 3_000_000)}
    assert "sft" in demo.lines(demo.Demo(found, 21.75))


def test_commands_are_clocked_and_failures_told() -> None:
    asked = {"heed --help": [sys.executable, "-c", "pass"]}
    found = startup.measure(1, asked)
    assert 0 < found.seconds("heed --help") < 10
    assert "heed --help" in startup.lines(found)
    with pytest.raises(RuntimeError, match="broken"):
        startup.once([sys.executable, "-c", "raise SystemExit('broken')"])


def test_kept_weights_get_the_chat_format_and_stay_themselves(tmp_path: Path) -> None:
    start, kept = tmp_path / "start", tmp_path / "kept"
    for folder, names in ((start, ("model.safetensors", "tokenizer.json", "chat_template.jinja")),
                          (kept, ("model.safetensors",))):  # fmt: skip
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"{folder.name} {name}")
    gold.complete(kept, start)
    said = {file.name: file.read_text().split()[0] for file in kept.iterdir()}
    assert said == {
        "model.safetensors": "kept", "tokenizer.json": "start", "chat_template.jinja": "start",
    }  # fmt: skip


def test_gold_against_seconds_as_a_table_and_a_figure(tmp_path: Path) -> None:
    curves = [
        gold.Curve("heed", [0.0, 2.0, 4.0], [(0.1, 0.02), (0.3, 0.02), (0.5, 0.02)]),
        gold.Curve("trl", [0.0, 5.0, 10.0], [(0.1, 0.02), (0.3, 0.02), (0.5, 0.02)]),
    ]
    *_, last = gold.table(curves).splitlines()
    assert last == "| 20 | 4.0 | 0.50 +- 0.02 | 10.0 | 0.50 +- 0.02 |"
    gold.draw(curves, tmp_path / "gold.svg")
    assert "<svg" in (tmp_path / "gold.svg").read_text("utf-8")


def test_a_piece_that_fails_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def unequal() -> list[Comparison]:
        raise Unequal("losses 0: 1 by a, 2 by b")

    assert bench.tried(unequal) == []
    assert "LEFT OUT: losses 0" in capsys.readouterr().err
    found = comparison("x", heed=1, trl=2)
    assert bench.tried(lambda: [found]) == [found]
    with Workshop() as shop:
        asked = bench.Asked(shop, quick=True)
        pieces = {name: len(part(asked)) for name, part in bench.PARTS.items()}
    assert pieces == {"startup": 1, "rollouts": 2, "training": 6, "online": 5, "growth": 0}
