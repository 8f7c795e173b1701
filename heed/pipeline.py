"""Runs a recipe: every stage in order, skipping what is finished.

Under torchrun every process runs the stages that train, each on its share of every batch; the
first process alone runs the others and writes.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from heed.energy import watch_energy
from heed.memory import give_back, keep_freed, watch_memory
from heed.metering import METER, added
from heed.models.device import slow_half
from heed.ranks import Ranks, alone
from heed.recipe import Recipe, Stage
from heed.recipe.rewards import REWARDS
from heed.run import Run, StageRun
from heed.stages.best_of_n import best_of_n
from heed.stages.collect import collect
from heed.stages.compare import compare
from heed.stages.critic_free import grpo_stage, reinforce_stage, rloo_stage
from heed.stages.dpo import dpo_stage
from heed.stages.ensemble import ensemble
from heed.stages.evaluate import evaluate
from heed.stages.gates import admit, ask_after, ask_again
from heed.stages.grade_turns import grade_turns
from heed.stages.in_context import retrieval_stage, system_prompt
from heed.stages.kto import kto_stage
from heed.stages.overoptimisation import overoptimisation
from heed.stages.planned import keep_plan
from heed.stages.ppo import ppo
from heed.stages.pretrain import pretrain
from heed.stages.process_reward import process_reward
from heed.stages.records import records
from heed.stages.rejection import rejection
from heed.stages.relabel import relabel
from heed.stages.report import report
from heed.stages.revise import revise
from heed.stages.reward import reward
from heed.stages.reward_conditioned import reward_conditioned
from heed.stages.sft import sft_stage
from heed.stages.weak_to_strong import weak_to_strong
from heed.stages.workplace import OpenDesk, Say, Summary, Workplace, unattended
from heed.stages.written import written
from heed.tracking.following import followed

STAGES: Mapping[str, Callable[[Workplace, Any, StageRun], Summary]] = {
    "records": records,
    "pretrain": pretrain,
    "sft": sft_stage,
    "revise": revise,
    "collect": collect,
    "reward": reward,
    "ensemble": ensemble,
    "process_reward": process_reward,
    **{kind.kind: written for kind in REWARDS},
    "ppo": ppo,
    "rloo": rloo_stage,
    "grpo": grpo_stage,
    "reinforce": reinforce_stage,
    "dpo": dpo_stage,
    "kto": kto_stage,
    "best_of_n": best_of_n,
    "rejection": rejection,
    "system_prompt": system_prompt,
    "retrieval": retrieval_stage,
    "reward_conditioned": reward_conditioned,
    "evaluate": evaluate,
    "compare": compare,
    "overoptimisation": overoptimisation,
    "grade_turns": grade_turns,
    "report": report,
    "relabel": relabel,
    "weak_to_strong": weak_to_strong,
}


def run_recipe(
    run: Run,
    say: Say,
    only: Recipe | None = None,
    desk: OpenDesk = unattended,
) -> None:
    """Bring every stage of the run to its end; `say` hears a line about each.

    `only` is a part of the run's recipe, for who does not want all of it. `desk` serves the page
    where people annotate; without one they are told how to open it.

    Raises:
      UserError: a stage cannot work with its settings or inputs, a tracker is not installed.
      Interrupted: Ctrl-C, after the iteration under way was saved.
    """
    if run.recipe.threads:
        torch.set_num_threads(run.recipe.threads)
    keep_freed()
    work = Workplace(run, say, desk)
    if (slow := slow_half(work.dtype, work.device, "dtype")) is not None:
        say(f"{'dtype':<10} {slow}")
    if run.writes:
        run.prepare()
        keep_plan(run, say)
    Ranks.here().wait()
    with followed(run, say):
        for stage in (only or run.recipe).stages:
            place = run.stage(stage.name)
            if place.done() is None:
                admit(work, stage)
                _run_stage(work, stage, place, say)
            else:
                say(f"{stage.name:<10} done before")
                with alone():
                    ask_again(work, place)


def _run_stage(work: Workplace, stage: Stage, place: StageRun, say: Say) -> None:
    began = time.perf_counter()
    place.start()
    before, spent_before = place.seconds_logged(), place.spent_logged()
    Ranks.here().wait()
    METER.start()
    peak, energy = watch_memory(work.device), watch_energy(work.device)
    if stage.trains or place.writes:
        with _precision(work):
            with nullcontext() if stage.trains else alone():
                summary = STAGES[stage.kind](work, stage, place)
            with alone():
                ask_after(work, place)
        seconds = before + time.perf_counter() - began
        # Nobody read the counters of a process that was killed.
        joules = {} if spent_before else energy()
        spent = {**added(spent_before, METER.total()), **joules}
        place.finish(seconds, summary, memory=peak(), spent=spent)
        say(f"{stage.name:<10} done in {seconds:.0f} s")
        for note in summary.get("notes", []):
            say(f"{'':<10} {note}")
    give_back()
    Ranks.here().wait()


def _precision(work: Workplace) -> torch.autocast:
    """Forward passes in the recipe's dtype; weights in training stay float32.

    Without autocast's cache: it would keep the cast weights of before an optimiser step.
    """
    return torch.autocast(
        work.device.type,
        dtype=torch.bfloat16,
        enabled=work.dtype == torch.bfloat16,
        cache_enabled=False,
    )


@contextmanager
def processes() -> Iterator[int]:
    """Join the other processes that torchrun started, if it did; gives this one's rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    # The first process may sample and evaluate alone for long; a dead one ends all by torchrun.
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    long = timedelta(days=7)
    dist.init_process_group(backends, timeout=long, **_meeting_place(long))
    try:
        yield dist.get_rank()
        gc.collect()  # sharded models that outlive their group abort the process
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _meeting_place(timeout: timedelta) -> dict[str, Any]:
    """Where the processes of this attempt find each other.

    torchrun keeps one store over all its restarts, and in it the addresses of processes that are
    gone: who reads one of those waits for ever.
    """
    store, rank, count = next(rendezvous("env://", timeout=timeout))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store.set_timeout(timeout)
    return {
        "store": PrefixStore(f"attempt-{attempt}", store),
        "rank": rank,
        "world_size": count,
    }
