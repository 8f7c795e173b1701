"""Actual RL: GRPO on what can be checked raises it on held-out prompts, by stated amounts.

A small world of sums and verse. "Held out" are sums that training asked in other words: those with
operands that were never told stay unknown to such a model (docs/log.md).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from heed.config import load_recipe
from heed.pipeline import run_recipe
from heed.run import Run

pytestmark = pytest.mark.slow

RECIPE = """\
name: verifiable
threads: 1
device: cpu
world: {families: [arithmetic, verse]}
stages:
  - records: {corpus: 6000, demonstrations: 600}
  - pretrain:
      batch: 32
      architecture: {model_type: llama, hidden_size: 96, intermediate_size: 256,
                     num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2,
                     max_position_embeddings: 256, tie_word_embeddings: true}
      optim: {lr: 3e-3, schedule: cosine, warmup: 0.05, micro_tokens: 1600}
  - sft: {epochs: 2, batch: 32, optim: {lr: 1e-3, micro_tokens: 1600}}
  - correct: {families: [arithmetic], samples: 64}
  - metre: {families: [verse], samples: 64}
  - metre: {name: metrical, families: [verse], whole: true, samples: 64}
  - grpo: {name: sums, reward: correct, families: [arithmetic], iterations: 24, rollouts: 96,
           epochs: 2, minibatches: 2, kl: {coef: 0.01}, missing_eos: 0.0,
           optim: {lr: 5e-4, micro_tokens: 3200}}
  - grpo: {name: verse, reward: metre, families: [verse], iterations: 24, rollouts: 96,
           epochs: 2, minibatches: 2, kl: {coef: 0.01}, missing_eos: 0.0,
           optim: {lr: 5e-4, micro_tokens: 3200}}
  - evaluate: {policies: {sft: sft, sums: sums, verse: verse}, reward: correct,
               also: {metrical: metrical, metre: metre}, samples: 500}
  - report
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("verifiable")
    (folder / "verifiable.yaml").write_text(RECIPE)
    run = Run(load_recipe(str(folder / "verifiable.yaml")), folder / "run")
    run_recipe(run, say=lambda line: None)
    found: dict[str, Any] = json.loads((run.directory / "report.json").read_text())
    page = (run.directory / "report.html").read_text()
    return {**found, "page": page}


def heldout(report: dict[str, Any], policy: str, family: str, measure: str) -> float:
    mean: float = report["families"][policy][family][measure]["mean"]
    return mean


def test_right_sums_rise_in_words_that_were_never_asked(report: dict[str, Any]) -> None:
    before, after = (heldout(report, name, "arithmetic", "correct") for name in ("sft", "sums"))
    assert after > before + 0.15  # measured: .02 to .38


def test_lines_become_metrical(report: dict[str, Any]) -> None:
    before, after = (heldout(report, name, "verse", "metrical") for name in ("sft", "verse"))
    assert before < 0.2
    assert after > before + 0.4  # measured: .02 to .87
    (gap,) = [
        gap for gap in report["gaps"]
        if (gap["better"], gap["worse"], gap["measure"]) == ("verse", "sft", "metre")
    ]  # fmt: skip
    assert gap["difference"]["low"] > 0.1


def test_the_figure_shows_both(report: dict[str, Any]) -> None:
    for words in ("Right answers: arithmetic, held out: SFT ", "Metre: verse, held out: SFT "):
        assert words in report["page"]
