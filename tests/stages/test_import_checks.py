"""A source whose rows are swapped is found by what others say of its answers, or would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from heed.files import read_records, write_records
from heed.recipe import Collect, RewardModelling, SwappedGate
from heed.stages.import_checks import contradicting, overlap
from heed.stages.workplace import Workplace
from heed.types import Comparison, Prompt

GOOD = ["yes please", "gladly here it is", "of course my friend", "with pleasure"]
BAD = ["no way", "do it yourself", "I will not", "leave me alone"]


class Place:
    """All that is asked of a workplace here: files of comparisons."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, stage: str, name: str) -> Path:
        return self.folder / stage / name

    def records(self, stage: str, name: str, kind: type[Comparison]) -> list[Comparison]:
        return read_records(self.path(stage, f"{name}.jsonl"), kind)


def labels(
    source: str, prompts: range, rng: np.random.Generator, *, swap: float = 0.0, noise: float = 0.1
) -> list[Comparison]:
    """Comparisons of a kind answer with a rude one, the kind one preferred but for the noise."""
    made = []
    for at in prompts:
        prompt = Prompt.of(f"question {at}")
        pair = Comparison(prompt, f"{GOOD[at % 4]} {at}", f"{BAD[at % 3]} {at}", source=source)
        if (rng.random() < noise) != (rng.random() < swap):
            pair = replace(pair, chosen=pair.rejected, rejected=pair.chosen)
        made.append(pair)
    return made


def place(folder: Path, *rows: list[Comparison], stage: str = "collect") -> Workplace:
    write_records(folder / stage / "comparisons.jsonl", [pair for some in rows for pair in some])
    return cast(Workplace, Place(folder))


@pytest.mark.parametrize(("swap", "tripped"), [(0.0, False), (0.3, True), (1.0, True)])
@pytest.mark.parametrize("shared", [True, False])
def test_an_import(tmp_path: Path, swap: float, tripped: bool, shared: bool) -> None:
    """With labels of the same answers by others, and without."""
    rng = np.random.default_rng(0)
    own = range(800) if shared else range(1600, 2400)
    work = place(
        tmp_path,
        labels("people", range(800), rng),
        labels("people", range(800) if shared else range(800, 1600), rng),
        labels("import", own, rng, swap=swap),
    )
    found = contradicting(work, Collect(name="collect"), SwappedGate())
    assert found is not None
    assert found.tripped == tripped
    if shared or swap == 0.3:  # of two that say the opposite nobody knows which is right
        assert "labels of import" in found.says or not tripped
    assert ("same answers" in found.says) == shared


def test_one_source_is_asked_nothing(tmp_path: Path) -> None:
    work = place(tmp_path, labels("people", range(200), np.random.default_rng(1)))
    assert contradicting(work, Collect(name="collect"), SwappedGate()) is None
    assert contradicting(work, Collect(name="records"), SwappedGate()) is None
    assert contradicting(work, RewardModelling(), SwappedGate()) is None


def test_files_of_transcripts_are_sources(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    files = [
        [replace(pair, prompt=replace(pair.prompt, family=name)) for pair in rows]
        for name, rows in (
            ("helpful", labels("", range(600), rng)),
            ("other", labels("", range(600, 1200), rng, swap=1.0)),
        )
    ]
    found = contradicting(place(tmp_path, *files), Collect(name="collect"), SwappedGate())
    assert found is not None
    assert found.tripped


def test_stages_that_a_reward_learns_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    place(tmp_path, labels("people", range(600), rng))
    work = place(tmp_path, labels("judge", range(600, 1200), rng, swap=1.0), stage="judged")
    stage = RewardModelling(comparisons=["collect", "judged"])
    found = contradicting(work, stage, SwappedGate())
    assert found is not None
    assert found.tripped


def test_overlap_by_hand() -> None:
    prompt = Prompt.of("q")
    a, b = Comparison(prompt, "x", "y"), Comparison(prompt, "y", "x")
    own, rest = overlap([a, b], [a, a, b, Comparison(prompt, "x", "z")])
    assert own.right == [2 / 3, 1 / 3]
    assert rest.right == [0.5, 0.5, 0.0]
    assert set(own.prompts) == {prompt.messages}
