"""`heed sample`: ask a policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from heed.errors import UserError
from heed.types import Prompt

POLICY = "policy"
"""What a stage's folder calls the policy in it."""


def sample(
    source: Annotated[
        str,
        typer.Argument(help="A run's directory, a model's directory, or a hub name."),
    ],
    prompt: Annotated[
        list[str] | None, typer.Argument(help="What to ask; lines of standard input if left out.")
    ] = None,
    policy: Annotated[str, typer.Option(help="Which stage's policy of a run.")] = "ppo",
    n: Annotated[int, typer.Option("-n", min=1, help="Answers a prompt.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Answers are cut here.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Print a policy's answers.

    [dim]Example:[/]  heed sample runs/demo "What is the capital of France?" --policy ppo -n 3
    """
    questions = prompt or [line.strip() for line in sys.stdin if line.strip()]
    directory = _policy_directory(source, policy)
    before = asked_with(directory)
    from heed.models.language_model import load_language_model
    from heed.policies.in_context import with_system
    from heed.sampling.local import LocalSampler

    sampler = LocalSampler(
        load_language_model(directory, device=device),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    prompts = [with_system(Prompt.of(question), before) for question in questions]
    for completion in sampler.sample(prompts, n=n, seed=seed):
        typer.echo(completion.text)


def _policy_directory(source: str, policy: str) -> str:
    """The model itself, or the named policy of a run."""
    run = Path(source)
    if not (run / "recipe.yaml").exists():
        return source
    directory = run / policy / POLICY
    summary = _summary(run / policy)
    if "source" in summary:  # a base model that is used as it is stays where it was
        return str(summary["source"])
    if not directory.is_dir():
        there = sorted(found.parent.name for found in run.glob(f"*/{POLICY}"))
        raise UserError(
            f"{run} has no policy {policy!r}. It has: {', '.join(there) or 'none yet'}."
        )
    return str(directory)


def asked_with(directory: str) -> str:
    """The system message that a reward-conditioned policy is asked with, wherever its run says so
    beside it; nothing for others.
    """
    path = Path(directory)
    summary = _summary(path.parent) if path.name == POLICY else {}
    return str(summary.get("asked_with", ""))


def _summary(stage: Path) -> dict[str, Any]:
    """What a run's finished stage said of itself; nothing where there is no such stage."""
    marker = stage / "done.json"
    if not marker.exists():
        return {}
    summary: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))["summary"]
    return summary
