"""The one training loop. It knows no method: it adds up terms, steps, logs, checkpoints, resumes.

for each outer iteration:
    for each batch the method yields:                       one optimiser step
        counts = what the whole batch, over all ranks, counts
        for each micro-batch of this rank's share, which has about as many tokens as the others':
            loss = sum of weight * total / counts           so any split gives one gradient
            loss.backward()
        add up gradients over ranks, clip, step
    observe, log one row, checkpoint
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from heed.errors import Interrupted, UserError
from heed.interrupt import deferred_interrupt
from heed.losses.term import Term
from heed.models.checkpoint_folder import CheckpointFolder
from heed.models.packing import packs
from heed.models.sharding import everywhere, is_sharded
from heed.models.shares import micro_batches
from heed.nonfinite import check_weights, nonfinite
from heed.ops.batch import Batch
from heed.ops.schedule import SCHEDULES
from heed.ranks import Ranks
from heed.recipe import TrainingStage
from heed.run import StageRun, derive_seed

Rows = TypeVar("Rows", bound=Batch)
Metrics = dict[str, float]
Callback = Callable[[int, Metrics], str | None]
"""Called after every iteration with its number (from 1) and metrics, to which it may add. What it
returns, if anything, is the reason to stop here."""


class Method(Protocol[Rows]):
    """What every way of training is to the loop."""

    @property
    def module(self) -> nn.Module:
        """All that trains (a policy, or a policy and its value model)."""
        ...

    def batches(self, iteration: int) -> Iterator[Rows]:
        """One outer iteration, counted from 0; each batch is one optimiser step."""
        ...

    def loss(self, batch: Rows, /) -> list[Term]:
        """The objective's terms on a micro-batch."""
        ...

    def observe(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """See an iteration's metrics (an adaptive coefficient moves here); returns more of them."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside weights and optimiser, as JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Monitor:
    """The metric that decides which checkpoint is the best; it is measured after learning."""

    metric: str
    higher_is_better: bool = True

    def score(self, metrics: Mapping[str, float]) -> float | None:
        value = metrics.get(self.metric)
        return value if value is None or self.higher_is_better else -value


@dataclass
class Progress:
    """Where a training run stands; all of it is in the checkpoint."""

    iteration: int = 0
    tokens: float = 0.0
    best: float | None = None
    best_iteration: int = 0
    stopped: str | None = None


@dataclass
class Trainer(Generic[Rows]):
    """Runs a method for `iterations` outer iterations, from the last checkpoint if there is one."""

    method: Method[Rows]
    settings: TrainingStage
    run: StageRun
    iterations: int
    seed: int
    monitor: Monitor | None
    callbacks: Sequence[Callback] = ()
    lr_scales: Mapping[str, float] = field(default_factory=dict)
    """Learning rates relative to the stage's, by a part of the parameters' names: a module's, an
    adapter's."""

    def __post_init__(self) -> None:
        self.optimizer = self._make_optimizer()
        self.progress = Progress()
        self.checkpoints = CheckpointFolder(self.run.directory / "checkpoints")
        self.ranks = Ranks.here()

    def train(self) -> Progress:
        """Train to the end, then leave the weights that `keep` asks for in the module: the best
        ones, too, where a callback stopped the run.

        Raises:
          Interrupted: after Ctrl-C, once the iteration under way is finished and saved.
          UserError: the loss, its gradient or a weight stopped being a number.
        """
        self._resume()
        with deferred_interrupt() as interrupted:
            while self.progress.iteration < self.iterations and not self.progress.stopped:
                self._iterate()
                last = self.progress.iteration == self.iterations or self.progress.stopped
                due = self.progress.iteration % self.settings.checkpoint_every == 0
                asked = self.ranks.any(interrupted.is_set())
                if due or last or asked:
                    self._save("last")
                if asked:
                    self.checkpoints.finish()
                    raise Interrupted(
                        f"Stopped {self.run.name!r} after iteration {self.progress.iteration} of "
                        f"{self.iterations}; all is saved. Run the same command to go on."
                    )
        self.checkpoints.finish()
        best = self.settings.keep == "best" or self.progress.stopped
        if best and self.progress.best is not None:
            self.checkpoints.load("best", self.method.module)
        return self.progress

    def _iterate(self) -> None:
        """One outer iteration: sample or slice, learn, log."""
        began = time.perf_counter()
        iteration = self.progress.iteration
        # Whatever draws at random (dropout) depends on the iteration alone, so that resuming here
        # needs no generator's state.
        torch.manual_seed(derive_seed(self.seed, self.run.name, iteration))
        self._set_lr(iteration)
        steps = [self._step(batch, n) for n, batch in enumerate(self.method.batches(iteration), 1)]
        metrics = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}
        self.progress.iteration += 1
        self.progress.tokens += sum(step["tokens"] for step in steps)
        metrics["tokens"] = self.progress.tokens
        metrics["lr"] = self.optimizer.param_groups[0]["lr"]
        metrics.update(self.method.observe(metrics))
        reasons = [call(self.progress.iteration, metrics) for call in self.callbacks]
        self.progress.stopped = next((reason for reason in reasons if reason), None)
        score = self.monitor.score(metrics) if self.monitor else None
        if score is not None and (self.progress.best is None or score > self.progress.best):
            self.progress.best = score
            self.progress.best_iteration = self.progress.iteration
            self._save("best")
        self.run.log(self.progress.iteration, metrics, time.perf_counter() - began)

    def _step(self, batch: Rows, number: int) -> Metrics:
        """One optimiser step on a batch that all ranks hold alike; returns the terms' means."""
        counts = batch.counts()
        ranks, optim = self.ranks, self.settings.optim
        if len(batch) < ranks.count:
            raise UserError(f"{self.run.name}: {ranks.count} processes share {len(batch)} rows.")
        totals: dict[str, Tensor] = {}
        self.optimizer.zero_grad(set_to_none=True)
        sharded, packed = is_sharded(self.method.module), packs(self.method.module)
        micros = micro_batches(batch, optim.micro_tokens, packed=packed, alike=sharded)
        for micro, counted in micros:
            terms = self.method.loss(micro)
            means = {term.name: term.total / max(counts[term.count], 1e-12) for term in terms}
            objective = sum(
                (term.weight * means[term.name] for term in terms if term.weight),
                torch.zeros(()),
            )
            (objective if counted else 0.0 * objective).backward()  # where others wait for it
            for name, mean in [("loss", objective), *means.items()] if counted else []:
                totals[name] = totals.get(name, torch.zeros_like(mean)) + mean.detach()
        ranks.add_gradients([] if sharded else self._parameters())  # else it was done on the way
        ranks.add(totals.values())
        norm = everywhere(nn.utils.clip_grad_norm_(self._parameters(), optim.clip_norm))
        metrics = {name: float(total) for name, total in totals.items()}
        if not math.isfinite(metrics["loss"] + float(norm)):
            step, figures = (self.progress.iteration + 1, number), (metrics["loss"], float(norm))
            raise nonfinite(
                self.run, self.method.module, self.method.loss, batch, step, figures, optim
            )
        self.optimizer.step()
        return {**metrics, "grad_norm": float(norm), "tokens": float(batch.cost().sum())}

    def _parameters(self) -> list[nn.Parameter]:
        return [p for p in self.method.module.parameters() if p.requires_grad]

    def _make_optimizer(self) -> torch.optim.AdamW:
        """AdamW, grouped by the learning rate's scale and by decay (matrices only)."""
        optim = self.settings.optim
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.method.module.named_parameters():
            if parameter.requires_grad:
                parts = name.split(".")
                scale = next((s for part, s in self.lr_scales.items() if part in parts), 1.0)
                decay = optim.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((scale, decay), []).append(parameter)
        return torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": optim.lr * scale,
                    "scale": scale,
                    "weight_decay": decay,
                }
                for (scale, decay), parameters in groups.items()
            ],
            betas=(optim.betas[0], optim.betas[1]),
            eps=optim.eps,
            fused=True,  # one pass over the weights in place of a dozen small ones each
        )

    def _set_lr(self, iteration: int) -> None:
        optim = self.settings.optim
        done = (iteration + 1) / (self.iterations + 1)
        factor = SCHEDULES[optim.schedule](done, optim.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = optim.lr * group["scale"] * factor

    def _save(self, name: str) -> None:
        check_weights(self.run, self.method.module, self.progress.iteration)
        if self.run.writes or is_sharded(self.method.module):
            state = {"progress": vars(self.progress), "method": self.method.state_dict()}
            self.checkpoints.save(
                name, self.progress.iteration, self.method.module, self.optimizer, state
            )

    def _resume(self) -> None:
        """Take everything from the last checkpoint; rows of metrics past it are cut."""
        state = self.checkpoints.load("last", self.method.module, self.optimizer)
        if state is not None:
            self.method.load_state_dict(state["method"])
            self.progress = Progress(**state["progress"])
        self.run.keep_rows(self.progress.iteration)
