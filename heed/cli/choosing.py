"""What `heed align` and `heed init` share: their options, and what they tell of a choice."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.aligning import Prepared
    from heed.planning.choosing.facts import Reason

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A causal language model: its directory or hub name."),
]
Prefs = Annotated[
    list[str],
    typer.Argument(
        metavar="PREFS...",
        help="Preferences: files (JSONL, gz, Parquet, CSV), directories or names of data sets.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="dpo (or another loss of its family), kto, ppo, rloo, grpo, sft; by the data if left "
        "out.",
    ),
]
Adapter = Annotated[
    bool | None,
    typer.Option("--lora/--full", help="An adapter, or the whole model; by memory if left out."),
]
Imitate = Annotated[
    bool | None,
    typer.Option(
        "--sft/--no-sft", help="Whether it imitates the chosen answers first; by the model."
    ),
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Go on without rows that cannot be read.")
]
Seed = Annotated[int, typer.Option("--seed", help="Everything random is derived from it.")]
REFRESH = 0.2
"""Seconds between two numbers on the line that shows what is read."""
WIDE = 120
"""Columns of a terminal from which on reasons stand beside the values instead of below."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for. The same wish gives the same recipe, on the same machine."""

    model: str
    prefs: list[str]
    method: str | None
    adapter: str | None
    sft: bool | None
    set: list[str]
    seed: int
    skip_broken: bool

    def changes(self, before: Mapping[str, Any]) -> list[str]:
        """What an earlier wish said otherwise, in words."""
        now = asdict(self)
        return [
            f"{key} was {_word(before[key])} and is {_word(value)}"
            for key, value in now.items()
            if key in before and before[key] != value
        ]


def wish_of(
    model: str, prefs: list[str], method: str | None, lora: bool | None, sft: bool | None,
    set_: list[str] | None, seed: int, skip_broken: bool,
) -> Wish:  # fmt: skip
    """The options as they are kept."""
    adapter = None if lora is None else ("lora" if lora else "full")
    return Wish(model, prefs, method, adapter, sft, set_ or [], seed, skip_broken)


def name_of(wish: Wish) -> str:
    """A run's name, by its model and method."""
    return f"{plain(Path(wish.model).name)}-{wish.method or 'aligned'}"


def plain(name: str) -> str:
    """A name as a recipe may have it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "mine"


def chosen(wish: Wish, name: str) -> Prepared:
    """Look at model, data and machine, and choose; what is read shows while it is read.

    Raises UserError for broken rows, unless the wish goes on without them.
    """
    from rich.console import Console

    from heed.aligning import prepare

    console = Console(stderr=True)
    with console.status("Looking at the model") as status:
        last = 0.0

        def progress(source: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > REFRESH:
                last = time.monotonic()
                of = f" of {total:,}" if total else ""
                status.update(f"Reading {Path(source).name}: {done:,}{of}")

        return prepare(
            wish.model,
            wish.prefs,
            method=wish.method,
            adapter=wish.adapter,  # type: ignore[arg-type]  # one of the two, or None
            imitate=wish.sft,
            overrides=wish.set,
            seed=wish.seed,
            skip_broken=wish.skip_broken,
            name=name,
            progress=progress,
        )


def tell(prepared: Prepared, *, to_stderr: bool = False) -> None:
    """What was found in the data, and what was chosen why."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    from heed.data.survey import describe

    console = Console(stderr=to_stderr, highlight=False)
    console.print("[bold]The data[/]")
    for line in describe(prepared.survey):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print("\n[bold]The recipe[/]: each setting, its value and why")
    wide = console.width >= WIDE
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, show_header=False)
    for settings, value, why in _rows(prepared.reasons):
        if wide:
            table.add_row(settings, value, f"[dim]{_safe(why)}[/]")
        else:
            console.print(f"  {settings}: {value}")
            console.print(Padding(f"[dim]{_safe(why)}[/]", (0, 0, 0, 6)))
    console.print(table)


def _rows(reasons: Iterable[Reason]) -> list[tuple[str, str, str]]:
    """One row a choice: stages that have a setting for the same reason share it."""
    from heed.planning.choosing.page import written

    found: dict[tuple[str, str, str], list[str]] = {}
    for reason in reasons:
        stage, dot, key = reason.setting.partition(".")
        row = (key if dot else stage, _safe(written(reason.value)), reason.why)
        found.setdefault(row, []).append(stage if dot else "")
    return [
        (f"{key} [dim]({', '.join(stages)})[/]" if any(stages) else f"[bold]{key}[/]", value, why)
        for (key, value, why), stages in found.items()
    ]


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _word(value: Any) -> str:
    return "not given" if value in (None, []) else str(value)


def refuse_broken(prepared: Prepared, wish: Wish, aside: Path) -> None:
    """Raise UserError where rows are broken and the wish does not go on without them; good and
    broken ones are then kept apart in `aside`.
    """
    found = prepared.survey
    if found.broken and not wish.skip_broken:
        from heed.data.aside import keep_apart, refusal

        kept = keep_apart(found, aside)
        ways = f"give {kept.good} in place of your files, or go on without them by --skip-broken"
        raise UserError(refusal(found, kept, ways))
