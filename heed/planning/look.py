"""The ground of a plan: a look at the recipe's data and at its models' configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heed.data.sources import files_of
from heed.data.survey import survey
from heed.errors import UserError
from heed.models.chat import ChatFormat
from heed.models.pair_format import PairFormat
from heed.planning.ground import Ground
from heed.planning.sizes import Size, of_architecture, of_backbone, of_model
from heed.planning.texts import LOOK, Data, Measure, by_characters, of_survey, of_world
from heed.recipe import Pretrain, Recipe, Records
from heed.types import Prompt
from heed.world.world import World

WHOLE = 1 << 30
"""A context that cuts no text."""


def look(recipe: Recipe) -> Ground:
    """Everything that a plan is made from. Neither weights nor torch are loaded.

    Raises UserError where data or a model's configuration cannot be read.
    """
    given = _chat(recipe.model) if recipe.model is not None else None
    data = _data(recipe, given)
    others = {stage.name: stage.models()[0] for stage in recipe.stages if stage.models()}
    read = {name: _data(recipe, _format(source)) for name, source in others.items()}
    backbones = {name: of_backbone(source) for name, source in others.items()}
    return Ground(recipe, data, {**_sizes(recipe, data), **backbones}, read)


def _data(recipe: Recipe, given: ChatFormat | PairFormat | None) -> Data:
    if recipe.data != "world":
        measure = by_characters if given is None else _measured(given)
        vocabulary = max(
            (s.vocabulary for s in recipe.stages if isinstance(s, Pretrain)), default=0
        )
        sources = [recipe.data] if isinstance(recipe.data, str) else recipe.data
        first = next(stage for stage in recipe.stages if isinstance(stage, Records))
        found = survey(sources, most=LOOK // max(1, len(files_of(sources))) + 1)
        return of_survey(found, first, measure, vocabulary)
    world = World(recipe.world.seed, recipe.world.families)
    records = [stage for stage in recipe.stages if isinstance(stage, Records)]
    chat = given or ChatFormat(
        world.tokenizer(
            feedback_talk=any(each.feedback_talk for each in records),
            documents=any(each.documents for each in records),
        )
    )
    return of_world(recipe, world, _measured(chat), len(chat.tokenizer))


def _sizes(recipe: Recipe, data: Data) -> Mapping[str, Size]:
    """By the stages that begin a model."""
    stages = [stage for stage in recipe.stages if isinstance(stage, Pretrain)]
    if recipe.model is not None:
        size = of_model(recipe.model)
        return {stage.name: size for stage in stages}
    return {stage.name: of_architecture(stage.architecture, data.vocabulary) for stage in stages}


def _measured(form: ChatFormat | PairFormat) -> Measure:
    def measure(prompt: Prompt, answer: str) -> tuple[int, int]:
        asks, says = form.fitted(prompt, answer, WHOLE)
        return len(asks), len(says)

    return measure


def _chat(source: str) -> ChatFormat:
    return ChatFormat(_tokenizer(source))


def _format(source: str) -> ChatFormat | PairFormat:
    """How a backbone reads: an encoder, whose kind is one that fills in masks, reads pairs."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    tokenizer = _tokenizer(source)
    kind = AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
    pairs = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return PairFormat(tokenizer) if pairs else ChatFormat(tokenizer)


def _tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"The tokenizer of {source!r} cannot be read: {said}") from error
