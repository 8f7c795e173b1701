"""Completions for tests of rewards."""

from __future__ import annotations

from heed.types import Completion, Prompt


def said(text: str, asked: str = "how much ?", family: str = "") -> Completion:
    """An answer to a prompt."""
    return Completion(Prompt.of(asked, id=f"id of {asked}", family=family), text)
