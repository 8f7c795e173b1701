"""The arena's models: what `--arena NAME=MODEL` names, and the samplers that answer for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heed.cli.sample import asked_with
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.models.language_model import LanguageModel
    from heed.types import Sampler

MAX_NEW_TOKENS = 512
SECONDS = 85.0
"""A server has so long for an answer, a little less than the arena waits: one that hangs must not
hold up those who ask next. Nothing is asked twice; whoever waits can ask again.
"""


def sources(options: list[str]) -> dict[str, str]:
    """NAME=MODEL options as a dict; two or more, or none.

    Raises UserError for a malformed one, a name given twice, or a single model.
    """
    named = {}
    for option in options:
        name, equals, source = option.partition("=")
        if not equals or not name.strip() or not source.strip():
            raise UserError(f"--arena wants NAME=DIRECTORY or NAME=URL, not {option!r}.")
        named[name.strip()] = source.strip()
    if len(named) < len(options):
        raise UserError("--arena was given the same name twice.")
    if len(named) == 1:
        raise UserError("The arena compares models: give --arena twice.")
    return named


def sampler(name: str, source: str) -> Sampler:
    """The model behind a name: a server by its URL, or a directory loaded here.

    Raises UserError where there is no such model.
    """
    if source.startswith(("http://", "https://")):
        from heed.sampling.remote import EndpointSampler

        address, _, model = source.partition("#")
        return EndpointSampler(
            address, model or name, max_new_tokens=MAX_NEW_TOKENS, timeout=SECONDS, retries=0
        )
    from heed.models.language_model import load_language_model
    from heed.policies.in_context import InContext, with_system
    from heed.sampling.local import LocalSampler

    lm = load_language_model(source, device="auto")
    local = LocalSampler(lm, max_new_tokens=longest_answer(lm), model_name=name)
    before = asked_with(source)
    return (
        InContext(local, lambda prompt: [with_system(prompt, before), prompt]) if before else local
    )


def longest_answer(lm: LanguageModel) -> int:
    """In tokens: at most half of the context, for the prompt needs room in it too."""
    from heed.models.forward import causal_lm

    config = causal_lm(lm.model).config.get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    return MAX_NEW_TOKENS if context is None else max(1, min(MAX_NEW_TOKENS, context // 2))
