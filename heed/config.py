"""Reads recipes: one YAML page and `--set` overrides, checked key by key.

Every error names the key, where it stands (file and line, or the override), and the nearest valid
name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from heed.errors import UserError
from heed.recipe import STAGES, WORLD_PEOPLE, Collect, Recipe, Rounds, Settings, Stage
from heed.recipe.checks import complaints, nearest

END = "...\n"
"""How PyYAML ends a document that is a single word."""
PASSWORD = re.compile(r"(?P<before>://[^:/@]*:).*@|(?P<option>[?&](?:ssl)?password=)[^&\s]*")
"""Where addresses hold one: postgresql://USER:PASSWORD@HOST/NAME?password=PASSWORD."""
ROUNDS = "rounds"
"""What stands among the stages where several of them are repeated."""
KeyPath = tuple[str | int, ...]
Placed = tuple[Stage, KeyPath]
"""A stage and the item of the recipe that describes it."""
Model = TypeVar("Model", bound=Settings)


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number (YAML 1.1 wants 1.0e-3)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@dataclass
class _Document:
    """Plain values and, for every key path, where it was written."""

    source: str
    value: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where `path`, or else its nearest parent, stands."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.source)


def recipe_names() -> list[str]:
    """Names of the recipes shipped with Heed."""
    folder = resources.files("heed") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir()
                  if entry.name.endswith(".yaml"))  # fmt: skip


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or any by path, with `a.b=value` overrides.

    An override's first word is a key of the recipe or the name of a stage.

    Raises:
      UserError: nothing there, broken YAML, an unknown or ill-typed key.
    """
    return read_recipe(*_read(name_or_path), overrides)


def read_recipe(source: str, text: str, overrides: Sequence[str] = ()) -> Recipe:
    """The same of a page's text; `source` is what errors call it."""
    document = _compose(source, text)
    if not isinstance(document.value, dict):
        raise UserError(f"{document.source}: a recipe is a mapping of keys, such as `name: mine`.")
    for override in overrides:
        _apply(document, override)
    head = {key: value for key, value in document.value.items() if key != "stages"}
    recipe = _validate(Recipe, head, (), document)
    stages = [
        placed for path, item in _stage_items(document) for placed in _stages(path, item, document)
    ]
    _check_wiring(stages, document)
    _check_simulated(recipe, stages, document)
    for index, key, message in complaints(recipe, [stage for stage, _ in stages]):
        stage, path = stages[index]
        raise UserError(f"{document.place((*path, stage.kind, key))}: {message}")
    _check_stores(stages, document)
    _check_files(stages, document)
    return recipe.model_copy(update={"stages": tuple(stage for stage, _ in stages)})


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every default written out and every key explained.

    Loading it gives an equal recipe.
    """
    lines = [*_commented(recipe, "", leave_out="stages"), "stages:"]
    for stage in recipe.stages:
        lines += [f"  - {stage.kind}:", *_commented(stage, " " * 6)]
    return "\n".join(lines) + "\n"


def _commented(settings: Settings, indent: str, leave_out: str = "") -> Iterator[str]:
    """A line a key, groups of keys indented below theirs."""
    plain = settings.model_dump()
    for name, field_ in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name == leave_out:
            continue
        if isinstance(value, Settings):
            yield f"{indent}{name}:"
            yield from _commented(value, f"{indent}  ")
        else:
            text = yaml.safe_dump(
                plain[name],
                default_flow_style=True,
                width=math.inf,
                allow_unicode=True,
                sort_keys=False,  # of policies the order counts
            )
            comment = " ".join((field_.description or "").split())
            text = text.removesuffix(END).strip()
            if "\n" in text:  # a text with line breaks: JSON writes it on one line, and is YAML
                text = json.dumps(plain[name], ensure_ascii=False)
            line = f"{indent}{name}: {text}"
            yield f"{line}  # {comment}" if comment else line


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in recipe_names():
        entry = resources.files("heed") / "recipes" / f"{name_or_path}.yaml"
        return f"recipe {name_or_path}", entry.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.is_file():
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"Cannot read the recipe {path}: {error}.") from error
    raise UserError(
        f"No recipe is named {name_or_path!r} and no such file exists. "
        f"Shipped recipes: {', '.join(recipe_names())}."
    )


def _compose(source: str, text: str) -> _Document:
    document = _Document(source)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.value = _value(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{source}, line {line}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {error}.") from error
    return document


def _value(loader: _Loader, node: yaml.Node, path: KeyPath, document: _Document) -> Any:
    document.places[path] = f"{document.source}, line {node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise UserError(f"{document.source}, line {line}: {key!r} stands here twice.")
            mapping[key] = _value(loader, value_node, (*path, key), document)
            document.places[(*path, key)] = f"{document.source}, line {line}"
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, i), document) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _stage_items(document: _Document, path: KeyPath = ()) -> list[tuple[KeyPath, Any]]:
    """The items of `stages` in the mapping at `path`, and where they stand."""
    holder = document.value
    for key in path:
        holder = holder[key]
    items = (holder or {}).get("stages") or []
    if not isinstance(items, list):
        where = document.place((*path, "stages"))
        raise UserError(f"{where}: `stages` is a list of `- kind: settings`.")
    return [((*path, "stages", index), item) for index, item in enumerate(items)]


def _kind_and_settings(path: KeyPath, item: Any, document: _Document) -> tuple[str, dict[str, Any]]:
    """An item of `stages`: `- ppo`, or `- ppo: {...}`."""
    where = document.place(path)
    if isinstance(item, str):
        item = {item: {}}
    kinds = [*STAGES, ROUNDS]
    if not isinstance(item, dict) or len(item) != 1:
        raise UserError(f"{where}: a stage is `- kind: settings`, with one of {', '.join(kinds)}.")
    kind, settings = next(iter(item.items()))
    if kind not in kinds:
        raise UserError(f"{where}: no stage is called {kind!r}.{_nearest(kind, kinds)}")
    if settings is not None and not isinstance(settings, dict):
        raise UserError(f"{where}: the settings of {kind!r} are a mapping of keys.")
    return kind, settings or {}


def _stages(path: KeyPath, item: Any, document: _Document) -> list[Placed]:
    """What an item of `stages` stands for: a stage, or those of all rounds."""
    kind, settings = _kind_and_settings(path, item, document)
    if kind != ROUNDS:
        named = {**settings, "name": settings.get("name") or kind}
        return [(_validate(STAGES[kind], named, (*path, kind), document), path)]
    head = {key: value for key, value in settings.items() if key != "stages"}
    rounds = _validate(Rounds, head, (*path, kind), document)
    inner = [
        placed
        for place, each in (_stage_items(document, (*path, kind)) if settings else [])
        for placed in _stages(place, each, document)
    ]
    try:
        expanded = rounds.expand([stage for stage, _ in inner])
    except ValueError as error:
        raise UserError(f"{document.place(path)}: rounds: {error}.") from error
    places = [place for _, place in inner]
    return [placed for stages in expanded for placed in zip(stages, places, strict=True)]


def parse_override(override: str) -> tuple[str, Any]:
    """The key and the value of an `a.b=value`."""
    keys, equals, text = override.partition("=")
    place = f"--set {PASSWORD.sub(_stars, override)}"
    if not equals or not all(keys.strip().split(".")):
        raise UserError(f"{place}: write it as key.key=value, e.g. --set ppo.kl.coef=0.1.")
    return keys.strip(), _compose(place, text).value


def _apply(document: _Document, override: str) -> None:
    """Write one `a.b=value` into the document."""
    keys, value = parse_override(override)
    path, place = keys.split("."), f"--set {PASSWORD.sub(_stars, override)}"
    target: dict[str, Any] = document.value
    prefix: KeyPath = ()
    if path[0] not in Recipe.model_fields or path[0] == "stages":
        target, prefix = _stage_target(document, path.pop(0), place)
        if not path:
            raise UserError(f"{place}: name a setting of the stage, such as {keys}.name.")
    for depth, key in enumerate(path[:-1]):
        if not isinstance(target.get(key), dict):
            target[key] = {}
        target, prefix = target[key], (*prefix, path[depth])
    target[path[-1]] = value
    document.places[(*prefix, path[-1])] = place


def _stars(found: re.Match[str]) -> str:
    """What stands in messages for an address's password."""
    before = found["before"]
    return f"{before}***@" if before else f"{found['option']}***"


