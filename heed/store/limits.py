"""How much a row or a statement may hold, and which strings no database takes: all limits."""

from __future__ import annotations

from collections.abc import Sequence

NAME = 100
"""Characters in the name of a project or a member."""
ITEM_ID = 500
ANSWER = MESSAGE = 400_000
ANSWERS = 100
"""Answers of an item: so many can be ranked on the page."""
GUIDELINE = 200_000
REWRITE = DRAFT = 40_000
COMMENT = 8_000
TAG = 100
TAGS = 30
KEY = 200
"""Characters in an idempotency key."""
UI = 200
LABEL = 200
"""Characters in short marks: a source, a family, a model, a guideline's version."""
CHUNK = 500
"""Rows or names in a statement: databases limit the number of parameters."""


def checked(text: str, what: str, limit: int, *, empty: bool = True) -> str:
    """`text` itself.

    Raises:
        ValueError: it is too long, or empty where that makes no sense, or holds a NUL or half of a
            surrogate pair, which PostgreSQL refuses and UTF-8 cannot hold.
    """
    if not isinstance(text, str):
        raise ValueError(f"{what} is no text but {type(text).__name__}")
    if not text and not empty:
        raise ValueError(f"{what} is empty")
    if len(text) > limit:
        raise ValueError(f"{what} has {len(text)} characters, at most {limit} are allowed")
    if "\x00" in text:
        raise ValueError(f"{what} holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{what} holds half of a surrogate pair, no valid text") from error
    return text


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags as a tuple.

    Raises:
        ValueError: there are too many, or one is no good text.
    """
    if isinstance(tags, str) or len(tags) > TAGS:
        raise ValueError(f"at most {TAGS} tags are allowed, each a text")
    return tuple(checked(tag, "a tag", TAG, empty=False) for tag in tags)
