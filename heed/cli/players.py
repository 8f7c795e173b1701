"""The arena's models: what `--arena NAME=MODEL` names, and the samplers that answer for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heed.errors import UserError
from heed.naming import MAX_NEW_TOKENS, Who, load
from heed.recipe import Sampling

if TYPE_CHECKING:
    from heed.types import Sampler

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
    """The model behind a name: a server by its URL, or a directory loaded here, whose answers end
    where the other's turn would begin.

    Raises UserError where there is no such model.
    """
    if source.startswith(("http://", "https://")):
        from heed.sampling.remote import EndpointSampler

        address, _, model = source.partition("#")
        return EndpointSampler(
            address, model or name, max_new_tokens=MAX_NEW_TOKENS, timeout=SECONDS, retries=0
        )
    speaker = load(Who(source, name, source))
    return speaker.ask(Sampling(max_new_tokens=speaker.longest, stop=list(speaker.stop)))
