"""`heed sample`: ask a policy, once or for a whole file of prompts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.naming import Speaker
    from heed.recipe import Sampling
    from heed.types import Completion, Message, Prompt

MANY = 8
"""Answers from which on a bar shows how far it is."""
SIDE_BY_SIDE = 64
"""Answers drawn together: enough for a machine to be busy, few enough for a bar to move."""

Word = Annotated[
    str,
    typer.Argument(
        metavar="WHO",
        help="RUN:STAGE, a run (its last policy), a model's directory, a hub name or an address.",
    ),
]
Questions = Annotated[
    list[str] | None,
    typer.Argument(metavar="PROMPT...", help="What to ask; lines of standard input if left out."),
]
Stage = Annotated[str | None, typer.Option(help="A stage of a run: RUN --policy X is RUN:X.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="What to ask: .txt of one a line, or rows (.jsonl, .csv, .parquet) of prompt or "
        "messages.",
    ),
]
Before = Annotated[str, typer.Option(help="A system message before every prompt.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token.")]
Nucleus = Annotated[float, typer.Option(help="Keep the likeliest tokens up to this probability.")]
Longest = Annotated[
    int | None,
    typer.Option(min=1, help="Answers are cut here; 512, or half the context, if left out."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.jsonl",
        help="Write prompts and answers there, for heed label, heed compare and heed align.",
    ),
]


def sample(
    source: Word,
    prompt: Questions = None,
    policy: Stage = None,
    prompts: File = None,
    system: Before = "",
    n: Annotated[int, typer.Option("-n", min=1, help="Answers a prompt.")] = 1,
    temperature: Temperature = 1.0,
    top_p: Nucleus = 1.0,
    max_new_tokens: Longest = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    out: Out = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Print a policy's answers, or write them to a file.

    With --out a line is a prompt and its answers: several for heed label,
    where people rank them; one as a demonstration. heed compare reads both.

    [dim]Examples:[/]  heed sample runs/demo:ppo "What is the capital of France?" -n 3

    heed sample runs/mine:dpo --prompts asked.jsonl -n 4 --out answers.jsonl
    """
    from heed.cli.shown import loading
    from heed.naming import load, who

    named = who(_word(source, policy))
    asked = _asked(prompt or [], prompts, system)
    if out is not None:
        _check_place(out)
    with loading(named.word):
        speaker = load(named, device=device, say=lambda line: typer.echo(line, err=True))
    settings = _settings(speaker, temperature, top_p, max_new_tokens)
    _check_room(speaker, settings, asked)
    answers = _draw(speaker, settings, asked, n=n, seed=seed, bar=out is not None)
    if out is None:
        _print(answers)
    else:
        _write(out, answers, n)


def _word(source: str, policy: str | None) -> str:
    if policy is None:
        return source
    if not (Path(source) / "recipe.yaml").exists():
        raise UserError(f"--policy names a stage of a run, and {source} is no run's directory.")
    return f"{source}:{policy}"


def _asked(words: Sequence[str], file: Path | None, system: str) -> list[Prompt]:
    """What is asked, from one of the three places. Raises UserError where there is nothing."""
    from heed.policies.in_context import with_system
    from heed.types import Prompt

    if words and file is not None:
        raise UserError("Prompts were given twice: in the command and with --prompts. Take one.")
    if file is not None:
        from heed.data.outputs import read_prompts

        found = read_prompts(file)
    elif not words and sys.stdin.isatty():
        raise UserError(
            'Nothing is asked. Give a prompt, as in heed sample runs/demo "Hello!", a file with '
            "--prompts, or lines on standard input."
        )
    else:
        lines = words or [line.strip() for line in sys.stdin]
        found = [Prompt.of(line) for line in lines if line.strip()]
    if not found:
        raise UserError("Nothing is asked: every line of standard input is empty.")
    return [with_system(each, system) for each in found]


def _check_place(out: Path) -> None:
    """Before minutes of work: can the file be written?"""
    if out.is_dir():
        raise UserError(f"--out {out} is a directory; name a file in it, such as answers.jsonl.")
    if out.suffix != ".jsonl":
        raise UserError(f"--out {out}: answers are JSON lines; name the file NAME.jsonl.")


