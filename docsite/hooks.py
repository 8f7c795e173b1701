"""What mkdocs calls while it builds the site: the generated pages come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from docsite.pages import reference

AWAITED: tuple[str, ...] = ()
"""Pages that have a place in the navigation before they are written."""

MODULES = "reference/modules/index.md"


def on_config(config: Any) -> Any:
    """Leave out of the navigation what is not written yet, and put every package into it."""
    config.nav = _placed(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the reference."""
    for path, text in reference().items():
        files.append(File.generated(config, path, content=text))
    return files


def _placed(nav: Any, docs: Path) -> Any:
    """The navigation as it is shown; None for a page that is awaited."""
    if isinstance(nav, list):
        return [kept for each in nav if (kept := _placed(each, docs)) not in (None, {})]
    if isinstance(nav, dict):
        kept = {title: _placed(each, docs) for title, each in nav.items()}
        return {title: each for title, each in kept.items() if each is not None}
    if nav == MODULES:
        return [path for path in reference() if path.startswith("reference/modules/")]
    return None if nav in AWAITED and not (docs / nav).exists() else nav
