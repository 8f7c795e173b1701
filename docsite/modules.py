"""The pages of the modules: one a package, for mkdocstrings to fill from the docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import heed

ROOT = Path(heed.__file__).parent
LEAVE = ("cli", "recipes", "__main__")
"""What has no interface for Python: the command line has a page of its own."""
HEAD = """\
# Python modules

Every public class and function, by package, from their docstrings. What a package may know of
others says [Architecture](../../architecture.md).

| Package | What lives there |
|---|---|
"""


def modules() -> dict[str, str]:
    """The pages, by where they stand below `reference/`."""
    alone = [path for path in sorted(ROOT.glob("*.py")) if _public(path)]
    pages = {"modules/heed.md": _page("heed", [_dotted(path) for path in alone])}
    rows = [("heed", "Modules that stand alone: records, runs, files, the loop.")]
    for package in _packages():
        inside = sorted((ROOT / package).rglob("*.py"))
        names = [_dotted(path) for path in inside if _public(path)]
        pages[f"modules/{package}.md"] = _page(f"heed.{package}", names)
        rows.append((package, _says(ROOT / package / "__init__.py")))
    table = "".join(
        f"| [`{page if page == 'heed' else f'heed.{page}'}`]({page}.md) | {text} |\n"
        for page, text in rows
    )
    return {"modules/index.md": HEAD + table, **pages}


def _packages() -> Iterator[str]:
    for path in sorted(ROOT.iterdir()):
        if (path / "__init__.py").exists() and path.name not in LEAVE:
            yield path.name


def _public(path: Path) -> bool:
    """Whether a module says something: private ones and empty packages do not."""
    name = path.stem
    if name == "__init__":
        return path.parent == ROOT
    return not name.startswith("_") and name not in LEAVE


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _says(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def _page(title: str, names: list[str]) -> str:
    return f"# {title}\n\n" + "\n".join(f"::: {name}\n" for name in names)
