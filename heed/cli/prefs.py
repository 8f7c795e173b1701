"""`heed prefs`: preferences in and out of a store, and what they are worth."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from heed.cli.verbs import Group
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.feedback.importing import Progress
    from heed.store.database import Store
    from heed.types import Annotation, Item

    Labels = tuple[Mapping[str, Item], Sequence[Annotation]]
    Show = Callable[[Mapping[str, Item], Sequence[Annotation]], None]

app = typer.Typer(
    cls=Group,
    help="Import, export and judge preferences.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

StorePlace = Annotated[
    str,
    typer.Option("--store", envvar="HEED_STORE", help="A SQLite file or postgresql://..."),
]
ProjectName = Annotated[str, typer.Option("--project", help="The project in that store.")]
Source = Annotated[
    str | None,
    typer.Argument(
        help="A file, saved directory or hub name, in place of a store.", metavar="FILE"
    ),
]
Form = Annotated[
    str | None, typer.Option("--format", help="The rows' format; told by the columns if left out.")
]
Companions = Annotated[
    list[Path] | None,
    typer.Option("--companion", help="A file that belongs to it, such as llmfao's texts."),
]
Command = TypeVar("Command", bound=Callable[..., Any])
STORE = "feedback.db"
PROJECT = "default"


def _flowing(command: Command) -> Command:
    """A paragraph of the docstring a line, for help keeps line breaks; lists keep theirs."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    command.__doc__ = "\n\n".join(
        text if text.startswith("- ") else " ".join(text.split()) for text in paragraphs
    )
    return command


@app.command("import", epilog="Example:  heed prefs import preferences.jsonl --project helpful")
@_flowing
def import_(
    file: Annotated[str, typer.Argument(help="A file, a saved directory, or owner/name.")],
    store: StorePlace = STORE,
    project: ProjectName = PROJECT,
    format: Form = None,
    annotator: Annotated[
        str, typer.Option(help="Whose verdicts those are that the file ascribes to nobody.")
    ] = "import",
    companion: Companions = None,
    keep_good: Annotated[
        bool, typer.Option("--keep-good", help="Import the good rows though there are bad ones.")
    ] = False,
) -> None:
    """Add items and labels to a project: all of a file, or nothing of it.

    Reads .jsonl, .json, .csv (also .gz), .parquet and directories of datasets. The columns tell
    which format the rows are of:

    - heed: what heed prefs export writes: all that was said of each item, thumbs too
    - items: prompt, answers (or a, b); items to be labelled
    - trl: prompt, chosen, rejected as texts or lists of messages
    - unpaired: prompt, completion, label
    - hh: chosen, rejected as HH-RLHF transcripts
    - argilla: records of Argilla 2
    - llmfao: its votes, the texts in the file beside it or in --companion
    - ultrafeedback: instruction, completions with an overall_score

    Rows that cannot be used are named by line and written to FILE.rejected.jsonl beside the file,
    and so are rows that compare nothing (equal answers, unlike prompts). The same file again
    changes nothing.

    Training sets come back with less than they had: a label holds no weight (a warning counts such
    rows), and an annotator's contradicting verdicts are kept as repeats. A column split of heldout,
    test or validation, or a data set's part of that name, holds prompts out.
    """
    from heed.feedback.importing import import_file

    with _opened(store, new=True) as place, _bars() as progress:
        report = import_file(
            place, project, file, format=format, annotator=annotator,
            companions=companion or [], keep_good=keep_good, progress=progress,
        )  # fmt: skip
    typer.echo(str(report))
    for warning in report.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    for where, why in report.errors[:5]:
        typer.echo(f"{where}: {why}", err=True)


