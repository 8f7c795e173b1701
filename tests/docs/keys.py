"""The settings that a page speaks of, in YAML and in the text, and whether there are such."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docs.blocks import Block
from pydantic import BaseModel, ValidationError

from docsite.settings import group_of
from heed import config
from heed.config import load_recipe
from heed.planning.hardware import Page
from heed.recipe import STAGES, Recipe, Rounds

FILES = ("html", "json", "jsonl", "py", "md", "yaml", "yml", "txt", "csv", "db", "gz", "parquet",
         "png", "svg", "safetensors", "git", "lock")  # fmt: skip
DOTTED = re.compile(r"^[a-z_]+(\.[a-z_0-9]+)+$")
PAIR = re.compile(r"^(?P<key>[a-z_]+): \S")
ROOTS: dict[str, type[BaseModel]] = {"": Recipe, "rounds": Rounds, **STAGES}


def _paths(model: type[BaseModel], inside: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{inside}{name}"
        group = group_of(field.annotation)
        if group is not None:
            yield from _paths(group, f"{inside}{name}.")


@cache
def known() -> frozenset[str]:
    """Every setting by the names that people give it: `ppo.kl.coef`, `kl.coef`, `coef`."""
    found = set()
    for kind, model in ROOTS.items():
        for path in _paths(model):
            parts = ([kind] if kind else []) + path.split(".")
            found |= {".".join(parts[at:]) for at in range(len(parts))}
        found.add(kind)
    return frozenset(found)


@cache
def groups() -> frozenset[str]:
    """What may stand before a dot: stages, and settings that have settings."""
    return frozenset(path.split(".")[0] for path in known() if "." in path)


def unknown(code: str) -> str:
    """The setting in a piece of inline code that does not exist, or nothing."""
    if DOTTED.match(code) and code.rpartition(".")[2] not in FILES:
        first = code.split(".", maxsplit=1)[0]
        return code if first in groups() and code not in known() else ""
    pair = PAIR.match(code)
    if pair and pair["key"] not in known():
        return pair["key"]
    if pair and pair["key"] in STAGES:
        return _refused(pair["key"], code)
    return ""


def _refused(kind: str, code: str) -> str:
    """What is wrong with settings of a stage in a sentence, which need not be all it takes."""
    try:
        given = yaml.safe_load(code)[kind]
        STAGES[kind].model_validate({"name": kind, **(given if isinstance(given, dict) else {})})
    except yaml.YAMLError as error:
        return str(error)
    except ValidationError as error:
        found = [each for each in error.errors() if each["type"] not in {"value_error", "missing"}]
        return "; ".join(f"{kind}: {each['loc']} {each['msg']}" for each in found)
    return ""


def is_recipe(block: Block) -> bool:
    """Whether a block holds a recipe or a piece of one."""
    if block.language:
        return block.language == "yaml"
    first = block.text.lstrip().split("\n")[0]
    named = re.match(r"^(?:- )?([a-z_]+)(?::|$)", first)
    return bool(named) and named is not None and named[1] in known() | {"stages"}


def check_yaml(block: Block, folder: Path) -> None:
    """Raise AssertionError where a recipe, or a piece of one, would be refused."""
    said = [line for line in block.text.splitlines() if line.strip()]
    if len(said) > 1 and len({line.partition(":")[0] for line in said}) == 1:
        for line in said:  # alternatives, one a line
            check_yaml(replace(block, text=line, title=""), folder)
        return
    value: Any = config._compose(block.place, block.text).value
    if isinstance(value, list):
        for item in value:
            kind, given = (item, {}) if isinstance(item, str) else next(iter(item.items()))
            assert kind in ROOTS, f"{block.place}: no stage is called {kind!r}"
            _validate(ROOTS[kind], {"name": kind} if kind in STAGES else {}, given or {}, block)
    elif "kind" in value:
        _validate(Page, {}, value, block)  # of hardware
    elif "stages" in value:
        path = folder / (block.title or "page.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(("" if "name" in value else "name: page\n") + block.text, encoding="utf-8")
        load_recipe(str(path))
    else:
        _validate(Recipe, {"name": "page"}, value, block)


def _validate(
    model: type[BaseModel], named: dict[str, Any], given: dict[str, Any], block: Block
) -> None:
    given = {key: value for key, value in given.items() if key != "stages"}
    try:
        model.model_validate({**named, **given})
    except ValidationError as error:
        raise AssertionError(f"{block.place}: {error}") from error
