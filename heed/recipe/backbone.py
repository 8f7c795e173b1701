"""Where a backbone lies: a directory, a name on the hub, or an installed package that carries one.

`package:NAME` is a Python package with a model inside: a folder with config.json and safetensors
weights. It is found, never imported, so that none of its code runs.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from heed.errors import UserError

PACKAGE = "package:"


def located(backbone: str) -> str:
    """The directory or hub name that a backbone stands for.

    Raises UserError for a path where no directory is, and for a package that is not installed or
    carries no model, or several.
    """
    if not backbone.startswith(PACKAGE):
        path = backbone.startswith(("/", ".", "~")) or backbone.count("/") > 1
        if path and not Path(backbone).is_dir():
            raise UserError(f"There is no model directory at {backbone} to be a backbone.")
        return backbone
    name = backbone.removeprefix(PACKAGE)
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"The backbone {backbone!r} is a Python package that is not installed here. Run: "
            f"pip install {name.replace('_', '-')}"
        )
    found = [
        config.parent
        for place in spec.submodule_search_locations
        for config in sorted(Path(place).rglob("config.json"))
        if any(config.parent.glob("*.safetensors"))
    ]
    if len(found) != 1:
        several = ", ".join(map(str, found))
        what = f"several models ({several})" if found else "no model in safetensors"
        raise UserError(
            f"The package {name} carries {what}; name the folder of one as the backbone instead."
        )
    return str(found[0])
