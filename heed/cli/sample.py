"""`heed sample`: ask a policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from heed.errors import UserError
from heed.types import Prompt


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
    from heed.models.language_model import load_language_model
    from heed.sampling.local import LocalSampler

    sampler = LocalSampler(
        load_language_model(directory, device=device),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    for completion in sampler.sample([Prompt.of(q) for q in questions], n=n, seed=seed):
        typer.echo(completion.text)


def _policy_directory(source: str, policy: str) -> str:
    """The model itself, or the named policy of a run."""
    run = Path(source)
    if not (run / "recipe.yaml").exists():
        return source
    directory = run / policy / "policy"
    marker = run / policy / "done.json"
    done = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {"summary": {}}
    if "source" in done["summary"]:  # a base model that is used as it is stays where it was
        return str(done["summary"]["source"])
    if not directory.is_dir():
        there = sorted(found.parent.name for found in run.glob("*/policy"))
        raise UserError(
            f"{run} has no policy {policy!r}. It has: {', '.join(there) or 'none yet'}."
        )
    return str(directory)