@app.command(epilog="Example:  heed prefs export train.parquet --format trl --weigh")
@_flowing
def export(
    file: Annotated[
        Path,
        typer.Argument(help=".jsonl, .jsonl.gz, .json, .csv, .parquet; no suffix: `datasets`."),
    ],
    store: StorePlace = STORE,
    project: ProjectName = PROJECT,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="heed, trl, trl-plain, hh, unpaired, demonstrations, argilla or llmfao.",
        ),
    ] = "heed",
    split: Annotated[
        Literal["train", "heldout", "all"] | None,
        typer.Option(
            help="Of a training set: the prompts it is made on; each row says on which side it is.",
            show_default="train",
        ),
    ] = None,
    ties: Annotated[
        Literal["drop", "half"],
        typer.Option(help="A tie makes no comparison, or two opposite ones of half the weight."),
    ] = "drop",
    weigh: Annotated[
        bool, typer.Option("--weigh", help="Weigh verdicts by their annotators' reliability.")
    ] = False,
    one_per_item: Annotated[
        bool, typer.Option("--one-per-item", help="A majority vote in place of every verdict.")
    ] = False,
) -> None:
    """Write a project's labels to a file, and beside it FILE.about.json: what is and is not in it.

    heed, argilla and llmfao hold everything (thumbs on a server's replies: heed alone). The others
    are training sets, on training prompts unless --split says otherwise: no labels of gold items,
    no planned repeats, adjudications in place of the votes on their items. How many labels were
    left out is told.

    Cells are written as people gave them, so that they come back the same. A spreadsheet may take
    a text that begins with = + - or @ for a formula: open a .csv with its cells as text. Messages
    stand in a .csv as JSON, which others than Heed take for plain text: give them trl-plain there,
    or a file of another kind.
    """
    from heed.feedback.exporting import export_project

    with _opened(store) as place:
        report = export_project(
            place, project, file, format=format, split=split, ties=ties, weigh=weigh,
            one_per_item=one_per_item,
        )  # fmt: skip
    typer.echo(str(report))


def _command(epilog: str) -> Callable[[Show], Show]:
    """Make a function a command that shows something of a file's labels, or of a project's."""

    def register(show: Show) -> Show:
        @app.command(show.__name__, help=show.__doc__, epilog=epilog)
        def command(
            file: Source = None,
            store: StorePlace = STORE,
            project: ProjectName = PROJECT,
            format: Form = None,
            companion: Companions = None,
        ) -> None:
            show(*_labels(file, store, project, format, companion))

        return show

    return register


@_command("Example:  heed prefs stats preferences.jsonl")
def stats(items: Mapping[str, Item], annotations: Sequence[Annotation]) -> None:
    """Count a project's labels, or a file's: verdicts, sides, lengths, sources, annotators."""
    from heed.cli.tabled import show_counts

    show_counts(items, annotations)


@_command("Example:  heed prefs agreement --project helpful")
def agreement(items: Mapping[str, Item], annotations: Sequence[Annotation]) -> None:
    """How far annotators agree with each other, and judges with people, with 95% intervals."""
    from heed.cli.tabled import show_agreement

    if not annotations:
        raise UserError("Nothing was labelled yet: there is no agreement to speak of.")
    show_agreement(items, annotations)


def _labels(
    file: str | None, store: str, project: str, format: str | None, companions: list[Path] | None
) -> Labels:
    """Items and annotations of a file, or else of the store's project."""
    if file is not None:
        from heed.data.preferences import read_preferences

        _, found = read_preferences(file, format=format, companions=companions or [])
        if found.errors:
            first = found.errors[0]
            typer.echo(
                f"{len(found.errors):,} rows left out; the first: {first.place}: {first.why}",
                err=True,
            )
        if not found.items:
            raise UserError(f"{file} holds no comparison.")
        return {item.id: item for item in found.items}, found.annotations
    if format or companions:
        raise UserError("--format and --companion say how to read a file; a store needs neither.")
    from heed.feedback.contents import read_contents

    with _opened(store) as place:
        contents = read_contents(place, project)
    return contents.items, contents.history


@contextmanager
def _opened(place: str, *, new: bool = False) -> Iterator[Store]:
    """The store, which must be there unless it may be a new one."""
    from heed.store.database import Store

    path = place.removeprefix("sqlite:///")
    if not new and "://" not in path and not Path(path).exists():
        raise UserError(f"There is no store at {path}. Name one with --store, or import a file.")
    store = Store.open(place)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _bars() -> Iterator[Progress]:
    """On a terminal, a bar for reading and one for storing, with rate and time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<6}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="dim"), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None, rate="")
            speed = bar.tasks[tasks[what]].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(tasks[what], completed=done, total=total or None, rate=rate)

        yield show
