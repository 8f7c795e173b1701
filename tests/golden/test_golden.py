"""Twenty seeded steps of every method on texts of the embedded world, held against stored numbers.

A refactoring must not move them. Where a change is meant to, write them anew and look at the
difference before committing it:

    python -m pytest tests/golden --golden-write && git diff tests/golden

Sums of floats differ a little between machines, hence the tolerances, and seeds by which no draw is
a close one. What the methods are made of stands in golden_methods.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_methods import METHODS, STEPS

from heed.offline import HeldoutLoss
from heed.policies.policy_gradient import PolicyGradient
from heed.policies.rejection import RejectionSampling
from heed.recipe import LOSSES
from heed.run import StageRun
from heed.sampling import answers
from heed.sampling.draw import Draw, draw
from heed.trainer import Monitor, Trainer

NEAREST = 1e-6
"""How far, in shares of probability, any number that a token is drawn by must be from where another
one would be drawn. Compiled or not, these places differ by up to 5e-7 within twenty steps."""


class KilledError(Exception):
    """What ends a run between two checkpoints."""


def kill_at(iteration: int) -> Callable[[int, Any], None]:
    def call(done: int, _: Any) -> None:
        if done == iteration:
            raise KilledError

    return call


def train(name: str, run: StageRun, folder: Path, *more: Callable[[int, Any], Any]) -> list[str]:
    """Twenty steps of a method, and what they logged."""
    method = METHODS[name][0](folder)
    measure = (
        []
        if isinstance(method, PolicyGradient | RejectionSampling)
        else [HeldoutLoss(method, method.data, every=5, last=20, micro_tokens=400)]
    )
    Trainer(
        method=method,
        settings=run.stage,
        run=run,
        iterations=STEPS,
        seed=0,
        monitor=Monitor("nothing"),
        callbacks=[*measure, *more],
    ).train()
    return (run.run / "metrics.jsonl").read_text().splitlines()


def optimisation(name: str) -> dict[str, Any]:
    return {"lr": METHODS[name][1], "schedule": "cosine", "warmup": 0.2, "micro_tokens": 400}


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_was_killed_and_goes_on_is_the_same_to_the_bit(
    name: str, place: Any, tmp_path: Path
) -> None:
    """Killed after 8 steps, with a checkpoint at 5; on one thread, as `make test-slow` sets it."""
    settings = {"optim": optimisation(name), "checkpoint_every": 5}
    whole = train(name, place("whole", **settings), tmp_path / "policy")
    torn = place("torn", **settings)
    with pytest.raises(KilledError):
        train(name, torn, tmp_path / "torn-policy", kill_at(8))
    assert len((torn.run / "metrics.jsonl").read_text().splitlines()) == 7
    assert train(name, torn, tmp_path / "torn-policy") == whole


@pytest.fixture
def margins(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How far each draw of the test is from another token."""
    found: list[float] = []

    def drawn(
        logits: torch.Tensor, uniform: torch.Tensor, *, temperature: float, **more: Any
    ) -> Draw:
        edges = (logits.double() / temperature).softmax(dim=-1).cumsum(dim=-1)[:, :-1]
        found.extend((edges - uniform[:, None]).abs().amin(dim=-1).tolist())
        return draw(logits, uniform, temperature=temperature, **more)

    monkeypatch.setattr(answers, "draw", drawn)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_the_numbers_stay(
    name: str, place: Any, tmp_path: Path, request: pytest.FixtureRequest, margins: list[float]
) -> None:
    run = place(optim=optimisation(name))
    lines = train(name, run, tmp_path / "policy")
    rows = [json.loads(line) for line in lines]
    # Where the policy still is the reference, which side is ahead is rounding.
    if name == "kto" or name in [loss for loss, facts in LOSSES.items() if facts.reference]:
        del rows[0]["accuracy"]
    for row in rows:
        assert row.pop("stage") == "sft"
    if "unfinished" in rows[0]:  # it has drawn answers
        assert min(margins) > NEAREST
    stored = Path(__file__).with_name(f"{name}.json")
    if request.config.getoption("--golden-write"):
        stored.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    golden = json.loads(stored.read_text())
    assert len(rows) == len(golden) == STEPS
    for row, expected in zip(rows, golden, strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=2e-5)


def test_packing_moves_nothing() -> None:
    plain, together = (
        json.loads(Path(__file__).with_name(f"{name}.json").read_text())
        for name in ("sft", "sft_packed")
    )
    for row, expected in zip(together, plain, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