def _stage_target(document: _Document, name: str, place: str) -> tuple[dict[str, Any], KeyPath]:
    """The settings of the stage so called, in which an override writes; in rounds, of all."""
    names: list[str] = []
    waiting = _stage_items(document)
    while waiting:
        path, item = waiting.pop(0)
        kind, settings = _kind_and_settings(path, item, document)
        *holder, index = path
        target = document.value
        for key in holder:
            target = target[key]
        target[index] = {kind: settings}
        names.append(str(settings.get("name") or kind))
        if names[-1] == name:
            return settings, (*path, kind)
        if kind == ROUNDS and settings:
            waiting += _stage_items(document, (*path, kind))
    valid = [*(key for key in Recipe.model_fields if key != "stages"), *names]
    raise UserError(f"{place}: the recipe has no key and no stage {name!r}.{_nearest(name, valid)}")


def _check_wiring(stages: Sequence[Placed], document: _Document) -> None:
    """Names are unique, and a stage reads only from stages before it."""
    seen: list[str] = []
    for stage, path in stages:
        where = document.place(path)
        if stage.name in seen:
            raise UserError(f"{where}: two stages are named {stage.name!r}; give one a `name`.")
        for name in stage.inputs():
            if name not in seen:
                raise UserError(
                    f"{where}: {stage.name!r} reads from {name!r}, but no stage of that name "
                    f"comes before it.{_nearest(name, seen)}"
                )
        seen.append(stage.name)


