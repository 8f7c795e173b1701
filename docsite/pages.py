"""All generated pages, by their place in the documentation."""

from __future__ import annotations

from docsite.command_line import command_line
from docsite.measures import measures
from docsite.modules import modules
from docsite.settings import settings


def reference() -> dict[str, str]:
    """Markdown of the generated pages, by path."""
    pages = {
        "command-line.md": command_line(),
        "settings.md": settings(),
        "metrics.md": measures(),
        **modules(),
    }
    return {f"reference/{path}": text for path, text in pages.items()}
