"""The page of the settings, from the classes that read a recipe and the texts of their fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from heed.recipe import STAGES, Lora, Optimisation, Recipe, Rounds, Sampling, SharedLora

HEAD = """\
# Settings

Everything a recipe may say: key, type, default and what it means. This page is made from the
classes that read a recipe. An unknown key is an error that names the nearest valid one; a setting
that would have no effect is refused.

A setting of a stage is written `stage.key` on the command line: `--set ppo.kl.coef=0.1`. The first
word is the stage's name, which is its kind where the recipe gives it none.
`heed recipes quickstart` prints a recipe with every default written out.

"""
SHARED = (Optimisation, Sampling, Lora, SharedLora)
"""Groups that many stages have: told once, where a stage says only what differs."""
WORDS = {
    "number": "number", "integer": "whole number", "string": "text", "boolean": "true or false",
    "null": "null", "object": "mapping", "array": "list",
}  # fmt: skip
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most",
          "exclusiveMaximum": "below"}  # fmt: skip


def settings() -> str:
    """The whole page."""
    return HEAD + "\n".join(_page())


def _page() -> Iterator[str]:
    yield "## The recipe\n"
    yield from _section(Recipe, "", leave=("stages",))
    yield "## Groups\n"
    for group in SHARED:
        yield f"### {group.__name__}\n"
        yield from _section(group, group.__name__)
    yield "## Stages\n"
    for kind, stage in STAGES.items():
        yield f"### {kind}\n"
        yield from _section(stage, kind)
    yield "### rounds\n"
    yield from _section(Rounds, "rounds", more={"stages": "the stages that are repeated"})


def _section(
    model: type[BaseModel],
    prefix: str,
    leave: tuple[str, ...] = (),
    more: dict[str, str] | None = None,
) -> Iterator[str]:
    yield f"{escape((model.__doc__ or '').strip(), quote=False)}\n"
    yield '<dl class="settings">'
    yield from _rows(model, prefix, "", leave)
    for key, text in (more or {}).items():
        yield f"<dt><code>{key}</code></dt><dd>{said(text)}</dd>"
    yield "</dl>\n"


def _rows(
    model: type[BaseModel], prefix: str, inside: str, leave: tuple[str, ...] = ()
) -> Iterator[str]:
    schemas = model.model_json_schema(mode="validation")
    for name, field in model.model_fields.items():
        if name in leave:
            continue
        key = f"{inside}{name}"
        group = group_of(field.annotation)
        default = _default(field)
        text = " ".join((field.description or "").split())
        if group in SHARED:
            kind = f'see <a href="#{group.__name__.lower()}">{group.__name__}</a>'
            yield _row(prefix, key, kind, _differs(group, default), text)
        elif group is not None and default is not None:
            doc = " ".join((group.__doc__ or "").split("\n\n")[0].split())
            yield _row(prefix, key, "settings below", "", text or doc)
            yield from _rows(group, prefix, f"{key}.")
        elif group is not None:
            yield _row(prefix, key, "settings below, or null", "null", text or _first(group))
            yield from _rows(group, prefix, f"{key}.")
        else:
            kind = _type(schemas["properties"][name], schemas.get("$defs", {}))
            shown = "" if default is PydanticUndefined else _shown(default)
            yield _row(prefix, key, kind, shown, text)


def _first(group: type[BaseModel]) -> str:
    return " ".join((group.__doc__ or "").split("\n\n")[0].split())


def _row(prefix: str, key: str, kind: str, default: str, text: str) -> str:
    anchor = f"{prefix}.{key}" if prefix else key
    given = f" · default <code>{escape(default)}</code>" if default else ""
    return (
        f'<dt id="{anchor}"><code>{key}</code> <small>{kind}{given}</small></dt>'
        f"<dd>{said(text)}</dd>"
    )


def said(text: str) -> str:
    """A text of a field as HTML: what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def group_of(annotation: Any) -> type[BaseModel] | None:
    """The class of settings that a field holds, alone or beside null."""
    held = [annotation, *getattr(annotation, "__args__", ())]
    found = [each for each in held if isinstance(each, type) and issubclass(each, BaseModel)]
    mapping = getattr(annotation, "__origin__", None) in (dict, list, tuple)
    return found[0] if found and not mapping else None


def _default(field: Any) -> Any:
    return field.get_default(call_default_factory=True)


def _differs(group: type[BaseModel], default: Any) -> str:
    """What a stage's own defaults of a shared group are, where they are others."""
    if default is None:
        return "null"
    own = default.model_dump()
    usual = {name: _default(field) for name, field in group.model_fields.items()}
    return ", ".join(f"{key}: {_shown(value)}" for key, value in own.items() if value != usual[key])


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump()
    plain = isinstance(value, str) and value.strip() and value.isprintable()
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _type(schema: dict[str, Any], groups: dict[str, Any]) -> str:
    """A type in words."""
    if "$ref" in schema:
        return _type(groups[schema["$ref"].rsplit("/", 1)[1]], groups)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each, groups) for each in schema["anyOf"]))
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    kind = WORDS.get(schema.get("type", ""), "anything")
    if kind == "list" and schema.get("items"):
        kind = f"list of {_type(schema['items'], groups)}"
    bounds = [f"{word} {schema[key]:g}" for key, word in BOUNDS.items() if key in schema]
    return " ".join([kind, ", ".join(bounds)]).strip()