def _check_simulated(recipe: Recipe, stages: Sequence[Placed], document: _Document) -> None:
    """Simulated annotators live in the embedded world only, and they are so many."""
    for stage, path in stages:
        if not isinstance(stage, Collect) or stage.source != "simulated":
            continue
        if stage.per_item > WORLD_PEOPLE:
            raise UserError(
                f"{document.place((*path, stage.kind, 'per_item'))}: the stage "
                f"{stage.name!r} asks {stage.per_item} simulated annotators about each item, but "
                f"{WORLD_PEOPLE} live in the embedded world. Set per_item to {WORLD_PEOPLE} at "
                "most."
            )
        if recipe.data != "world":
            raise UserError(
                f"{document.place(path)}: the stage {stage.name!r} asks simulated "
                "annotators, who know the embedded world only; with other data, set its source to "
                "people or judge, or leave it out and let `comparisons` of the later stages name "
                "the stage that holds them."
            )


def _check_stores(stages: Sequence[Placed], document: _Document) -> None:
    """No passwords: a recipe is copied into the run, and shared."""
    for stage, path in stages:
        if isinstance(stage, Collect) and PASSWORD.search(stage.people.store or ""):
            where = document.place((*path, stage.kind, "people", "store"))
            raise UserError(
                f"{where}: the address of the store holds a password, and recipes are copied and "
                "shared. Leave it out, as in postgresql://heed@db/heed, and put the password into "
                "~/.pgpass or the environment variable PGPASSWORD, where PostgreSQL's client "
                "looks for it."
            )


def _check_files(stages: Sequence[Placed], document: _Document) -> None:
    """Files that a stage reads are there before anything is trained."""
    for stage, path in stages:
        for name in stage.files():
            if not Path(name).is_file():
                raise UserError(
                    f"{document.place(path)}: the stage {stage.name!r} reads the file "
                    f"{name!r}, but there is none in {Path.cwd()}."
                )


def _validate(
    model: type[Model], value: Mapping[str, Any], prefix: KeyPath, document: _Document
) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise UserError(_explain(error, model, prefix, document)) from error


def _explain(
    error: ValidationError, model: type[Settings], prefix: KeyPath, document: _Document
) -> str:
    """The first thing wrong, as one sentence."""
    first = error.errors()[0]
    loc = tuple(part for part in first["loc"])
    where = document.place((*prefix, *loc))
    key = ".".join(str(part) for part in loc)
    if first["type"] == "extra_forbidden":
        valid = _fields_at(model, loc[:-1])
        return f"{where}: unknown key {key!r}.{_nearest(str(loc[-1]), valid)}"
    if first["type"] == "missing":
        return f"{where}: the key {key!r} is missing."
    if first["type"] == "value_error":
        return f"{where}: {model.__name__.lower()}: {first['ctx']['error']}."
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{where}: {key!r} cannot be {first['input']!r}: {message}."


def _fields_at(model: type[BaseModel], loc: KeyPath) -> list[str]:
    """The valid keys of the settings found by following `loc` from `model`."""
    for part in loc:
        if isinstance(part, str):  # a number is a place in a list of the field's settings
            model = _settings_in(model.model_fields[part].annotation)
    return list(model.model_fields)


def _settings_in(annotation: Any) -> type[BaseModel]:
    """The settings among the types that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_settings_in(each) for each in get_args(annotation) if each is not type(None)]
    return found[0]


def _nearest(name: str, valid: Sequence[str] | Mapping[str, Any]) -> str:
    """What the writer may have meant, as the end of a message."""
    return f" {nearest(name, list(valid))}"