def _settings(
    speaker: Speaker, temperature: float, top_p: float, max_new_tokens: int | None
) -> Sampling:
    from heed.recipe import Sampling

    if not 0.0 < top_p <= 1.0:
        raise UserError(f"--top-p {top_p}: give a probability above 0 and at most 1.")
    return Sampling(
        temperature=temperature, top_p=top_p, batch_size=SIDE_BY_SIDE, stop=list(speaker.stop),
        max_new_tokens=max_new_tokens or speaker.longest,
    )  # fmt: skip


def _check_room(speaker: Speaker, settings: Sampling, asked: Sequence[Prompt]) -> None:
    """Raise UserError where prompts leave no room for an answer, before any is answered."""
    from heed.sampling.streaming import fits

    sampler = speaker.ask(settings)
    long = [at for at, prompt in enumerate(asked, start=1) if not fits(sampler, prompt)]
    if long:
        first = _short(asked[long[0] - 1].text)
        raise UserError(
            f"{len(long)} of {len(asked)} prompts leave no room for an answer of "
            f"{settings.max_new_tokens} tokens in the context of {speaker.who.word}; the first is "
            f"prompt {long[0]}, {first!r}. Shorten them or lower --max-new-tokens."
        )


def _draw(
    speaker: Speaker, settings: Sampling, asked: Sequence[Prompt], *, n: int, seed: int, bar: bool
) -> list[Completion]:
    """The answers, prompt-major, with a bar where there are many."""
    from dataclasses import replace

    from heed.policies.in_context import InContext
    from heed.progress import Display
    from heed.sampling.local import LocalSampler

    sampler = speaker.ask(settings)
    total = len(asked) * n
    with Display("sample", total, before=0, visible=bar or total > MANY) as show:
        if isinstance(sampler, LocalSampler):
            sampler = replace(sampler, progress=show)
        elif isinstance(sampler, InContext):
            sampler = replace(sampler, sampler=replace(sampler.sampler, progress=show))
        answers = sampler.sample(asked, n=n, seed=seed)
        show(total)
    return answers


def _print(answers: Sequence[Completion]) -> None:
    from heed.cli.shown import safe, tolerate_letters

    tolerate_letters()
    for each in answers:
        typer.echo(safe(each.text) if sys.stdout.isatty() else each.text)


def _write(out: Path, answers: Sequence[Completion], n: int) -> None:
    """A line a prompt, atomically."""
    import json

    from heed.files import new_file

    groups = [answers[at : at + n] for at in range(0, len(answers), n)]
    try:
        with new_file(out) as file:
            for group in groups:
                file.write(f"{json.dumps(_row(group), ensure_ascii=False)}\n".encode())
    except (OSError, UnicodeEncodeError) as error:
        raise UserError(f"Cannot write {out}: {error}. Nothing was changed there.") from error
    typer.echo(f"Answers: {out} ({len(answers):,} to {len(groups):,} prompts)", err=True)
    empty = sum(not each.text.strip() for each in answers)
    cut = sum(each.finish == "length" for each in answers)
    for count, what in ((empty, "empty"), (cut, "cut at the most tokens an answer may have")):
        if count:
            typer.echo(f"Note: {count:,} of {len(answers):,} answers are {what}.", err=True)


def _row(group: Sequence[Completion]) -> dict[str, Any]:
    """As `heed.data` reads it: a demonstration of one answer, an item to label of several."""
    from heed.data.outputs import conversation

    prompt = group[0].prompt
    row: dict[str, Any] = {"prompt": _written(prompt.messages)}
    if prompt.id not in (prompt.text, conversation(prompt.messages)):
        row["prompt_id"] = prompt.id
    if prompt.family:
        row["family"] = prompt.family
    if len(group) == 1:
        return {**row, "completion": group[0].text, "model": group[0].model}
    return {
        **row,
        "answers": [each.text for each in group],
        "models": [each.model for each in group],
    }


def _written(messages: Sequence[Message]) -> str | list[dict[str, str]]:
    """A single question as a text, a conversation as its messages."""
    if [turn.role for turn in messages] == ["user"]:
        return messages[0].content
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
