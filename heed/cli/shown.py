"""What a model wrote, on a terminal: readable, and without power over it."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from rich.console import Console
from rich.text import Text

_KEPT = {"\n", "\t"}
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that steer: controls, formats (which turn the direction of
writing), lone surrogates, separators of lines."""
_JOINERS = {"\u200c", "\u200d"}
"""Formats that scripts and emoji need, and that turn nothing."""


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

    def note(self, text: str) -> None:
        """Something of Heed's own to the user."""
        self.console.print(Text(safe(text), style="dim"), soft_wrap=True)

    def error(self, text: str) -> None:
        """What is wrong, where the conversation goes on."""
        self.console.print(Text(safe(text), style="red"), soft_wrap=True)
