"""The command line: one file a verb; a user's mistake ends with one paragraph and exit code 2.

torch is imported inside the verbs that need it, so that help and errors come at once.
"""

from __future__ import annotations

import os
import warnings
from copy import copy
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from heed import __version__
from heed.cli.verbs import LINES, Group, Verbs
from heed.errors import Interrupted, UserError

# By default idle OpenMP threads spin for so long that a training step takes many times longer as
# soon as another program wants one of the cores (10 s in place of 0.2 s was seen). Not to spin at
# all takes twice as long on an idle machine. Read once, when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# peft 0.21 reads a flag that transformers renamed; nobody who trains an adapter can do about it.
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)

_STAGES = "Stopped. Finished stages are kept; run the same command to go on."
STOPPED = {
    "align": _STAGES,
    "run": _STAGES,
    "train": _STAGES,
    "compare": "Stopped. What was judged is kept; run the same command to go on.",
    "evaluate": "Stopped. What was answered is kept; run the same command to go on.",
    "export": "Stopped. Nothing was written; what stood there stands there still.",
    "label": "Stopped. What was saved is kept; run the same command to go on.",
}
"""What Ctrl-C leaves, by verb; the others keep nothing to go on from."""


class Program(Group):
    """Imports a verb when it is asked for, and turns the exceptions that users cause into messages
    and exit codes.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": Verbs()})

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        shown = copy(self)
        shown.commands = {name: TyperCommand(name, help=line) for name, line in LINES.items()}
        Group.format_help(shown, ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            _print_error(str(error))
            raise typer.Exit(2) from error
        except Interrupted as stop:
            _print(str(stop))
            raise typer.Exit(130) from stop
        except Exception as error:
            from heed.cli.trouble import trouble

            said = trouble(error)
            if said is None:
                raise
            _print_error(said)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as stop:
            _print(STOPPED.get(ctx.invoked_subcommand, "Stopped."))
            raise typer.Exit(130) from stop


def _print_error(said: str) -> None:
    from rich.markup import escape

    _print(f"[red bold]Error:[/] {escape(said)}")


def _print(said: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(said, highlight=False, soft_wrap=True)


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help=(
        "Reinforcement learning from human feedback, the whole loop: prompts, feedback, reward "
        "model, policy, and what it cost.\n\n"
        "Start with [bold]heed run quickstart[/]."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heed {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before a verb."""
