"""A model and preferences in, a recipe out: what the data hold, what was chosen, and why.

The rules are those of `heed.planning.choosing`; here stands what they are asked about: a model's
directory or name, this machine, the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from heed.config import parse_override, read_recipe
from heed.data.survey import Survey, describe, survey
from heed.errors import UserError
from heed.models.chat import ChatFormat
from heed.models.device import has_half, resolve_device
from heed.models.source import load_tokenizer
from heed.planning.choosing import method as methods
from heed.planning.choosing.device import loads
from heed.planning.choosing.draft import BASE, Draft, Outline, draft, imitates
from heed.planning.choosing.facts import Facts, Reason
from heed.planning.choosing.page import page
from heed.planning.ground import Ground
from heed.planning.plan import Machine, memory_of
from heed.planning.sizes import longest, of_model
from heed.planning.texts import Measure, of_survey
from heed.recipe import Recipe, Records
from heed.stages.planned import machine_of
from heed.types import Prompt

Adapter = Literal["lora", "full"]
Progress = Callable[[str, int, int], None]
SOURCE = "the recipe that was chosen"
SPARE = 0.9
"""Share of the free memory that a recipe is fitted into."""


@dataclass(frozen=True)
class Prepared:
    """A recipe for a model and preferences; `text` is it as YAML, with the reasons in it."""

    survey: Survey
    recipe: Recipe
    reasons: tuple[Reason, ...]
    text: str
    ground: Ground
    """What a plan of the recipe is made from."""


def prepare(
    model: str,
    prefs: Sequence[str],
    *,
    method: str | None = None,
    adapter: Adapter | None = None,
    overrides: Sequence[str] = (),
    imitate: bool | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    name: str = "aligned",
    progress: Progress = lambda *_: None,
) -> Prepared:
    """Choose a recipe that aligns `model` (a directory or a hub's name) with `prefs` (files,
    directories or names of data sets). Weights are not loaded.

    `method`, `adapter` and `imitate` (whether supervised fine-tuning comes first) are chosen where
    they are None. `overrides` are settings as `--set` takes them; they become part of the recipe.

    Raises UserError for a model or data that cannot be read, and for a method that the data do not
    suit.
    """
    if adapter not in (None, *get_args(Adapter)):
        raise UserError(
            f"There is no adapter {adapter!r}. Choose {' or '.join(get_args(Adapter))}."
        )
    if not prefs:
        raise UserError("There are no preferences: name a file, a directory or a data set.")
    of_model(model)  # a wrong name or directory is said as such
    chat = ChatFormat(load_tokenizer(model))
    found = survey(prefs, progress=progress)
    _check_usable(found)
    given = [parse_override(each) for each in overrides]
    facts = facts_of(model, found, chat, given)
    wanted = methods.choose(facts, method)
    first = imitates(facts, str(wanted.value), imitate)
    head = (
        Reason("name", name),
        Reason("seed", seed),
        Reason("model", model),
        Reason("data", list(prefs)),
    )
    made, ground = _fitted(
        (
            draft(facts, Outline(wanted, first, load, adapter), head, skip=skip_broken)
            for load in loads(facts, adapter)
        ),
        given,
        overrides,
        lambda recipe: _ground(recipe, found, chat),
    )
    return Prepared(
        found,
        ground.recipe,
        (wanted, first, *made.reasons()),
        page(made, _remarks(wanted, first)),
        ground,
    )


def _check_usable(found: Survey) -> None:
    """Raise UserError where no row of the data can be learned from, with the first that is none."""
    if found.comparisons or found.unpaired or found.demonstrations:
        return
    why = "".join(f" {each.place}: {each.why}." for each in found.broken[:1])
    raise UserError(
        f"{', '.join(found.sources)}: no comparison, no labelled answer and no demonstration that "
        f"can be used, so there is nothing to learn from.{why} {' '.join(describe(found))}"
    )


def facts_of(
    model: str, found: Survey, chat: ChatFormat, given: Sequence[tuple[str, Any]]
) -> Facts:
    """What the rules go by; `given` are settings of the user's that change it."""
    own = dict(given)
    device = resolve_device(str(own.get("device", "auto")))
    asked_for = own.get("records.limit")
    data = of_survey(found, Records(), _measured(chat))
    prompts = data.asked() + data.held
    pairs = len(found.comparisons)
    limit = min(pairs, asked_for) if isinstance(asked_for, int) else pairs
    return Facts(
        model=model,
        weights=of_model(model).weights,
        positions=longest(model),
        templated=chat.templated,
        cuda=device.type == "cuda",
        half=bool(has_half(device)),
        rows={
            "comparisons": limit,
            "unpaired": len(found.unpaired),
            "demonstrations": len(found.demonstrations),
        },
        asked=min(limit, prompts) if limit < pairs else prompts,
        prompts=[each.prompt for each in data.corpus.seen],
        answers=[each.answer for each in data.corpus.seen],
        desirable=sum(each.desirable for each in found.unpaired),
        held=sum(prompt.split == "heldout" for prompt in found.prompts),
        given=own,
    )


def _remarks(method: Reason, first: Reason) -> list[str]:
    """What stands above the recipe."""
    return [
        "Chosen by heed for this model, these data and this machine; docs/align.md has the rules.",
        f"Method {method.value}: {method.why}.",
        f"Supervised fine-tuning first: {'yes' if first.value else 'no'}, {first.why}.",
    ]


def _fitted(
    drafts: Iterable[Draft],
    given: Sequence[tuple[str, Any]],
    overrides: Sequence[str],
    ground_of: Callable[[Recipe], Ground],
) -> tuple[Draft, Ground]:
    """The first draft that fits into the free memory, or else the last, which holds the least."""
    ground: Ground | None = None
    machine: Machine | None = None
    for made in drafts:
        if ground is None or machine is None:
            read_recipe(SOURCE, page(made), overrides)  # says what is wrong with an override
        chosen = made.having(given)
        recipe = read_recipe(SOURCE, page(chosen))
        if ground is None or machine is None:
            ground, machine = ground_of(recipe), machine_of(recipe, 0.0)
        ground = replace(ground, recipe=recipe)
        most = max(memory_of(ground, stage, machine).total for stage in recipe.stages)
        if machine.free is None or most <= SPARE * machine.free:
            break
    assert ground is not None, "there is always one draft"
    return chosen, ground


def _ground(recipe: Recipe, found: Survey, chat: ChatFormat) -> Ground:
    assert recipe.model is not None, "a recipe for somebody's model names it"
    records = next(stage for stage in recipe.stages if isinstance(stage, Records))
    data = of_survey(found, records, _measured(chat), len(chat.tokenizer))
    return Ground(recipe, data, {BASE: of_model(recipe.model)})


def _measured(chat: ChatFormat) -> Measure:
    def measure(prompt: Prompt, answer: str) -> tuple[int, int]:
        return len(chat.prompt_ids(prompt)), len(chat.completion_ids(answer))

    return measure
