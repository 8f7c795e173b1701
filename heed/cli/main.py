"""The command line: one file a verb; a user's mistake ends with one paragraph and exit code 2.

torch is imported inside the verbs that need it, so that help and errors come at once.
"""

from __future__ import annotations

import os
import warnings
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from heed import __version__
from heed.cli import (
    align,
    chat,
    compare,
    doctor,
    evaluate,
    export,
    init,
    label,
    plan,
    prefs,
    recipes,
    report,
    run,
    sample,
    train,
    watch,
    world,
)
from heed.cli.trouble import trouble
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


class Verbs(TyperGroup):
    """Turns the exceptions that users cause into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        console = Console(stderr=True)
        try:
            return super().invoke(ctx)
        except UserError as error:
            console.print(
                f"[red bold]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True
            )
            raise typer.Exit(2) from error
        except Interrupted as stop:
            console.print(escape(str(stop)), highlight=False, soft_wrap=True)
            raise typer.Exit(130) from stop
        except Exception as error:
            said = trouble(error)
            if said is None:
                raise
            console.print(f"[red bold]Error:[/] {escape(said)}", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as stop:
            console.print(STOPPED.get(ctx.invoked_subcommand, "Stopped."), highlight=False)
            raise typer.Exit(130) from stop


app = typer.Typer(
    cls=Verbs,
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


app.command("align")(align.align)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("recipes")(recipes.recipes)
app.command("train")(train.train)
app.command("chat")(chat.chat)
app.command("sample")(sample.sample)
app.command("watch")(watch.watch)
app.command("report")(report.report)
app.command("compare", epilog=compare.MORE)(compare.compare)
app.command("evaluate", epilog=evaluate.MORE)(evaluate.evaluate)
app.command("export")(export.export)
app.command("label")(label.label)
app.add_typer(prefs.app, name="prefs", help="Import, export and judge preferences.")
app.add_typer(world.app, name="world", help="Look into the embedded world and score answers.")
app.command("doctor")(doctor.doctor)
