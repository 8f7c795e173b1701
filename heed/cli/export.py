"""`heed export`: a policy or a reward model of a run, as a directory that others load."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.exporting.export import Exported
    from heed.exporting.found import Found


class Dtype(StrEnum):
    """Precisions of the weights on disk."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN:STAGE",
            help="A policy or reward model of a run, as in runs/demo:ppo; RUN alone is its last "
            "policy.",
        ),
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes.")],
    adapter: Annotated[
        bool, typer.Option("--adapter", help="The LoRA adapter alone, for peft.")
    ] = False,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Precision of the weights; as they are kept by default.")
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="SIZE", help="A file of weights is at most so large.")
    ] = "5GB",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier export that stands in DIR.")
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Upload it to the hub, too; private."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push: let everybody see it.")
    ] = False,
) -> None:
    """Write a model of a run so that plain transformers (or peft) loads it, with a model card.

    It is read again and compared before it takes its place. Nothing goes online without --push.

    [dim]Examples:[/]  heed export runs/demo:ppo exports/demo-ppo --dtype bfloat16
    heed export runs/demo:reward exports/demo-reward
    """
    if public and push is None:
        raise UserError("--public says how to push; give --push OWNER/NAME with it.")
    run, stage = _place(source)
    if push is not None:
        from heed.exporting.hub import check_name

        check_name(push)
    from heed.exporting.export import Wish, check_place
    from heed.exporting.export import export as write
    from heed.exporting.found import find

    check_place(directory, force)
    found = find(run, stage)
    wish = Wish("adapter" if adapter else "merged", dtype and dtype.value, _size(shard), force)
    exported = write(found, directory, wish, repository=push)
    typer.echo("\n".join(_told(found, exported)))
    if push is not None:
        from heed.exporting.hub import push as upload

        typer.echo(f"On the hub: {upload(directory, push, private=not public)}")


def _place(source: str) -> tuple[Path, str | None]:
    """A run's directory, and the stage's name where one is given."""
    from heed.naming import run_of
    from heed.run import seeds_of

    whole = Path(source)
    if (whole / "recipe.yaml").is_file():
        return whole, None
    if (found := run_of(source)) is not None:
        return found
    directory, colon, stage = source.rpartition(":")
    several = seeds_of(Path(directory) if colon else whole)
    if several:
        raise UserError(
            f"{source} is a run of several seeds; name one of them, as in {several[0]}"
            f"{f':{stage}' if colon else ''}."
        )
    raise UserError(
        f"{source} is no run. Name the folder that heed run wrote and a stage of it, as in "
        "runs/demo:ppo."
    )


def _size(text: str) -> str:
    """A size as transformers takes it. Raises UserError where it is none."""
    number, unit = text[:-2], text[-2:].upper()
    if unit not in ("KB", "MB", "GB") or not number.isdigit() or int(number) == 0:
        raise UserError(f"--shard {text}: give a size such as 500MB or 5GB.")
    return f"{number}{unit}"


def _told(found: Found, exported: Exported) -> list[str]:
    """What was written, how large, and what reading it again showed."""
    checked = exported.checked
    lines = [f"{found.run}:{found.name} in {exported.directory} ({exported.dtype}):"]
    lines += [f"  {_bytes(size):>9}  {name}" for name, size in exported.files.items()]
    lines.append(f"  {_bytes(sum(exported.files.values())):>9}  in all")
    same = ""
    if checked.answers is not None:
        same = f"; {checked.answers} of {checked.probes} likeliest answers are the same"
    lines.append(
        f"Read again: {'scores' if found.kind == 'reward' else 'log-probs'} differ by "
        f"{checked.written.most:.1e} at most{same}."
    )
    if checked.rounding is not None:
        lines.append(
            f"Rounding to {exported.dtype} moves them by {checked.rounding.mean:.1e} on average, "
            f"{checked.rounding.most:.1e} at most."
        )
    return lines


def _bytes(size: int) -> str:
    for unit, amount in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= amount:
            return f"{size / amount:.1f} {unit}"
    return f"{size} B"
