"""What a model wrote, on a terminal: readable, and without power over it."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_KEPT = {"\n", "\t"}
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that steer: controls, formats (which turn the direction of
writing), lone surrogates, separators of lines."""
_JOINERS = {"\u200c", "\u200d"}
"""Formats that scripts and emoji need, and that turn nothing."""
WIDE = 80
"""Columns of a terminal from which on two answers stand side by side."""
FRAME = 0.05
"""Seconds between two pictures of answers that grow."""


def safe(text: str) -> str:
    """The text with every character that could steer a terminal made visible.

    Controls become their pictures (ESC is ␛, carriage return ␍), others of the kind their code
    (U+202E). Line feeds and tabs stay.
    """
    return "".join(
        _shown(char)
        if unicodedata.category(char) in _UNSEEN and char not in _KEPT | _JOINERS
        else char
        for char in text
    )


def _shown(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


def tolerate_letters() -> None:
    """A terminal may know fewer letters than texts use: those become question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def loading(what: str) -> Iterator[None]:
    """A spinner on standard error while something is loaded; nothing where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"Loading {safe(what)} ...", spinner="dots"):
        yield


class Screen:
    """Where a conversation is shown: a terminal, or plain lines where it is piped.

    Piped, answers alone go to standard output, one after the other, and the rest to standard error.
    """

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.console = Console(highlight=False, stderr=not self.interactive)
        tolerate_letters()
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        if self.interactive:
            with suppress(ImportError):  # gives the line its editing and its history
                import readline  # noqa: F401

    def read(self, mark: str = "> ") -> str | None:
        """A line of the user's; None at the end.

        Raises KeyboardInterrupt for Ctrl-C.
        """
        if not self.interactive:
            line = sys.stdin.readline()
            return line.rstrip("\n") if line else None
        try:
            return input(mark)
        except EOFError:
            return None

    def begin(self, label: str) -> None:
        """An answer of this name begins."""
        if self.interactive:
            self.console.print(Text(safe(label), style="bold cyan"))

    def piece(self, text: str) -> None:
        """More of the answer."""
        sys.stdout.write(safe(text) if self.interactive else text)
        sys.stdout.flush()

    def end(self, remark: str = "") -> None:
        """The answer ends here."""
        sys.stdout.write("\n")
        sys.stdout.flush()
        if remark:
            self.note(remark)

    @property
    def wide(self) -> bool:
        """Whether two answers can stand side by side."""
        return self.interactive and self.console.width >= WIDE

    def beside(self, labels: Sequence[str], answers: Sequence[Iterator[str]]) -> bool:
        """Show answers side by side while they are written; whether Ctrl-C stopped them."""
        said = [""] * len(answers)
        waiting = dict(enumerate(answers))
        stopped, drawn = False, 0.0
        # What is longer than the window is cut while it grows; the whole is printed in the end.
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            try:
                while waiting:
                    for place, pieces in list(waiting.items()):
                        piece = next(pieces, None)
                        if piece is None:
                            del waiting[place]
                        else:
                            said[place] += piece
                    if time.monotonic() - drawn >= FRAME:
                        live.update(_columns(labels, said), refresh=True)
                        drawn = time.monotonic()
            except KeyboardInterrupt:
                stopped = True
        self.console.print(_columns(labels, said))
        return stopped

    def note(self, text: str) -> None:
        """Something of Heed's own to the user."""
        self.console.print(Text(safe(text), style="dim"), soft_wrap=True)

    def error(self, text: str) -> None:
        """What is wrong, where the conversation goes on."""
        self.console.print(Text(safe(text), style="red"), soft_wrap=True)


def _columns(labels: Sequence[str], said: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    for _ in labels:
        table.add_column(ratio=1, overflow="fold")
    table.add_row(*(Text(safe(label), style="bold cyan") for label in labels))
    table.add_row(*(Text(safe(text)) for text in said))
    return table
