"""What mkdocs calls while it builds the site: the generated pages come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from docsite.pages import reference

AWAITED = (
    "data.md", "align.md", "chat.md", "python.md", "export.md", "doctor.md", "tracking.md",
    "evaluate.md", "errors.md",
)  # fmt: skip
"""Pages that have a place in the navigation before they are written."""


def on_config(config: Any) -> Any:
    """Leave out of the navigation what is not written yet."""
    config.nav = _written(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the reference."""
    for path, text in reference().items():
        files.append(File.generated(config, path, content=text))
    return files


def _written(nav: Any, docs: Path) -> Any:
    if isinstance(nav, list):
        return [kept for each in nav if (kept := _written(each, docs)) not in (None, {}, [])]
    if isinstance(nav, dict):
        kept = {title: _written(each, docs) for title, each in nav.items()}
        return {title: each for title, each in kept.items() if each is not None}
    return None if nav in AWAITED and not (docs / nav).exists() else nav
