"""What stands before a prompt: one function a kind of stage, from its settings to `Ways`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heed import recipe
from heed.data.documents import read_documents
from heed.data.preferences import read_preferences
from heed.errors import UserError
from heed.models.chat import ChatFormat
from heed.policies.in_context import Ways, with_system
from heed.policies.retrieval import demonstrated, documented
from heed.recipe import Stage
from heed.types import Demonstration, Document, Prompt

if TYPE_CHECKING:
    from heed.stages.workplace import Workplace


def system_text(settings: recipe.SystemPrompt) -> str:
    """What the system message says. Raises UserError where the file says nothing."""
    if settings.file is None:
        return settings.text or ""
    try:
        text = Path(settings.file).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{settings.name}: cannot read the file {settings.file}: {error}."
        ) from error
    if not text:
        raise UserError(f"{settings.name}: the file {settings.file} is empty: nothing to say.")
    return text


def system_prompt(_: Workplace, settings: recipe.SystemPrompt) -> Ways:
    """A text of the user's."""
    return says(system_text(settings))


def retrieval(work: Workplace, settings: recipe.Retrieval) -> Ways:
    """What is like the prompt."""
    found = retrieved_from(work, settings)
    k, least = settings.k, settings.least
    if settings.documents or settings.documents_file:
        documents = [each for each in found if isinstance(each, Document)]
        return documented(documents, k=k, least=least)
    shots = [each for each in found if isinstance(each, Demonstration)]
    return demonstrated(shots, k=k, least=least)


def retrieved_from(
    work: Workplace, settings: recipe.Retrieval
) -> list[Document] | list[Demonstration]:
    """All that a prompt is held against: documents, or demonstrations."""
    if settings.documents is not None:
        return work.records(settings.documents, "documents", Document)
    if settings.documents_file is not None:
        return read_documents(Path(settings.documents_file))
    if settings.demonstrations is not None:
        return work.records(settings.demonstrations, "demonstrations", Demonstration)
    assert settings.demonstrations_file is not None, "the settings name one of four"
    _, found = read_preferences(Path(settings.demonstrations_file))
    if found.errors:
        raise UserError(f"{found.errors[0].place}: {found.errors[0].why}.")
    if not found.demonstrations:
        raise UserError(
            f"{settings.name}: {settings.demonstrations_file} holds no demonstrations. A line of "
            "it has prompt and completion, or messages."
        )
    return found.demonstrations


def reward_conditioned(work: Workplace, settings: recipe.RewardConditioned) -> Ways:
    """The best level that was learned."""
    return says(str(work.run.stage(settings.name).done_summary()["asked_with"]))


def says(text: str) -> Ways:
    """A system message, or, where it does not fit, none."""
    return lambda prompt: [with_system(prompt, text), prompt]


def check_system(chat: ChatFormat, stage: str) -> None:
    """Raise UserError where the tokenizer's chat template leaves system messages out."""
    prompt = Prompt.of("a")
    if chat.prompt_ids(with_system(prompt, prompt.text)) == chat.prompt_ids(prompt):
        raise UserError(
            f"{stage}: the tokenizer's chat template leaves system messages out, so that what is "
            "put before a prompt would not be read. Change the template, or take another model."
        )


CONTEXTS: Mapping[type[Stage], Callable[[Workplace, Any], Ways]] = {
    recipe.SystemPrompt: system_prompt,
    recipe.Retrieval: retrieval,
    recipe.RewardConditioned: reward_conditioned,
}
