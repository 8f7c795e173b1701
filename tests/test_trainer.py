"""The one training loop: exact gradients, schedules, checkpoints, resuming, stopping, ranks."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heed.errors import Interrupted, UserError
from heed.losses.preference import PREFERENCE_LOSSES
from heed.losses.sft import cross_entropy
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.reference import Reference
from heed.models.rows import demonstration_rows, pair_rows
from heed.offline import Offline
from heed.ops.batch import Batch
from heed.ops.order import Order
from heed.policies.dpo import dpo, with_reference
from heed.policies.kl_control import KlController
from heed.policies.sft import sft
from heed.run import StageRun
from heed.trainer import Monitor, Trainer
from heed.types import Comparison, Demonstration

LOSS = Monitor("loss", higher_is_better=False)


@dataclass(frozen=True)
class Points(Batch):
    x: Tensor
    y: Tensor

    def counts(self) -> dict[str, float]:
        return {**super().counts(), "positive": float((self.y > 0).sum())}

    def cost(self) -> Tensor:
        return torch.ones(len(self), dtype=torch.long)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(3, 8)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.body(x).tanh())).squeeze(-1)


class Regression:
    """A Method with two optimiser steps an iteration and a state of its own."""

    def __init__(self) -> None:
        self.module = Line().train()
        generator = torch.Generator().manual_seed(1)
        self.data = Points(
            torch.randn(12, 3, generator=generator), torch.randn(12, generator=generator)
        )
        self.seen = 0

    def batches(self, iteration: int) -> Iterator[Points]:
        order = Order(12, 6, seed=5)
        for step in (2 * iteration, 2 * iteration + 1):
            yield self.data.rows(order.indices(step))

    def loss(self, batch: Points) -> list[Term]:
        error = (self.module(batch.x) - batch.y).square()
        return [
            Term("error", error.sum(), "rows"),
            Term("positive_error", (error * (batch.y > 0)).sum(), "positive", weight=0.5),
            Term("largest", batch.y.abs().sum(), "rows", weight=0.0),
        ]

    def observe(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        self.seen += 1
        return {"seen": float(self.seen)}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


def trainer(method: Any, run: StageRun, iterations: int = 6, **more: Any) -> Trainer[Any]:
    return Trainer(
        method=method,
        settings=run.stage,
        run=run,
        iterations=iterations,
        seed=0,
        **{"monitor": LOSS, **more},
    )


def weights(module: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in module.parameters()]


def rows(run: StageRun) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]


def answers(count: int = 7) -> list[str]:
    return [" ".join(["yes", "no", "red", "two", "bad"][: 1 + i % 5]) for i in range(count)]


def imitation(lm: Any, prompts: Any) -> Any:
    items = [Demonstration(prompts[i % 6], text) for i, text in enumerate(answers())]
    return sft(lm, demonstration_rows(lm.chat, items, 64), Order(7, 7, 0))


def preference_and_imitation(lm: Any, prompts: Any) -> Any:
    """DPO plus the likelihood of what was chosen: one objective, two denominators."""
    texts = zip(answers(), reversed(answers()), strict=True)
    items = [
        Comparison(prompts[i % 6], good, bad + " no", weight=0.5 + i)
        for i, (good, bad) in enumerate(texts)
    ]
    pairs = with_reference(pair_rows(lm.chat, items, 64), Reference(lm), 1000)
    for weight in lm.model.parameters():  # at the reference itself, accuracy is rounding
        weight.data.mul_(1.1)
    method = dpo(lm, pairs, Order(7, 7, 0), PREFERENCE_LOSSES["dpo"], 0.5)

    def loss(batch: Any) -> list[Term]:
        logprobs, _ = completion_logprobs(lm.model, batch.chosen)
        (nll,) = cross_entropy(logprobs, batch.chosen.target)
        return [*method.loss(batch), Term("nll", nll.total, "chosen_tokens", weight=0.3)]

    return Offline(method.module, pairs, method.order, loss)


@pytest.mark.parametrize("kind", ["imitation", "preference_and_imitation", "ppo"])
def test_any_split_into_micro_batches_gives_the_same_step(
    kind: str, toy_lm: Any, toy_prompts: Any, toy_ppo: Any, place: Any
) -> None:
    found = {}
    for micro_tokens in (10**6, 40, 1):
        lm = toy_lm()
        if kind == "ppo":
            method = toy_ppo(lm, epochs=1, minibatches=1, entropy_coef=0.1)
        else:
            method = globals()[kind](lm, toy_prompts)
        optim = {"lr": 0.01, "eps": 1e-3, "clip_norm": 1e6, "micro_tokens": micro_tokens}
        run = place(str(micro_tokens), optim=optim)
        trainer(method, run, iterations=1).train()
        gradients = [weight.grad.clone() for weight in method.module.parameters()]
        found[micro_tokens] = gradients, weights(method.module), rows(run)[0]
    whole = found.pop(10**6)
    assert max(float(gradient.abs().max()) for gradient in whole[0]) > 0.01
    for gradients, after, row in found.values():
        torch.testing.assert_close(gradients, whole[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(after, whole[1], atol=1e-6, rtol=1e-5)
        assert row == pytest.approx(whole[2], abs=1e-5)


def test_metrics_are_means_of_the_whole_batch(place: Any) -> None:
    method = Regression()
    method.module.eval()
    run = place(optim={"lr": 1e-9, "micro_tokens": 2})
    trainer(method, run, iterations=1).train()
    method = Regression()
    method.module.eval()
    steps = [[*method.loss(batch)] for batch in method.batches(0)]
    counts = [batch.counts() for batch in method.batches(0)]
    (row,) = rows(run)
    for index, name in enumerate(("error", "positive_error", "largest")):
        means = [
            step[index].total.item() / count[step[index].count]
            for step, count in zip(steps, counts, strict=True)
        ]
        assert row[name] == pytest.approx(sum(means) / 2, rel=1e-5)
    assert row["loss"] == pytest.approx(row["error"] + 0.5 * row["positive_error"], rel=1e-5)
    assert (row["seen"], row["tokens"], row["step"], row["stage"]) == (1, 12, 1, "sft")


def test_the_rate_warms_up_and_falls_to_nothing(place: Any) -> None:
    optim = {"lr": 0.01, "schedule": "linear", "warmup": 0.4, "micro_tokens": 3}
    run = place(optim=optim)
    made = trainer(Regression(), run, iterations=4, lr_scales={"head": 3.0})
    made.train()
    done = [0.2, 0.4, 0.6, 0.8]
    factors = [0.5, 1.0, 2 / 3, 1 / 3]
    assert [row["lr"] for row in rows(run)] == pytest.approx([0.01 * f for f in factors])
    assert done == [(i + 1) / 5 for i in range(4)]
    rates = {group["scale"]: group["lr"] for group in made.optimizer.param_groups}
    assert rates == pytest.approx({1.0: 0.01 / 3, 3.0: 0.01})
    assert all(group["fused"] for group in made.optimizer.param_groups)  # on every device


def test_only_matrices_decay_and_frozen_weights_stay_out(place: Any) -> None:
    method = Regression()
    method.module.body.bias.requires_grad_(False)
    run = place(optim={"weight_decay": 0.1, "lr": 0.01})
    groups = trainer(method, run, lr_scales={"head": 2.0}).optimizer.param_groups
    named = {id(weight): name for name, weight in method.module.named_parameters()}
    found = {
        named[id(weight)]: (group["weight_decay"], group["lr"])
        for group in groups
        for weight in group["params"]
    }
    assert found == {
        "body.weight": (0.1, 0.01),
        "head.weight": (0.1, 0.02),
        "head.bias": (0.0, 0.02),
    }


def test_gradients_are_clipped_and_their_norm_logged(place: Any) -> None:
    method = Regression()
    run = place(optim={"clip_norm": 1e-3})
    trainer(method, run, iterations=1).train()
    norm = torch.stack([weight.grad.norm() for weight in method.module.parameters()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)
    assert rows(run)[0]["grad_norm"] > 0.1


@pytest.mark.parametrize(
    ("monitor", "choose"), [(LOSS, min), (Monitor("loss"), max)], ids=["lowest", "highest"]
)
def test_keep_best_restores_the_best_weights(place: Any, monitor: Monitor, choose: Any) -> None:
    method = Regression()
    run = place(keep="best", optim={"lr": 0.3, "schedule": "constant"})
    after: list[list[Tensor]] = []
    trainer(
        method,
        run,
        iterations=5,
        monitor=monitor,
        callbacks=[lambda *_: after.append(weights(method.module))],
    ).train()
    losses = [row["loss"] for row in rows(run)]
    best = losses.index(choose(losses))
    assert all(torch.equal(*pair) for pair in zip(weights(method.module), after[best], strict=True))
    names = sorted(path.name for path in (run.directory / "checkpoints").iterdir())
    assert names == [f"best-{best + 1:06d}", "last-000005"]


def test_keep_best_without_a_measurement_keeps_the_last(place: Any) -> None:
    method = Regression()
    run = place(keep="best")
    after: list[list[Tensor]] = []
    call = lambda *_: after.append(weights(method.module))  # noqa: E731
    trainer(method, run, 3, monitor=Monitor("nothing"), callbacks=[call]).train()
    assert all(torch.equal(*pair) for pair in zip(weights(method.module), after[-1], strict=True))


class Killed(Exception):  # noqa: N818
    pass


def kill_after(step: int) -> Callable[[int, Any], None]:
    def call(iteration: int, metrics: Any) -> None:
        if iteration == step:
            raise Killed

    return call


def methods(toy_lm: Any, toy_ppo: Any) -> dict[str, Callable[[], Any]]:
    return {
        "regression": Regression,
        "ppo": lambda: toy_ppo(toy_lm(), kl=KlController(0.1, target=0.5, horizon=100)),
    }


@pytest.mark.parametrize("kind", ["regression", "ppo"])
@pytest.mark.parametrize("killed_at", [1, 4, 5])
def test_a_killed_run_goes_on_to_the_same_bits(
    kind: str, killed_at: int, toy_lm: Any, toy_ppo: Any, place: Any
) -> None:
    make = methods(toy_lm, toy_ppo)[kind]
    settings = {"checkpoint_every": 2, "keep": "best", "optim": {"lr": 0.02}}
    straight, whole = place("straight", **settings), make()
    trainer(whole, straight).train()
    resumed = place("resumed", **settings)
    with pytest.raises(Killed):
        trainer(make(), resumed, callbacks=[kill_after(killed_at)]).train()
    resumed.start()
    again = make()
    progress = trainer(again, resumed).train()
    metrics = [(run.run / "metrics.jsonl").read_bytes() for run in (straight, resumed)]
    assert metrics[0] == metrics[1]
    assert len(rows(resumed)) == progress.iteration == 6
    pairs = zip(weights(again.module), weights(whole.module), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert again.state_dict() == whole.state_dict()


def test_rows_past_the_checkpoint_are_cut(place: Any) -> None:
    run = place(checkpoint_every=3)
    with pytest.raises(Killed):
        trainer(Regression(), run, callbacks=[kill_after(6)]).train()
    assert [row["step"] for row in rows(run)] == [1, 2, 3, 4, 5]
    with pytest.raises(Killed):
        trainer(Regression(), run, callbacks=[kill_after(4)]).train()
    assert [row["step"] for row in rows(run)] == [1, 2, 3]


def test_a_gradient_that_is_no_number_is_an_error(place: Any) -> None:
    method = Regression()
    method.data.y[7] = torch.nan
    run = place(optim={"lr": 1.0})
    with pytest.raises(UserError, match=r"^sft: the loss or its gradient .* at iteration 1, step"):
        trainer(method, run).train()


def interrupt_at(step: int) -> Callable[[int, Any], None]:
    def call(iteration: int, metrics: Any) -> None:
        if iteration == step:
            os.kill(os.getpid(), signal.SIGINT)

    return call


@pytest.mark.parametrize("at", [2, 6], ids=["midway", "in the last iteration"])
def test_ctrl_c_saves_and_says_how_to_go_on(place: Any, at: int) -> None:
    straight, whole = place("straight"), Regression()
    trainer(whole, straight).train()
    stopped = place("stopped")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=rf"'sft' after iteration {at} of 6; .*same command"):
        trainer(Regression(), stopped, callbacks=[interrupt_at(at)]).train()
    assert len(rows(stopped)) == at
    assert signal.getsignal(signal.SIGINT) is before
    again = Regression()
    trainer(again, stopped).train()
    texts = [(run.run / "metrics.jsonl").read_bytes() for run in (straight, stopped)]
    assert texts[0] == texts[1]
    pairs = zip(weights(again.module), weights(whole.module), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_callback_may_add_numbers_and_stop_the_run(place: Any) -> None:
    def gate(iteration: int, metrics: dict[str, float]) -> str | None:
        metrics["seen_by_gate"] = float(iteration)
        return "the gate closed." if iteration == 2 else None

    run = place(checkpoint_every=100)
    progress = trainer(Regression(), run, callbacks=[gate]).train()
    assert (progress.iteration, progress.stopped) == (2, "the gate closed.")
    assert [row["seen_by_gate"] for row in rows(run)] == [1, 2]
    again = trainer(Regression(), run, callbacks=[gate]).train()
    assert (again.iteration, again.stopped) == (2, "the gate closed.")


def test_only_the_writer_leaves_files(place: Any) -> None:
    run = place(writes=False)
    trainer(Regression(), run, iterations=2).train()
    assert not run.run.exists()


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    script = Path(__file__).parent / "train_on_ranks.py"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, str(script), str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    runpy.run_path(str(script))["main"](tmp_path / "one")
    single = torch.load(tmp_path / "one" / "rank0.pt")
    for rank in (0, 1):
        found = torch.load(tmp_path / "two" / f"rank{rank}.pt")
        assert found.keys() == single.keys()
        torch.testing.assert_close(found, single, atol=1e-6, rtol=1e-5)
    for method in ("sft", "dpo", "ppo"):
        of_one, of_two = (
            (tmp_path / folder / method / "metrics.jsonl").read_text().splitlines()
            for folder in ("one", "two")
        )
        assert len(of_one) == len(of_two) == 3  # rank 0 alone has written
        for lines in zip(of_one, of_two, strict=True):
            first, second = map(json.loads, lines)
            assert first.pop("stage") == second.pop("stage") == "sft"
            assert second == pytest.approx(first, rel=1e-4, abs=1e-5)
        written = sorted(path.name for path in (tmp_path / "two" / method / "sft").iterdir())
        assert written == ["checkpoints", "started.json"]
